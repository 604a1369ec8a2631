"""Reading a timeline back as the Perfetto UI would: slices that nest, counters, arrows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackDescriptor, TrackEvent


@dataclass
class Slice:
    """A slice, its times in nanoseconds."""

    name: str
    category: str
    track: int
    start: int
    facts: dict[str, Any]
    begins: list[int]
    ends: list[int]
    parent: Slice | None
    end: int = -1


@dataclass
class Timeline:
    """What a file holds."""

    tracks: dict[int, TrackDescriptor] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    counters: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def named(self, name: str) -> list[Slice]:
        return [one for one in self.slices if one.name == name]

    def path(self, track: int) -> tuple[str, ...]:
        """Return the names of a track and those above it, the one that holds all left out."""
        one = self.tracks[track]
        return (*self.path(one.parent_uuid), one.name) if one.parent_uuid else ()

    def counter(self, *path: str) -> list[tuple[int, float]]:
        (found,) = (track for track in self.tracks if self.path(track) == path)
        return self.counters[found]


def read(path: Path) -> Timeline:
    """Read a file, and see that on each track slices nest and time never goes back."""
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    timeline = Timeline()
    stacks: dict[int, list[Slice]] = {}
    last: dict[int, int] = {}
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.uuid not in timeline.tracks
            timeline.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            continue
        event = packet.track_event
        track, now = event.track_uuid, packet.timestamp
        assert track in timeline.tracks
        assert now >= last.get(track, 0)
        last[track] = now
        stack = stacks.setdefault(track, [])
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append(_slice(event, track, now, stack[-1] if stack else None))
            timeline.slices.append(stack[-1])
        elif event.type == TrackEvent.TYPE_SLICE_END:
            stack.pop().end = now
        else:
            whole = event.HasField("counter_value")
            value = event.counter_value if whole else event.double_counter_value
            timeline.counters.setdefault(track, []).append((now, value))
    assert not any(stacks.values())
    _check_arrows(timeline)
    return timeline


def _check_arrows(timeline: Timeline) -> None:
    """See that each arrow begins once and ends once; in the file and in time, in that order."""
    begun: dict[int, int] = {}
    ended: set[int] = set()
    for one in timeline.slices:
        for arrow in one.begins:
            assert arrow not in begun
            begun[arrow] = one.start
        for arrow in one.ends:
            assert begun[arrow] <= one.start
            assert arrow not in ended
            ended.add(arrow)
    assert ended == set(begun)


def _slice(event: TrackEvent, track: int, now: int, parent: Slice | None) -> Slice:
    facts = {one.name: getattr(one, one.WhichOneof("value")) for one in event.debug_annotations}
    return Slice(
        event.name, event.categories[0], track, now, facts,
        list(event.flow_ids), list(event.terminating_flow_ids), parent,
    )  # fmt: skip
