"""What counts of interrupts and events say: /proc/interrupts, once or twice, and perf stat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pmsim import formatting
from pmsim.errors import Fault, ScenarioError
from pmsim.imports.found import Imported, sentences
from pmsim.readers.formats import Format
from pmsim.readers.interrupts import Interrupts, read_interrupts
from pmsim.readers.perfstat import read_perfstat
from pmsim.report.table import Cell, Table, count, ident, word
from pmsim.units import S

TLB: Final = "TLB shootdowns"
CALLS: Final = "function calls"
WAKING: Final = "rescheduling"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    TLB: ("TLB shootdowns",),
    CALLS: ("Function call interrupts", "function call interrupts"),
    WAKING: ("Rescheduling interrupts",),
}
"""What is told, and the words that lines of all architectures have for it."""


MANY: Final = 100
"""Interrupts from which on it means something that one CPU got more than the others."""


def import_interrupts(
    paths: tuple[Path, ...], *, isolated: frozenset[int], between_ps: int | None
) -> Imported:
    """Return what /proc/interrupts says: since the machine started, or between two readings.

    Parameters
    ----------
    paths
        One reading, or two, the earlier first.
    isolated
        CPUs that are shown apart.
    between_ps
        The time from the first to the second; None where nobody knows.

    Raises
    ------
    ScenarioError
        If a file cannot be read, or two of them are not of the same machine in this order.
    """
    readings = [read_interrupts(path) for path in paths]
    found = _by_kind(readings[-1])
    if len(readings) > 1:
        found = _difference(paths, readings[0], readings[1])
    cpus = readings[-1].cpus
    if not found:
        message = "there is no line about calls, TLB shootdowns or rescheduling"
        hint = "it is that of a kernel for several CPUs: CAL, TLB, RES or IPI0, IPI1, ..."
        raise ScenarioError([Fault(str(paths[-1]), 0, 0, "nothing-found", message, hint)])
    seconds = None if len(readings) == 1 or not between_ps else between_ps / S
    words = [*_totals(found, seconds, several=len(readings) > 1), *_apart(cpus, found, isolated)]
    return Imported(
        paths[-1].name,
        Format.INTERRUPTS.value,
        sentences([*words, *_notes(found, seconds, several=len(readings) > 1)]),
        (_table(cpus, found, isolated, seconds),),
    )


def _by_kind(reading: Interrupts) -> dict[str, tuple[int, ...]]:
    told = {kind: reading.told_as(*words) for kind, words in KINDS.items()}
    return {kind: counts for kind, counts in told.items() if counts is not None}


def _difference(
    paths: tuple[Path, ...], before: Interrupts, after: Interrupts
) -> dict[str, tuple[int, ...]]:
    """Return what came between two readings."""
    if before.cpus != after.cpus:
        raise _apart_fault(paths[1], "other CPUs are online than in the first file")
    first, second = _by_kind(before), _by_kind(after)
    found = {
        kind: tuple(b - a for a, b in zip(first[kind], second[kind], strict=True))
        for kind in second
        if kind in first
    }
    if any(number < 0 for counts in found.values() for number in counts):
        raise _apart_fault(paths[1], "it counts less than the first file")
    return found


def _apart_fault(path: Path, message: str) -> ScenarioError:
    hint = "two readings of one machine, without a restart between them, the earlier first"
    return ScenarioError([Fault(str(path), 0, 0, "not-together", message, hint)])


def _totals(
    found: Mapping[str, tuple[int, ...]], seconds: float | None, *, several: bool
) -> list[str]:
    since = "between the two readings" if several else "since the machine started"
    said = []
    for kind, counts in found.items():
        total = sum(counts)
        rate = f" ({formatting.rate(total / seconds)})" if seconds else ""
        said.append(f"{formatting.count(total)} interrupts for {kind} {since}{rate}")
    return said


def _apart(
    cpus: tuple[int, ...], found: Mapping[str, tuple[int, ...]], isolated: frozenset[int]
) -> list[str]:
    """Say what isolated CPUs got, and whether one CPU got much more than the others."""
    said = []
    for kind, counts in found.items():
        by_cpu = dict(zip(cpus, counts, strict=True))
        apart = [by_cpu[cpu] for cpu in sorted(isolated) if cpu in by_cpu]
        if apart:
            said.append(f"isolated CPUs got {formatting.count(sum(apart))} for {kind}")
        cpu, most = max(by_cpu.items(), key=lambda one: one[1])
        others = (sum(counts) - most) / max(len(counts) - 1, 1)
        if len(counts) > 1 and most >= MANY and most > 2 * others:
            share = "all"
            if others:
                share = f"{formatting.number(most / others)} times the mean of the others"
            said.append(f"CPU {cpu} got {share} for {kind}")
    return said


def _notes(
    found: Mapping[str, tuple[int, ...]], seconds: float | None, *, several: bool
) -> list[str]:
    notes = []
    if several and seconds is None:
        notes.append("--between TIME, the time from the first file to the second, gives rates")
    if TLB in found and CALLS in found:
        notes.append(
            "TLB counts flushes that a CPU ran for others, calls the interrupts that brought them"
            " and all other cross-calls (x86, since 4.9)"
        )
    if TLB not in found:
        notes.append(
            "this architecture does not count TLB shootdowns: they are broadcast in hardware, or"
            " among the function calls"
        )
    return notes


def _table(
    cpus: tuple[int, ...],
    found: Mapping[str, tuple[int, ...]],
    isolated: frozenset[int],
    seconds: float | None,
) -> Table:
    order = sorted(range(len(cpus)), key=lambda at: (cpus[at] not in isolated, cpus[at]))
    rows = []
    for at in order:
        name = f"{cpus[at]} (isolated)" if cpus[at] in isolated else f"{cpus[at]}"
        cells: list[Cell] = [Cell(name, float(cpus[at]))]
        for counts in found.values():
            cells.append(count(counts[at]))
            if seconds:
                cells.append(Cell(formatting.rate(counts[at] / seconds), counts[at] / seconds))
        rows.append(tuple(cells))
    columns = [name for kind in found for name in ((kind, "per second") if seconds else (kind,))]
    return Table("interrupts by CPU", ("CPU", *columns), tuple(rows))


def import_perfstat(path: Path, *, between_ps: int | None) -> Imported:
    """Return what perf stat counted.

    Parameters
    ----------
    path
        The file.
    between_ps
        How long it counted, where the file does not tell.

    Raises
    ------
    ScenarioError
        If the file cannot be read, or has no counts.
    """
    stat = read_perfstat(path)
    if not stat.counts:
        hint = "perf stat -a -e tlb:tlb_flush,csd:csd_queue_cpu sleep 10 2> FILE"
        raise ScenarioError([Fault(str(path), 0, 0, "nothing-found", "there are no counts", hint)])
    told = stat.seconds
    if told is None and between_ps:
        stat.seconds = between_ps / S
    names = sorted({name for name, _ in stat.counts})
    totals = {
        name: sum(number for (other, _), number in stat.counts.items() if other == name)
        for name in names
    }
    most = max(totals, key=lambda name: totals[name])
    rate = f" ({formatting.rate(totals[most] / stat.seconds)})" if stat.seconds else ""
    said = [f"the event {most} came {formatting.count(totals[most])} times{rate}"]
    if not any("tlb" in name.lower() or "csd" in name or "ipi" in name for name in names):
        said.append("none of the events is about TLBs or cross-calls: -e tlb:tlb_flush counts them")
    for name, why in stat.uncounted.items():
        said.append(f"perf did not count {name}: {why}")
    if stat.seconds is None:
        said.append("the file does not tell how long it counted: --between 10s gives rates")
    rows = []
    for (name, cpu), number in sorted(stat.counts.items(), key=lambda one: -one[1]):
        per_second = Cell("")
        if stat.seconds:
            per_second = Cell(formatting.rate(number / stat.seconds), number / stat.seconds)
        where = word("all") if cpu is None else ident(cpu)
        rows.append((word(name), where, count(number), per_second))
    table = Table("events", ("event", "CPU", "number", "per second"), tuple(rows))
    return Imported(path.name, Format.PERF_STAT.value, sentences(said), (table,))
