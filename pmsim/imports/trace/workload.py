"""The workload of a trace: what the kernel was asked for, as rows of a replay.

What follows from a call is left to the simulated kernel: the purge that a ``vfree`` leads to, the
flush within ``set_memory``. So of each flush it has to be known what asked for it: a probe tells by
the caller; a purge tells itself, by the event that ends it on the same CPU.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pmsim.cpulist import format_cpulist
from pmsim.imports.trace.calls import SCHEDULER, cpus_of_mask
from pmsim.imports.trace.flushes import END, EVERYTHING, START, named, numbers, span
from pmsim.imports.trace.happenings import PAGES
from pmsim.readers.trace import Handler
from pmsim.units import PAGE_SIZE
from pmsim.workloads.calls_file import COLUMNS, CallOp

STACK_PAGES: Final = 4
"""Pages of an area that is freed and of which nothing tells the size: a kernel stack (x86-64)."""
LAZY_AT_ONCE: Final = 512
"""Pages of the areas that stand for what was lazily freed before: up to here the page pointers need
no area of their own (a page of pointers)."""
MODULES: Final = 0xFFFF_FFFF_8000_0000
"""Where the range of modules and of the kernel's text begins (x86-64, mm.rst)."""

_ALLOC: Final = re.compile(rb"va_start: ?(\w+) size=(\d+) .*failed=0")
_FREE: Final = re.compile(rb"va_start=(\w+) nr_lazy=(\d+)")
_FLUSH: Final = re.compile(rb"pages: ?(-?\d+) reason: ?.*\((\d+)\)")
_QUEUED: Final = re.compile(rb"cpu=(\d+).* func=([\w.]+)")
_MASK: Final = re.compile(rb"mask=(\S+) f=([\w.]+)")
_SWITCH: Final = re.compile(
    rb"(?:prev_comm=.* prev_pid=|.*:)(\d+) .*==> (?:next_comm=.* next_pid=|.*:)(\d+) "
)
"""Who leaves a CPU, and who gets it; 0 is its idle task. As ftrace writes it, and trace-cmd."""
_BY: Final = re.compile(rb"\bby=([\w.]+)")
_ADDRESS: Final = (b"a", b"addr", b"arg1")
_SEND: Final = 4
_LOCAL: Final = (2, 3)

_OF_USERS: Final = "flush_tlb_func"
_OF_EVERYTHING: Final = "do_flush_tlb_all"
_OF_KERNEL: Final = (_OF_EVERYTHING, "do_kernel_range_flush", "kernel_tlb_flush_range")
_PATCHED: Final = "do_sync_core"
_PURGES: Final = ("purge_vmap_area_lazy", "vm_unmap_aliases")
_ATTRIBUTES: Final = ("change_page_attr_set_clr", "cpa_flush", "set_memory")


@dataclass(slots=True)
class _Open:
    """A call whose targets are not all known yet."""

    at_ps: int
    op: CallOp
    pages: int = 0
    function: str = ""
    cpus: set[int] = field(default_factory=set)
    probed: bool = False


class Rows:
    """Writes the rows of a replay while a trace is read, into a file without a name.

    Attributes
    ----------
    written
        How many of each op.
    guessed
        Areas that were there before the trace began, and of which nothing tells the size.
    untold
        Flushes of processes left out, as the trace does not tell which CPUs they went to.
    last_cpu
        The highest number of a CPU in a row.
    switched
        CPUs of which the trace tells when they were idle.
    """

    def __init__(self) -> None:
        self.written: dict[CallOp, int] = {}
        self.guessed = 0
        self.untold = 0
        self.last_cpu = 0
        self._runs: dict[int, bool] = {}
        self._file = tempfile.TemporaryFile("w+", encoding="ascii", newline="")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._file.write(",".join(COLUMNS) + "\n")
        self._start_ps: int | None = None
        self._areas: dict[int, tuple[int, int]] = {}
        self._starts: list[int] = []
        self._numbers = 0
        self._lazy: int | None = None
        self._open: dict[int, _Open] = {}
        self._kernel: dict[int, _Open] = {}
        self._knows_targets = False
        self._probes: set[str] = set()

    def handlers(self) -> Mapping[bytes, Handler]:
        """Return who makes rows of which event."""
        changes = {
            f"{op.value}()".encode(): self._change(op) for op in CallOp if "set_memory" in op.value
        }
        return {
            b"alloc_vmap_area": self._alloc,
            b"alloc_vmap_area<-": self._alloc,
            b"free_vmap_area_noflush": self._free,
            b"free_vmap_area_noflush()": self._free,
            b"purge_vmap_area_lazy": self._purge,
            b"tlb_flush": self._tlb_flush,
            b"csd_queue_cpu": self._csd_queue_cpu,
            b"ipi_send_cpumask": self._ipi_send,
            b"ipi_send_cpu": self._ipi_send,
            b"smp_call_function_many_cond()": self._call_probed,
            b"flush_tlb_all()": self._flush_all_probed,
            b"flush_tlb_kernel_range()": self._flush_range_probed,
            b"vm_unmap_aliases()": self._unmap_aliases,
            b"text_poke_bp_batch()": self._text_poke,
            b"sched_switch": self._switch,
            **changes,
        }

    def lost(self, cpu: int) -> None:
        """Write what is known so far of a CPU of which events are missing."""
        self._close(cpu)

    def finish(self) -> None:
        """Write what is still under way."""
        for cpu in [*self._open]:
            self._close(cpu)
        for cpu in [*self._kernel]:
            self._close_kernel(cpu)

    def copy_to(self, path: Path) -> None:
        """Write all rows into a file."""
        self._file.seek(0)
        with path.open("w", encoding="ascii", newline="") as out:
            shutil.copyfileobj(self._file, out)

    @property
    def switched(self) -> tuple[int, ...]:
        """CPUs of which the trace tells when they were idle, ascending."""
        return tuple(sorted(self._runs))

    def _switch(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        """Write that a CPU gets something to do, or nothing any more."""
        found = _SWITCH.match(rest)
        if found is None:
            return
        if cpu not in self._runs and int(found[1]):
            self._state(0, cpu, busy=True)  # it has run somebody since before the trace
        busy = int(found[2]) > 0
        if self._runs.get(cpu, False) != busy:
            self._state(self._since_start(time), cpu, busy=busy)
        self._runs[cpu] = busy

    def _state(self, at: int, cpu: int, *, busy: bool) -> None:
        self._runs[cpu] = busy
        op = CallOp.BUSY if busy else CallOp.IDLE
        self._file.write(f"{at},{cpu},{op.value},,,,\n")
        self.last_cpu = max(self.last_cpu, cpu)

    # Areas.

    def _alloc(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        found = _ALLOC.match(rest)
        if found is not None:
            self._allocated(time, cpu, int(found[1], 0), int(found[2]))
            return
        told = numbers(rest)
        start, end = named(told, *START), named(told, *END)
        if start is not None and end is not None and end > start:
            self._allocated(time, cpu, start, end - start)

    def _allocated(self, time: int | None, cpu: int, start: int, size: int) -> int:
        """Write that an area, its guard page included, is allocated; return its number."""
        self._numbers += 1
        pages = max(size // PAGE_SIZE - 1, 1)
        if start not in self._areas:
            insort(self._starts, start)
        self._areas[start] = self._numbers, pages
        op = CallOp.MODULE_ALLOC if start >= MODULES else CallOp.VMALLOC
        self._write(time, cpu, op, area=self._numbers, pages=pages)
        return self._numbers

    def _free(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        found = _FREE.match(rest)
        if found is not None:
            self._freed(time, cpu, int(found[1], 0), int(found[2]), None)
            return
        told = numbers(rest)
        start, end = named(told, *START), named(told, *END)
        if start is not None:
            size = end - start if end is not None and end > start else None
            self._freed(time, cpu, start, named(told, b"lazy", b"nr_lazy"), size)

    def _freed(self, time: int, cpu: int, start: int, lazy: int | None, size: int | None) -> None:
        """Write that an area is freed; one that was there before is allocated before the start."""
        known = self._areas.pop(start, None)
        if known is None:
            grown = None if lazy is None or self._lazy is None else lazy - self._lazy
            if size is None and grown is not None and 1 < grown <= LAZY_AT_ONCE:
                size = grown * PAGE_SIZE
            if size is None:
                self.guessed += 1
                size = (STACK_PAGES + 1) * PAGE_SIZE
            number = self._allocated(None, cpu, start, size)
            known = self._areas.pop(start)
            assert known[0] == number
        self._starts.remove(start)
        if self._lazy is None and lazy is not None:
            self._lazy_before(cpu, lazy - known[1] - 1)
        self._lazy = lazy
        self._write(time, cpu, CallOp.VFREE, area=known[0])

    def _lazy_before(self, cpu: int, pages: int) -> None:
        """Write areas that stand for what was lazily freed when the trace began."""
        while pages > 1:
            part = min(pages, LAZY_AT_ONCE + 1)
            self._numbers += 1
            self._write(None, cpu, CallOp.VMALLOC, area=self._numbers, pages=part - 1)
            self._write(None, cpu, CallOp.VFREE, area=self._numbers)
            pages -= part

    def _purge(self, _time: int, cpu: int, _name: bytes, _flags: bytes, _rest: bytes) -> None:
        """Forget the flush of the purge that ends here: the simulated kernel purges by itself."""
        self._kernel.pop(cpu, None)
        self._lazy = None if self._lazy is None else 0

    # Permissions and code.

    def _change(self, op: CallOp) -> Handler:
        def change(time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
            self._probes.add("set_memory")
            told = numbers(rest)
            address, pages = named(told, *_ADDRESS), named(told, *PAGES)
            if address is None or pages is None or pages < 0:
                return
            number, first, size = self._around(cpu, address, max(pages, 1))
            self._write(
                time, cpu, op, area=number, first=first, pages=min(pages, max(size - first, 0))
            )

        return change

    def _around(self, cpu: int, address: int, pages: int) -> tuple[int, int, int]:
        """Return the area around an address, its page there, and its size."""
        place = bisect_right(self._starts, address) - 1
        if place >= 0:
            start = self._starts[place]
            number, size = self._areas[start]
            if address < start + size * PAGE_SIZE:
                return number, (address - start) // PAGE_SIZE, size
        number = self._allocated(None, cpu, address, (pages + 1) * PAGE_SIZE)
        return number, 0, pages

    def _unmap_aliases(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        # Within set_memory it is the kernel's business.
        by = _BY.search(rest)
        within = "set_memory" in self._probes
        if by is not None:
            within = any(part in by[1].decode() for part in _ATTRIBUTES)
        if not within:
            self._write(time, cpu, CallOp.VM_UNMAP_ALIASES)

    def _text_poke(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        self._probes.add("text_poke")
        self._write(time, cpu, CallOp.TEXT_POKE, pages=named(numbers(rest), *PAGES) or 1)

    # Flushes and calls.

    def _tlb_flush(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        found = _FLUSH.match(rest)
        if found is None:
            return
        pages, reason = max(int(found[1]), 0), int(found[2])
        if reason == _SEND:
            self._close(cpu)
            self._begin(self._open, cpu, _Open(time, CallOp.FLUSH_TLB_MM, pages, _OF_USERS))
        elif reason in _LOCAL:
            mine = self._open.get(cpu)
            if mine is not None and mine.op is CallOp.FLUSH_TLB_MM:
                self._close(cpu)
            else:
                self._write(time, cpu, CallOp.FLUSH_TLB_MM, pages=pages)

    def _csd_queue_cpu(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        found = _QUEUED.match(rest)
        if found is not None:
            self._called(time, cpu, found[2].decode(), [int(found[1])])

    def _ipi_send(self, _time: int, _cpu: int, _name: bytes, _flags: bytes, _rest: bytes) -> None:
        self._knows_targets = True

    def _call_probed(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        found = _MASK.search(rest)
        if found is not None:
            function = found[2].decode()
            mine = self._open.get(cpu)
            if mine is not None and (mine.probed or mine.function != function):
                self._close(cpu)  # a call of its own, and not the targets of the one before
            self._called(time, cpu, function, cpus_of_mask(found[1]))
            if cpu in self._open:
                self._open[cpu].probed = True

    def _called(self, time: int, cpu: int, function: str, targets: Iterable[int]) -> None:
        """Note that a function is to run on other CPUs."""
        self._knows_targets = True
        others = {target for target in targets if target != cpu}
        mine = self._open.get(cpu)
        if mine is not None and mine.function == function and mine.probed:
            return  # its targets are known
        if mine is not None and mine.function == function and not mine.cpus & others:
            mine.cpus |= others
        elif function in _OF_KERNEL:
            self._kernel_called(time, cpu, function)
        elif function == _OF_USERS:
            self._close(cpu)
            self._begin(self._open, cpu, _Open(time, CallOp.FLUSH_TLB_MM, 0, function, others))
        elif function in SCHEDULER or (function == _PATCHED and "text_poke" in self._probes):
            return
        elif "cpa_flush" not in function and others:
            self._close(cpu)
            self._begin(self._open, cpu, _Open(time, CallOp.CALL, 0, function, others))

    def _kernel_called(self, time: int, cpu: int, function: str) -> None:
        """Note a flush of kernel addresses of which nothing yet tells what asked for it."""
        if self._probes & {"flush_tlb_all", "flush_tlb_kernel_range", "set_memory"}:
            return
        mine = self._kernel.get(cpu)
        if mine is not None and mine.function == function and time == mine.at_ps:
            return  # one more target of the same call
        self._close_kernel(cpu)
        everything = function == _OF_EVERYTHING
        op = CallOp.FLUSH_TLB_ALL if everything else CallOp.FLUSH_TLB_KERNEL_RANGE
        self._begin(self._kernel, cpu, _Open(time, op, 0 if everything else 1, function))

    def _flush_all_probed(
        self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        self._probed(time, cpu, "flush_tlb_all", EVERYTHING, rest)

    def _flush_range_probed(
        self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        self._probed(time, cpu, "flush_tlb_kernel_range", span(rest), rest)

    def _probed(self, time: int, cpu: int, function: str, pages: int, rest: bytes) -> None:
        """Write a flush that a probe saw, unless something that is written asked for it."""
        self._probes.add(function)
        by = _BY.search(rest)
        caller = by[1].decode() if by else ""
        asked = any(part in caller for part in (*_PURGES, *(self._asked_by_changes())))
        if asked or (not caller and "set_memory" in self._probes):
            return
        if pages == EVERYTHING:
            self._write(time, cpu, CallOp.FLUSH_TLB_ALL)
        else:
            self._write(time, cpu, CallOp.FLUSH_TLB_KERNEL_RANGE, pages=pages)

    def _asked_by_changes(self) -> tuple[str, ...]:
        return _ATTRIBUTES if "set_memory" in self._probes else ()

    # Rows.

    def _begin(self, where: dict[int, _Open], cpu: int, call: _Open) -> None:
        """Note a call whose row is written when it is known whole."""
        where[cpu] = call
        if self._start_ps is None:
            self._start_ps = call.at_ps

    def _close(self, cpu: int) -> None:
        mine = self._open.pop(cpu, None)
        if mine is None:
            return
        if mine.op is CallOp.FLUSH_TLB_MM and not self._knows_targets:
            self.untold += 1
            return
        self._write(mine.at_ps, cpu, mine.op, pages=mine.pages, cpus=mine.cpus)

    def _close_kernel(self, cpu: int) -> None:
        mine = self._kernel.pop(cpu, None)
        if mine is not None:
            self._write(mine.at_ps, cpu, mine.op, pages=mine.pages)

    def _write(
        self,
        time: int | None,
        cpu: int,
        op: CallOp,
        *,
        area: int = 0,
        first: int = 0,
        pages: int = 0,
        cpus: Collection[int] = (),
    ) -> None:
        at = "" if time is None else self._since_start(time)
        told = format_cpulist(cpus).replace(",", " ") if cpus else ""
        row = f"{at},{cpu},{op.value},{area or ''},{first or ''},{pages or ''},{told}\n"
        self._file.write(row)
        self.written[op] = self.written.get(op, 0) + 1
        self.last_cpu = max(self.last_cpu, cpu, *cpus)

    def _since_start(self, time: int) -> int:
        """Return an instant as rows have it: 0 is that of the first."""
        if self._start_ps is None:
            self._start_ps = time
        return max(time - self._start_ps, 0)
