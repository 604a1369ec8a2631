"""A run as the text of a kernel trace: what ftrace would have written there.

Calls of the kernel become events of probes on its functions, flushes of processes ``tlb_flush``,
and IPI calls ``csd`` and ``ipi`` events: those of the part of the run that ``measure.detail``
gives, as of the others not all targets are kept. Times have nanoseconds (``trace-cmd report -t``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pmsim.escaping import visible
from pmsim.report.spans import Window
from pmsim.simulation.result.files import new_files
from pmsim.simulation.tables.columns import DETAILED
from pmsim.units import NS, Bytes, S

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

GUARD: Final = 1
"""Pages behind an area that are never mapped (include/linux/vmalloc.h, ``VM_NO_GUARD`` unset)."""
FIRST_PID: Final = 1000
"""The number of the first task: those of the kernel's own daemons are smaller."""

_FUNCTIONS: Final = {"sync_core": "do_sync_core", "empty": "smp_call_function"}
"""What other CPUs run that drops no translation, by the kind of the call."""
_CALLERS: Final = {
    "attributes": "change_page_attr_set_clr",
    "split": "__change_page_attr_set_clr",
    "purge": "__purge_vmap_area_lazy",
    "reset_perms": "_vm_unmap_aliases",
}
"""Who asks for a kernel flush of that cause (mm/vmalloc.c, arch/x86/mm/pat/set_memory.c)."""
_HERE: Final = "local MM shootdown (3)"
_CSD_INTERRUPT: Final = "generic_smp_call_function_single_interrupt+0x0/0x10"

Row = Any
"""A row of a table: its cells by the names of columns."""
Line = tuple[int, int, str]
"""Instant, CPU, and the rest: who, flags and event."""


def write_ftrace(result: Result, path: Path, window: Window, *, force: bool = False) -> Path:
    """Write a run as the text of a kernel trace, and return where it is.

    Parameters
    ----------
    result
        The run.
    path
        The file.
    window
        Which replication, and which part of it.
    force
        Whether a file that is there already is replaced.

    Raises
    ------
    OutputError
        If the file is there already, or cannot be written.
    """
    lines = [*_operations(result, window), *_kernel_flushes(result, window)]
    lines += _calls(result, window)
    lines.sort(key=lambda line: line[0])  # stable: what a call does stays behind the call
    cpus = result.summary.cpus
    with new_files([path], force=force) as (half,), half.open("w", encoding="utf-8") as out:
        out.write(
            "# tracer: nop\n#\n"
            f"# entries-in-buffer/entries-written: {len(lines)}/{len(lines)}   #P:{cpus}\n#\n"
            "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
        )
        out.writelines(map(_text, lines))
    return path


def _text(line: Line) -> str:
    at, cpu, rest = line
    who, flags, event = rest.split("\t")
    stamp = f"{at // S}.{at % S // NS:09}"
    return f"{who:>24} [{cpu:03}] {flags} {stamp:>16}: {event}\n"


def _who(row: Row, workload: str) -> str:
    name = visible(workload).replace("\t", " ").replace(" ", "_")[:15] or "task"
    return f"{name}-{FIRST_PID + int(row['task'])}"


def _operations(result: Result, window: Window) -> Iterator[Line]:
    """Yield the calls that workloads made, not what followed from them."""
    rows = window.rows(result.operations)
    for row in rows[rows["parent"].isna()].to_dict("records"):
        event = _event(row, result.page_size)
        if not event:
            continue
        who, cpu = _who(row, row["workload"]), int(row["cpu"])
        yield int(row["start_ps"]), cpu, f"{who}\t.....\t{event}"
        if row["kind"] == "flush_tlb_mm_range" and row["crosscalls"]:
            own = f"tlb_flush: pages:{row['pages'] or -1} reason:{_HERE}"
            yield int(row["end_ps"]), cpu, f"{who}\td..2.\t{own}"


def _event(row: Row, page_size: Bytes) -> str:
    """Return the event of a call; empty for what no probe stands in."""
    kind, pages = str(row["kind"]), int(row["pages"])
    place = f"({kind}+0x0/0x1)"
    if _known(row["page"]):
        start = int(row["page"]) * page_size
        area = f"s=0x{start:x} e=0x{start + (pages + GUARD) * page_size:x}"
        if kind in ("vmalloc", "vmalloc_huge"):
            return f"alloc_vmap_area: (__get_vm_area_node+0x0/0x1 <- alloc_vmap_area) {area}"
        if kind == "vfree":
            return f"free_vmap_area_noflush: (free_vmap_area_noflush+0x0/0x1) {area}"
        return f"{kind}: {place} a=0x{start:x} n={pages}"
    if kind == "flush_tlb_mm_range":
        told = "remote IPI send (4)" if row["crosscalls"] else _HERE
        return f"tlb_flush: pages:{pages or -1} reason:{told}"
    if kind == "flush_tlb_all":
        return f"{kind}: {place} by=workload"
    if kind == "flush_tlb_kernel_range":
        return f"{kind}: {place} s=0x0 e=0x{pages * page_size:x} by=workload"
    return f"{kind}: {place} by=workload" if kind == "vm_unmap_aliases" else ""


def _kernel_flushes(result: Result, window: Window) -> Iterator[Line]:
    """Yield the flushes that followed from calls, each with the function that asked for it."""
    rows = window.rows(result.crosscalls)
    for row in rows[rows["cause"].isin(list(_CALLERS))].to_dict("records"):
        function = "flush_tlb_all" if row["kind"] == "full" else "flush_tlb_kernel_range"
        event = f"{function}: ({function}+0x0/0x1) by={_CALLERS[str(row['cause'])]}+0x0/0x1"
        yield int(row["start_ps"]), int(row["cpu"]), f"{_who(row, 'kernel')}\t.....\t{event}"


def _calls(result: Result, window: Window) -> Iterator[Line]:
    """Yield what happened at each target of the calls that were kept whole."""
    rows = window.rows(result.anatomy)
    kept = rows[rows["which"] == DETAILED]
    for _, call in kept[kept["kind"] == "empty"].groupby(["initiator", "start_ps"], sort=False):
        first = call.iloc[0]
        mask = sum(1 << int(cpu) for cpu in call["cpu"])
        function = "smp_call_function_many_cond"
        event = f"{function}: ({function}+0x0/0x1) mask=0x{mask:x} f={_function(first)}+0x0/0x1"
        who = _who(first, "caller")
        yield int(first["start_ps"]), int(first["initiator"]), f"{who}\t.....\t{event}"
    for row in kept.to_dict("records"):
        yield from _target(row)


def _target(row: Row) -> Iterator[Line]:
    """Yield what happened at one target of a call."""
    caller, target, function = int(row["initiator"]), int(row["cpu"]), _function(row)
    csd = f"csd={caller + 1:08x}{target:08x}"
    who, callsite = _who(row, "caller"), "callsite=on_each_cpu_cond_mask+0x0/0x1"
    queued = f"cpu={target} {callsite} func={function} {csd}"
    yield int(row["queued_ps"]), caller, f"{who}\td..2.\tcsd_queue_cpu: {queued}"
    if _known(row["sent_ps"]):
        sent = f"cpu={target} {callsite} callback={_CSD_INTERRUPT}"
        yield int(row["sent_ps"]), caller, f"{who}\td..2.\tipi_send_cpu: {sent}"
    for at, event in ((row["runs_ps"], "entry"), (row["done_ps"], "exit")):
        what = f"csd_function_{event}: func={function}, {csd}"
        yield int(at), target, f"<...>-{target + 1}\td.h..\t{what}"


def _function(row: Row) -> str:
    """Return what other CPUs run in a call."""
    if row["cause"] == "user":
        return "flush_tlb_func"
    return _FUNCTIONS.get(row["kind"], "do_flush_tlb_all")


def _known(value: Any) -> bool:
    """Return whether a cell holds something: neither none nor no number."""
    return value is not None and value == value
