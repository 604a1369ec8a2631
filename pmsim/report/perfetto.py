"""A timeline that the Perfetto UI opens (https://ui.perfetto.dev), as its protocol buffers.

Perfetto counts whole nanoseconds. Every instant is rounded down to one, so what nests still nests
and what follows still follows; the exact picoseconds stand beside each span.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pmsim.errors import OutputError
from pmsim.escaping import visible
from pmsim.report.span import Span
from pmsim.report.spans import Spans, Window, spans_of
from pmsim.simulation.result.files import new_files
from pmsim.units import NS

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

IN_FLIGHT: Final = "calls in flight"
"""The counter of shootdowns that have begun and not ended."""
LAZY: Final = "lazily freed pages"
"""The counter of pages that wait for a purge, at the end of each interval of the timeline."""
HANDLERS: Final = "handlers"
"""The track with what interrupted a CPU."""
IRQS_OFF: Final = "interrupts off"
"""The track with the windows in which a CPU could not be interrupted."""
LOST: Final = {
    "stolen_ps": "time interrupted",
    "spin_ps": "time spinning",
    "irqs_off_ps": "time with interrupts off",
}
"""The counters of a CPU: the share of each interval of the timeline, in per cent."""

ALL: Final = 1
"""The track that holds all others."""

_SEQUENCE: Final = 1
_COUNTERS_FIRST: Final = -1


def write_perfetto(
    result: Result, path: Path, window: Window | None = None, *, force: bool = False
) -> Path:
    """Write the timeline of a replication, and return where it is.

    There is a group of tracks per CPU: one per task with its operations, the shootdowns and waits
    in them and the parts of these; the handlers of the CPU with the calls that each took, every
    call at the end of an arrow from its shootdown; the windows with interrupts off; and the shares
    of its time that were lost. Counters tell how many calls are in flight and how many pages are
    freed lazily.

    Waits, windows and the handlers of all targets are those of the part of the run that
    ``measure.detail`` gave. Outside it, handlers of all targets are known of the median, the p99
    and the slowest call, and of every other call that of the slowest target (of a guest whose CPUs
    take turns, where none was frozen on the way, and no other call's interrupt served it).

    Parameters
    ----------
    result
        Of a run.
    path
        The file.
    window
        The replication and the part of it that are shown: the whole first one where not given.
    force
        Whether a file that is there already is replaced.

    Raises
    ------
    OutputError
        If perfetto is not installed, there is no such replication, there is too much for one
        timeline, or the file is there already or cannot be written.
    ResultError
        If a table cannot be read.
    """
    try:
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
    except ImportError as error:
        raise OutputError(
            "a timeline needs the package perfetto: pip install 'pmsim[perfetto]'"
        ) from error
    window = window or Window()
    spans = spans_of(result, window)
    with new_files([path], force=force) as (half,), half.open("wb") as file:
        timeline = _Timeline(StreamingTraceProtoBuilder(file))
        timeline.track(f"{result.name}, replication {window.replication}")
        _write_in_flight(timeline, spans, window.start_ps)
        _write_lazy(timeline, result, window)
        shares = _shares(result, window)
        cpus = {cpu for cpu, _ in spans.tasks} | set(spans.handlers) | set(spans.irqs_off)
        groups = {cpu: timeline.track(f"CPU {cpu}", rank=cpu) for cpu in sorted(cpus | set(shares))}
        # An arrow's begin comes before its end in the file, so that it is known by then.
        for cpu, group in groups.items():
            _write_tasks(timeline, group, cpu, spans)
        for cpu, group in groups.items():
            _write_cpu(timeline, group, cpu, spans, shares.get(cpu, {}))
    return path


class _Timeline:
    """Tracks and what is on them, packet by packet.

    Parameters
    ----------
    builder
        Perfetto's own, which writes each packet as it comes.
    """

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self._tracks = 0

    def track(self, name: str, parent: int = ALL, rank: int = 0, unit: str = "") -> int:
        """Begin a track, a counter's where it has a unit; return its number.

        The first one holds all others: tracks without a parent have no order.
        """
        self._tracks += 1
        packet = self._packet()
        if self._tracks == ALL:
            packet.sequence_flags = packet.SEQ_INCREMENTAL_STATE_CLEARED
        track = packet.track_descriptor
        track.uuid = self._tracks
        track.name = visible(name)
        track.sibling_order_rank = rank
        track.child_ordering = track.EXPLICIT
        if self._tracks != ALL:
            track.parent_uuid = parent
        if unit:
            track.counter.unit_name = unit
        self._builder.write_packet(packet)
        return self._tracks

    def span(self, track: int, span: Span) -> None:
        """Put a span and all that is in it on a track."""
        packet = self._packet(span.start_ps)
        event = packet.track_event
        event.type = event.TYPE_SLICE_BEGIN
        event.track_uuid = track
        event.name = span.name
        event.categories.append(span.category)
        event.flow_ids.extend(span.begins)
        if span.ends:
            event.terminating_flow_ids.append(span.ends)
        exact = {"start_ps": span.start_ps, "duration_ps": span.end_ps - span.start_ps}
        for name, fact in {**span.facts, **exact}.items():
            note = event.debug_annotations.add()
            note.name = name
            if isinstance(fact, str):
                note.string_value = fact
            else:
                note.int_value = fact
        self._builder.write_packet(packet)
        for one in span.inside:
            self.span(track, one)
        packet = self._packet(span.end_ps)
        packet.track_event.type = event.TYPE_SLICE_END
        packet.track_event.track_uuid = track
        self._builder.write_packet(packet)

    def count(self, track: int, at_ps: int, value: float) -> None:
        """Give a counter a value from an instant on."""
        packet = self._packet(at_ps)
        event = packet.track_event
        event.type = event.TYPE_COUNTER
        event.track_uuid = track
        if isinstance(value, int):
            event.counter_value = value
        else:
            event.double_counter_value = value
        self._builder.write_packet(packet)

    def _packet(self, at_ps: int | None = None) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        if at_ps is not None:
            packet.timestamp = at_ps // NS
        return packet


def _write_in_flight(timeline: _Timeline, spans: Spans, start_ps: int) -> None:
    """Write how many shootdowns are under way, at each instant at which that changes."""
    calls = [one for listed in spans.tasks.values() for one in _shootdowns(listed)]
    instants = np.array([t for one in calls for t in (one.start_ps, one.end_ps)], dtype=np.int64)
    changes = np.tile(np.array([1, -1], dtype=np.int64), len(calls))
    times, places = np.unique(instants, return_inverse=True)
    sums = np.zeros(len(times), dtype=np.int64)
    np.add.at(sums, places, changes)
    track = timeline.track(IN_FLIGHT, rank=_COUNTERS_FIRST, unit="calls")
    timeline.count(track, min([start_ps, *times[:1].tolist()]), 0)
    for at_ps, value in zip(times.tolist(), np.cumsum(sums).tolist(), strict=True):
        timeline.count(track, at_ps, value)


def _shootdowns(spans: list[Span]) -> list[Span]:
    """Return the shootdowns among some spans and in them, however deep."""
    found, waiting = [], list(spans)
    while waiting:
        one = waiting.pop()
        if one.category == "shootdown":
            found.append(one)
        else:
            waiting += one.inside
    return found


def _write_lazy(timeline: _Timeline, result: Result, window: Window) -> None:
    """Write how many pages waited for a purge, wherever that changed; nothing if none ever did."""
    first, points = 0, []
    for batch in result.batches("timeline", ("replication", "end_ps", "lazy_pages")):
        rows = batch[batch["replication"] == window.replication]
        for at_ps, pages in zip(rows["end_ps"].tolist(), rows["lazy_pages"].tolist(), strict=True):
            if at_ps <= window.start_ps:
                first = pages
            elif window.end_ps is None or at_ps < window.end_ps:
                points.append((at_ps, pages))
    if not first and not any(pages for _, pages in points):
        return
    track = timeline.track(LAZY, rank=_COUNTERS_FIRST, unit="pages")
    timeline.count(track, window.start_ps, first)
    for (_, before), (at_ps, pages) in pairwise([(window.start_ps, first), *points]):
        if pages != before:
            timeline.count(track, at_ps, pages)


def _write_tasks(timeline: _Timeline, group: int, cpu: int, spans: Spans) -> None:
    for task in sorted(task for task in spans.tasks if task[0] == cpu):
        track = timeline.track(f"{spans.names[task]}, task {task[1]}", group, task[1])
        for span in spans.tasks[task]:
            timeline.span(track, span)


def _write_cpu(
    timeline: _Timeline,
    group: int,
    cpu: int,
    spans: Spans,
    shares: Mapping[str, list[tuple[int, float]]],
) -> None:
    """Write what is a CPU's own: below its tasks."""
    rank = 1 + max((number for owner, number in spans.tasks if owner == cpu), default=0)
    for name, listed in ((HANDLERS, spans.handlers), (IRQS_OFF, spans.irqs_off)):
        if cpu in listed:
            track = timeline.track(name, group, rank)
            rank += 1
            for span in listed[cpu]:
                timeline.span(track, span)
    for name in LOST.values():
        if name in shares:
            track = timeline.track(name, group, rank, unit="%")
            rank += 1
            for at_ps, value in shares[name]:
                timeline.count(track, at_ps, value)


def _shares(result: Result, window: Window) -> dict[int, dict[str, list[tuple[int, float]]]]:
    """Return the counters of each CPU: a value wherever it changes, none that is always zero."""
    found: dict[int, dict[str, list[tuple[int, float]]]] = {}
    columns = ("replication", "start_ps", "end_ps", "cpu", *LOST)
    for batch in result.batches("cpu_timeline", columns):
        rows = window.rows(batch)
        length = (rows["end_ps"] - rows["start_ps"]).to_numpy()
        for column, name in LOST.items():
            percent = 100 * rows[column].to_numpy() / np.maximum(length, 1)
            for cpu, at_ps, value in zip(
                rows["cpu"].tolist(), rows["start_ps"].tolist(), percent.tolist(), strict=True
            ):
                values = found.setdefault(cpu, {}).setdefault(name, [])
                if value != (values[-1][1] if values else 0.0):
                    values.append((at_ps, value))
    return {
        cpu: {name: values for name, values in counters.items() if values}
        for cpu, counters in found.items()
        if any(counters.values())
    }
