"""The report of a trace: sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pmsim import formatting
from pmsim.imports.spread import Spread
from pmsim.imports.trace.calls import IDLE_NAMES, SCHEDULER, Slow, Target
from pmsim.imports.trace.flushes import Kind
from pmsim.imports.trace.seen import SeenTrace
from pmsim.report.table import Cell, Table, count, ident, part, time, word
from pmsim.units import PAGE_SIZE, TIB, S

TOP: Final = 10
"""Names that a table shows; the rest is one row."""
FEW: Final = 10
"""Events from which on a rate is told."""
CALLERS: Final[Mapping[str, str]] = {
    "__purge_vmap_area_lazy": "a purge of lazily freed areas",
    "_vm_unmap_aliases": "a purge of lazily freed areas",
    "change_page_attr_set_clr": "changed page attributes",
    "__change_page_attr_set_clr": "a split large page of the direct map",
    "cpa_flush": "changed page attributes",
}
"""What asked for a kernel flush, by the function that called it (arch/x86/mm/pat/set_memory.c,
mm/vmalloc.c)."""
FUNCTIONS: Final[Mapping[str, str]] = {
    "flush_tlb_func": "flush of a process",
    "do_flush_tlb_all": "flush of everything",
    "do_kernel_range_flush": "flush of kernel addresses",
    "kernel_tlb_flush_range": "flush of kernel addresses",
    "__cpa_flush_tlb": "flush of changed page attributes",
    "do_sync_core": "patched code",
    "sched_ttwu_pending": "a task woken there",
    "nohz_csd_func": "the scheduler's tick",
    "rcu_barrier_handler": "RCU",
    "ipi_mb": "membarrier",
    "ipi_sync_core": "membarrier",
}
"""What a function does that CPUs have others run (arch/x86/mm/tlb.c, kernel/sched)."""


def trace_words(seen: SeenTrace, isolated: frozenset[int]) -> list[str]:
    """Return what the trace says, the most important first."""
    said = [*_flush_words(seen), *_delay_words(seen), *_isolated_words(seen, isolated)]
    return [*said, *_area_words(seen), *_reading_words(seen)]


def trace_tables(seen: SeenTrace, isolated: frozenset[int]) -> list[Table]:
    """Return the tables of the report, those without a row left out."""
    tables = [
        _flushes(seen),
        _names(seen),
        _functions(seen),
        _delays(seen),
        _cpus(seen, isolated),
        _slowest(seen),
        _areas(seen),
        _calls(seen),
        _windows(seen),
        _reading(seen),
    ]
    return [table for table in tables if table.rows]


def user_flushes(seen: SeenTrace) -> Kind:
    """Return flushes of processes: as the event tells them, or as a probe does where none does."""
    told, probed = seen.flushes.user, seen.flushes.probed_user
    return told if told.count or seen.flushes.user_local.count else probed


def _flush_words(seen: SeenTrace) -> list[str]:
    flushes, said = seen.flushes, []
    user = user_flushes(seen)
    if user.count:
        name, most = max(user.names.items(), key=lambda one: one[1])
        said.append(
            f"{_flushed(user.count)} of processes{_per_second(seen, user.count)}"
            f" {'were' if user.count > 1 else 'was'} told to other CPUs"
            f"{_reached(seen) if user is flushes.user else ''}:"
            f" {formatting.share(user.full / user.count)} of everything, the others of"
            f" {formatting.counted(user.pages.quantile(0.5), 'page')} (median);"
            f" {formatting.share(most / user.count)} by {_name(name)}"
        )
    for (function, caller), kind in sorted(
        flushes.by_caller.items(), key=lambda one: -one[1].count
    )[:1]:
        why = CALLERS.get(caller, caller or "nobody tells what for")
        said.append(
            f"of the kernel's own flushes most were {function}: {formatting.count(kind.count)},"
            f" for {why}"
        )
    return said


def _flushed(number: int) -> str:
    return f"{formatting.count(number)} flush{'' if number == 1 else 'es'}"


def _reached(seen: SeenTrace) -> str:
    """Say how many flushes of a process called another CPU, where the trace tells."""
    called = seen.calls.functions.get("flush_tlb_func")
    return f", {formatting.count(called.calls)} of them reached one" if called else ""


def _per_second(seen: SeenTrace, number: int) -> str:
    span = seen.reading.span_ps
    if seen.reading.counts or not span or number < FEW:
        return ""
    return f" ({formatting.rate(number * S / span)})"


def _delay_words(seen: SeenTrace) -> list[str]:
    said: list[str] = []
    flushing = [name for name in seen.calls.functions if name not in SCHEDULER]
    worst = max(flushing, key=lambda name: seen.calls.functions[name].whole.total, default=None)
    if worst is not None and seen.calls.functions[worst].whole.n:
        whole = seen.calls.functions[worst].whole
        delay = seen.calls.functions[worst].delay
        said.append(
            f"a {FUNCTIONS.get(worst, 'call')} ({worst}) took a median of"
            f" {formatting.time(whole.quantile(0.5))} from the last interrupt to the last exit,"
            f" {formatting.time(whole.quantile(0.99))} at the 99th percentile and"
            f" {formatting.time(whole.largest)} at most; a target began it"
            f" {formatting.time(delay.quantile(0.5))} (median) after it was queued"
        )
    slow = [one for one in seen.calls.slowest if one.function not in SCHEDULER]
    if slow:
        one = max(slow)
        said.append(
            f"the slowest began {formatting.time(one.delay_ps)} late, on CPU {one.cpu}, which"
            f" {'was idle' if one.task in IDLE_NAMES else f'ran {_name(one.task)}'}"
        )
    for name, known in seen.calls.functions.items():
        if name in flushing and known.queued > known.interrupts and known.interrupts:
            rode = known.queued - known.interrupts
            said.append(
                f"{formatting.share(rode / known.queued)} of {name} needed no interrupt of their"
                f" own: {formatting.count(rode)} found another call in the queue, or the CPU"
                " polling"
            )
    return said


def _isolated_words(seen: SeenTrace, isolated: frozenset[int]) -> list[str]:
    told = [cpu for cpu in sorted(isolated) if cpu in seen.calls.targets]
    if not isolated:
        return []
    if not told:
        return ["no isolated CPU was called or interrupted for a call"]
    number = sum(_interrupts(seen.calls.targets[cpu]) for cpu in told)
    worst = max(told, key=lambda cpu: _interrupts(seen.calls.targets[cpu]))
    return [
        f"isolated CPUs were interrupted {formatting.counted(number, 'time')}"
        f"{_per_second(seen, number)}, CPU {worst} most often"
    ]


def _area_words(seen: SeenTrace) -> list[str]:
    areas = seen.areas
    if not areas.allocated and not areas.freed:
        return []
    said = (
        f"{formatting.counted(areas.allocated, 'area')} allocated and"
        f" {formatting.count(areas.freed)} lazily freed"
    )
    if areas.purges.n:
        said += (
            f"; {formatting.counted(areas.purges.n, 'purge')}, each of"
            f" {formatting.count(areas.purges.quantile(0.5))} areas (median)"
        )
    if areas.lazy_limit is not None:
        said += f"; at most {formatting.count(areas.lazy_most or 0)} pages were lazily freed,"
        said += f" where {formatting.count(areas.lazy_limit)} ask for a purge"
    return [said]


def _reading_words(seen: SeenTrace) -> list[str]:
    reading, said = seen.reading, []
    if reading.counts:
        said.append("its clock counts, so that no time in it means anything but an order")
    if reading.lost_marks:
        number = formatting.count(reading.lost_events) if reading.lost_events else "some"
        said.append(
            f"{number} events are missing in {formatting.counted(reading.lost_marks, 'place')};"
            " what was under way there is left out"
        )
    if reading.foreign or reading.cut:
        cut = ", and the file ends in the middle" if reading.cut else ""
        said.append(f"{formatting.counted(reading.foreign, 'line')} could not be read{cut}")
    if reading.other_clock:
        said.append(f"{formatting.counted(reading.other_clock, 'event')} of another clock left out")
    if reading.backwards:
        said.append(
            f"{formatting.counted(reading.backwards, 'event')} are earlier than the one before on"
            " their CPU: its clock is not monotonic, or the trace was put together of several"
        )
    if not (seen.calls.functions or seen.flushes.user.count or seen.flushes.by_caller
            or seen.areas.allocated):  # fmt: skip
        said.append(
            "there is no event of flushes, cross-calls or areas in it: record tlb, csd, ipi,"
            " vmalloc (see the documentation of pmsim import)"
        )
    return said


def _flushes(seen: SeenTrace) -> Table:
    flushes = seen.flushes
    rows = [
        ("of processes, others told", "tlb_flush", flushes.user),
        ("of processes, here alone", "tlb_flush", flushes.user_local),
        ("of processes", "flush_tlb_mm_range", flushes.probed_user),
        *(
            (CALLERS.get(caller, caller or "kernel addresses"), function, kind)
            for (function, caller), kind in sorted(
                flushes.by_caller.items(), key=lambda one: -one[1].count
            )
        ),
    ]
    return Table(
        "flushes by cause",
        ("flush", "seen by", "number", "of everything", "pages, median", "pages, most"),
        tuple(
            (
                word(what),
                word(by),
                count(kind.count),
                count(kind.full),
                _pages(kind.pages.quantile(0.5)),
                _pages(kind.pages.largest),
            )
            for what, by, kind in rows
            if kind.count
        ),
        "The same flush may be seen by several. A flush from one range of addresses to another, as"
        " a purge of both makes it, is told by its size.",
    )


def _pages(number: int) -> Cell:
    """Return pages; a span across half of the address space in units that people read."""
    far = number * PAGE_SIZE >= TIB
    return Cell(formatting.size(number * PAGE_SIZE), float(number)) if far else count(number)


def _names(seen: SeenTrace) -> Table:
    kind = user_flushes(seen)
    return Table(
        "flushes by process",
        ("process", "flushes", "share"),
        tuple(
            (word(name), count(number), part(number / kind.count))
            for name, number in _top(kind.names)
        ),
    )


def _top(names: Mapping[bytes, int]) -> list[tuple[str, int]]:
    """Return the commonest names, and all others together."""
    ordered = sorted(names.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(number for _, number in ordered[TOP:])
    shown = [(_name(name), number) for name, number in ordered[:TOP]]
    return [*shown, ("all others", rest)] if rest else shown


def _functions(seen: SeenTrace) -> Table:
    return Table(
        "cross-calls by function",
        ("function", "what for", "calls", "targets", "interrupts", "no interrupt of their own"),
        tuple(
            (
                word(name),
                word(FUNCTIONS.get(name, "")),
                count(known.calls),
                count(known.queued),
                count(known.interrupts),
                count(max(known.queued - known.interrupts, 0)),
            )
            for name, known in sorted(seen.calls.functions.items(), key=lambda one: -one[1].queued)
            if known.queued
        ),
        "A target whose queue is not empty, or that polls while it idles, gets no interrupt.",
    )


def _delays(seen: SeenTrace) -> Table:
    rows: list[tuple[Cell, ...]] = []
    if seen.reading.counts:
        return Table("how long cross-calls took", (), ())
    for name, known in sorted(seen.calls.functions.items(), key=lambda one: -one[1].queued):
        for what, spread in (
            ("queue to entry", known.delay),
            ("function", known.duration),
            ("last interrupt to last exit", known.whole),
        ):
            if spread.n:
                rows.append((word(name), word(what), *_spread(spread)))
    return Table(
        "how long cross-calls took",
        ("function", "from", "number", "median", "90 %", "99 %", "99.9 %", "longest"),
        tuple(rows),
    )


def _spread(spread: Spread) -> tuple[Cell, ...]:
    at = [time(spread.quantile(share)) for share in (0.5, 0.9, 0.99, 0.999)]
    return (count(spread.n), *at, time(spread.largest))


def _cpus(seen: SeenTrace, isolated: frozenset[int]) -> Table:
    timed = not seen.reading.counts
    rows = []
    ordered = sorted(
        seen.calls.targets.items(), key=lambda one: (one[0] not in isolated, -_interrupts(one[1]))
    )
    for cpu, target in ordered:
        names = [name for name, _ in _top(target.tasks)][:3]
        idle = part(target.idle / target.functions) if target.functions else word("")
        rows.append(
            (
                Cell(f"{cpu} (isolated)" if cpu in isolated else f"{cpu}", float(cpu)),
                count(_interrupts(target)),
                count(target.functions),
                idle,
                *([time(target.delay.quantile(0.5)), time(target.delay.largest)] if timed else []),
                count(target.rescheduled),
                word(", ".join(names)),
            )
        )
    late = ("late, median", "late, most") if timed else ()
    return Table(
        "who was interrupted",
        ("CPU", "interrupts", "functions", "while idle", *late, "rescheduled", "what it ran"),
        tuple(rows),
        "Interrupts for calls; late: from the queue to the entry of the function.",
    )


def _interrupts(target: Target) -> int:
    """Return how often a CPU was interrupted: as it says itself, or as the senders do."""
    return target.taken or target.sent


def _slowest(seen: SeenTrace) -> Table:
    def row(one: Slow) -> tuple[Cell, ...]:
        at = one.at_ps - seen.reading.first_ps
        return (
            time(one.delay_ps),
            time(at),
            ident(one.cpu),
            word(_name(one.task)),
            word(one.function),
            ident(one.initiator),
        )

    return Table(
        "slowest deliveries",
        ("late", "after the start", "CPU", "ran", "function", "called by CPU"),
        tuple(row(one) for one in sorted(seen.calls.slowest, reverse=True)),
    )


def _areas(seen: SeenTrace) -> Table:
    areas = seen.areas
    rows: list[tuple[Cell, ...]] = []
    for name, spread, cell in (
        ("pages of an area, with its guard", areas.pages, count),
        ("areas that a purge gives back", areas.purges, count),
        ("pages from its lowest to its highest", areas.spans, count),
        *(
            ()
            if seen.reading.counts
            else (
                ("an area's life", areas.lives, time),
                ("from purge to purge", areas.apart, time),
            )
        ),
    ):
        if spread.n:
            values = [cell(spread.quantile(at)) for at in (0.5, 0.9)]
            rows.append((word(name), count(spread.n), *values, cell(spread.largest)))
    return Table(
        "areas of the kernel's address space",
        ("what", "number", "median", "90 %", "most"),
        tuple(rows),
    )


def _calls(seen: SeenTrace) -> Table:
    return Table(
        "calls of the kernel that probes saw",
        ("function", "number", "pages or sites, median", "most", "commonest caller"),
        tuple(
            (
                word(name),
                count(kind.count),
                count(kind.pages.quantile(0.5)),
                count(kind.pages.largest),
                word(_top(kind.names)[0][0]),
            )
            for name, kind in sorted(seen.happenings.calls.items(), key=lambda one: -one[1].count)
        ),
    )


def _windows(seen: SeenTrace) -> Table:
    windows = {} if seen.reading.counts else seen.happenings.windows
    return Table(
        "windows with interrupts off",
        ("CPU", "number", "median", "90 %", "99 %", "99.9 %", "longest"),
        tuple((ident(cpu), *_spread(spread)) for cpu, spread in sorted(windows.items())),
    )


def _reading(seen: SeenTrace) -> Table:
    reading = seen.reading
    covered = word("unknown") if reading.counts else time(reading.span_ps)
    faults = {
        "lines that could not be read": reading.foreign,
        "marks of lost events": reading.lost_marks,
        "lost events, where their number is told": reading.lost_events,
        "events of another clock": reading.other_clock,
        "events earlier than the one before": reading.backwards,
        "functions that ran for a call not in the trace": seen.calls.unmatched,
        "deliveries that ended before they began": seen.calls.negative,
    }
    aside = sorted(reading.unknown.items(), key=lambda one: -one[1])[:TOP]
    facts = [
        ("lines", count(reading.lines)),
        ("events", count(reading.events)),
        ("time covered", covered),
        *((what, count(number)) for what, number in faults.items() if number),
        *((f"left aside: {_name(name)}", count(number)) for name, number in aside),
    ]
    return Table("what was read", ("what", "number"), tuple((word(a), b) for a, b in facts))


def _name(name: bytes) -> str:
    """Return the name of a task or an event as people read it."""
    if name in IDLE_NAMES:
        return "idle"
    text = name.decode("utf-8", "replace")
    return "unknown (<...>)" if text == "<...>" else text
