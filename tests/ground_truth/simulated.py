"""Runs steps on a simulated kernel and counts what a tracer on a real one counts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MS, S
from tests.ground_truth.noise import Counts, is_ranged
from tests.ground_truth.observed import HUGE, LINUX_6_1, Counted, as_span
from tests.kernel.booted import small_machine

_NO_FLUSHES = (CallKind.SYNC_CORE.name, CallKind.EMPTY.name)

GUARD = 1
SETTLE = 10 * S
"""Pause after a step, in which the kernel's workers finish."""

Calls = Generator[Any, Any, Any]
Step = Callable[[KernelHandle], Calls]


@dataclass
class Event:
    """A call of the kernel or a broadcast, as it began."""

    start: int
    order: int
    kind: str
    pages: int
    worker: bool
    cause: int = -1
    inside: str = ""
    targets: int = 0


@dataclass
class Simulation:
    """One simulated kernel, and the events of each step that it ran.

    Attributes
    ----------
    cpus
        CPUs of its machine.
    counted
        The kernel that it stands for.
    costs
        CPU time of its work.
    settle
        Pause after each step; without one, what a step leaves to workers falls into later steps.
    quantum
        How long a task runs while another waits for the CPU.
    """

    cpus: int
    counted: Counted = LINUX_6_1
    costs: KernelCosts | None = None
    settle: int = SETTLE
    quantum: int = 3 * MS
    kernel: Kernel = field(init=False)
    events: list[Event] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    returns: list[int] = field(default_factory=list)
    handlers: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _operations: list[dict[str, Any]] = field(default_factory=list)
    _crosscalls: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _aliases: list[int] = field(default_factory=list)

    def run(self, steps: list[Step]) -> None:
        """Run steps one after the other."""
        machine = small_machine(self.cpus, quantum=self.quantum)
        self.boot(machine)
        machine.spawn(0, lambda task: self._drive(machine, task, steps), name="driver")
        machine.run()
        self.gather()

    def boot(self, machine: Machine) -> None:
        """Boot the kernel on a machine, its probes armed."""
        profile = load_profile(self.counted.profile)
        self.kernel = Kernel(machine, profile, self.costs, sink=self._note)
        machine.on_crosscalls = self._crosscalls.append
        self._probe_aliases(machine)

    def gather(self) -> None:
        """Put what was noted in the order of time."""
        self.kernel.operations.flush()
        self.events = sorted(self._gathered(), key=lambda event: (event.start, event.order))

    def _note(self, columns: Any) -> None:
        rows = zip(*columns.values(), strict=True)
        self._operations += [dict(zip(columns, row, strict=True)) for row in rows]

    def _probe_aliases(self, machine: Machine) -> None:
        """Note each call of vm_unmap_aliases, which has no row of its own."""
        purge = self.kernel.purge
        for name in ("unmap_aliases", "flush_with_aliases"):
            setattr(purge, name, self._probed(machine, getattr(purge, name)))

    def _probed(self, machine: Machine, call: Callable[..., Calls]) -> Callable[..., Calls]:
        def probe(*arguments: Any) -> Calls:
            self._aliases.append(machine.now)
            return call(*arguments)

        return probe

    def _drive(self, machine: Machine, task: Task, steps: list[Step]) -> Calls:
        handle = KernelHandle(self.kernel, task)
        for step in steps:
            before = _functions_run(machine)
            self.begins.append(task.now)
            yield from step(handle)
            self.returns.append(task.now)
            if self.settle:
                yield from task.sleep(self.settle)
            self.handlers.append(_functions_run(machine) - before)

    def _gathered(self) -> Generator[Event, None, None]:
        kinds = {row["id"]: row for row in self._operations}
        for row in self._operations:
            worker = row["workload"].startswith("kworker")
            yield Event(row["start_ps"], row["id"], row["kind"], row["pages"], worker)
        for chunk in self._crosscalls:
            for values in chunk.tolist():
                call = dict(zip(CROSSCALL_COLUMNS, values, strict=True))
                within = kinds[call["operation"]]["kind"]
                worker = kinds[call["operation"]]["workload"].startswith("kworker")
                kind = CallKind(call["kind"]).name
                yield Event(
                    call["start_ps"], 1 << 60, kind, call["pages"], worker, call["cause"], within,
                    call["targets"],
                )  # fmt: skip

    def step_events(self, step: int) -> list[Event]:
        """Return the events of a step, those after its return included."""
        begin = self.begins[step]
        end = self.begins[step + 1] if step + 1 < len(self.begins) else 1 << 62
        return [event for event in self.events if begin <= event.start < end]

    def counts(self, step: int, *, several: bool = False) -> Counts:
        """Return the counts of a step."""
        events = self.step_events(step)
        window = self.begins[step], (*self.begins, 1 << 62)[step + 1]
        numbers = self.numbers(events, window, self.returns[step])
        others = numbers["n_sync_core_cross"] + numbers["n_misc_cross"]
        handlers = (self.handlers[step] - others).tolist()
        broadcasts = [numbers["n_cross_calls"]] * self.cpus
        assert handlers == broadcasts, "every broadcast runs once on every CPU"
        spans = tuple(as_span(event.pages) for event in _flushes(events))
        # A flush may ask for less than its call: its size is that of the set_memory call.
        return Counts(self.cpus, numbers, spans, _attribute_pages(events), several)

    def numbers(
        self, events: list[Event], window: tuple[int, int], returned: int
    ) -> dict[str, int]:
        """Return how many there are of each kind of event.

        Parameters
        ----------
        events
            Those within the window.
        window
            From when until when.
        returned
            When the call returned.
        """
        tlb = [e for e in events if e.cause >= 0 and e.kind not in _NO_FLUSHES]
        flushes = _flushes(events)
        attributes = [e for e in tlb if e.cause == Cause.ATTRIBUTES]
        return {
            **_calls(events),
            "n_cpa_flush": len(attributes),
            "n_flush_tlb_all": _full(attributes) + sum(e.cause == Cause.SPLIT for e in tlb),
            "n_flush_tlb_all_by_cpa": _full(attributes),
            "n_flush_tlb_all_by_split": sum(e.cause == Cause.SPLIT for e in tlb),
            "n_flush_tlb_all_by_other": sum(e.cause > Cause.TEXT_POKE for e in tlb),
            "n_flush_tlb_kernel_range": len(flushes),
            "n_fkr_by_purge": sum(e.inside == "purge" for e in flushes),
            "n_fkr_by_aliases": sum(e.inside != "purge" for e in flushes),
            "n_cross_calls": len(tlb),
            "n_cross_full": _full(tlb),
            "n_cross_range": sum(is_ranged(as_span(e.pages)) for e in flushes),
            "n_cross_cpa": len(attributes) - _full(attributes),
            "n_cross_after_ret": sum(e.start >= returned for e in tlb),
            "n_cross_kworker": sum(e.worker for e in tlb),
            "n_cross_other": 0,
            "targets": sum(e.targets for e in tlb),
            "n_sync_core_cross": sum(e.kind == CallKind.SYNC_CORE.name for e in events),
            "n_misc_cross": sum(e.kind == CallKind.EMPTY.name for e in events),
            "n_vm_unmap_aliases": sum(window[0] <= at < window[1] for at in self._aliases),
        }

    def tokens(self, step: int) -> list[str]:
        """Return the order of calls and broadcasts of a step, in the codes of the table."""
        return [token for event in self.step_events(step) if (token := _token(event))]


def _functions_run(machine: Machine) -> npt.NDArray[np.int64]:
    """Return how many functions of cross-calls each CPU has run, its own included."""
    sample = machine.accounts()
    run: npt.NDArray[np.int64] = sample["handlers"] + sample["crosscalls_sent"]
    return run


def _flushes(events: list[Event]) -> list[Event]:
    """Return the flushes of kernel ranges."""
    return [event for event in events if event.cause in (Cause.PURGE, Cause.RESET_PERMS)]


def _full(calls: list[Event]) -> int:
    return sum(event.kind == CallKind.FULL.name for event in calls)


def _calls(events: list[Event]) -> dict[str, int]:
    """Count the calls of kernel functions."""
    set_memory = [event for event in events if event.kind.startswith("set_memory_")]
    freed = [event.pages + GUARD for event in events if event.kind == "vfree"]
    by_kind = {
        f"n_set_memory_{name}": sum(e.kind == f"set_memory_{name}" for e in set_memory)
        for name in ("ro", "rox", "rw", "x", "nx")
    }
    return {
        **by_kind,
        "n_set_memory_empty": sum(event.pages == 0 for event in set_memory),
        "n_text_poke_bp_batch": sum(event.kind == "text_poke_bp_batch" for event in events),
        "n_vmalloc": sum(event.kind == "vmalloc" for event in events),
        "n_vfree": len(freed),
        "vfree_pages_with_guard": sum(freed),
    }


def _attribute_pages(events: list[Event]) -> tuple[int, ...]:
    """Return the pages of each set_memory call that flushed."""
    pages, last = [], 0
    for event in events:
        if event.kind.startswith("set_memory_"):
            last = event.pages
        elif event.cause == Cause.ATTRIBUTES:
            pages.append(last)
    return tuple(pages)


_MARKS = {
    "text_poke_bp_batch": "<text_poke>",
    "do_init_module": "<do_init_module>",
    "do_free_init": "<do_free_init>",
    "free_module": "<free_module>",
    "vfree": "vfree",
}


def _token(event: Event) -> str | None:
    """Return the code of an event; None for one that the table leaves out."""
    if event.kind.startswith("set_memory_"):
        return f"{event.kind.removeprefix('set_memory_')}{event.pages}"
    if event.cause in (Cause.PURGE, Cause.RESET_PERMS):
        span = as_span(event.pages)
        return "!KR(huge)" if span == HUGE else f"!KR({span})"
    if event.cause == Cause.ATTRIBUTES:
        return "!ALL" if event.kind == CallKind.FULL.name else f"!CPA({event.pages})"
    if event.cause == Cause.SPLIT:
        return "!SPLIT"
    return _MARKS.get(event.kind)
