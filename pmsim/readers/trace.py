"""Kernel traces as text: the ``trace`` file, ``trace-cmd report``, ``perf script``.

A line of ftrace is ``comm-pid [cpu] flags seconds.fraction: event: rest`` (``trace_print_context``,
kernel/trace/trace_output.c), with the thread group's number in brackets where the option
``record-tgid`` is set; ``trace-cmd report`` writes the same; ``perf script`` has blanks between
name and number, no flags, and the event's group in front of its name. A clock that counts
(``counter``, ``x86-tsc``) has no point in its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pmsim.readers.formats import LINE, MOST_CPUS
from pmsim.readers.stream import TextStream

_LOST: Final = re.compile(rb"^CPU:(\d+) \[(?:LOST )?(\d*) ?EVENTS(?: DROPPED)?\]", re.MULTILINE)
"""``[LOST n EVENTS]`` of the kernel; ``[n EVENTS DROPPED]``, also without n, of trace-cmd."""
_COMMENT: Final = re.compile(
    rb"^(?:#|(?:cpus|version)\s*=|[ \t]*$|[ \t]+=> |\s+[0-9a-f]{8,16} |.*: <stack trace>$)",
    re.MULTILINE,
)
"""A header, an empty line, or a line of the call chain below an event."""

MOST_PLACES: Final = 1 << 12
"""Places of probes that are remembered."""

MOST_EVENTS: Final = 1 << 12
"""Names of events that are told apart of which nobody asked for any; the kernel has some 2,000."""
OTHER: Final = b"others"
"""What events of further names are counted as."""

Handler: TypeAlias = Callable[[int, int, bytes, bytes, bytes], None]
"""Called with time (ps), CPU, name of the task, its flags (empty where there are none), and the
rest of the line."""


@dataclass(slots=True)
class Reading:
    """What became of the lines of a trace.

    Attributes
    ----------
    lines, events, comments
        All lines; those that tell of an event; headers, call chains and empty ones.
    lost_marks, lost_events
        Places where the trace says that events are missing, and how many it says.
    other_clock
        Events left out because their clock is not the one that the trace began with.
    backwards
        Events that are earlier than the one before on their CPU.
    counts
        Whether the clock counts something that is no time.
    first_ps, last_ps
        The earliest and the latest event.
    cut
        Whether the file ends in the middle of a line, or of what is packed.
    unknown
        Events that nobody asked for, by name.
    """

    lines: int = 0
    events: int = 0
    comments: int = 0
    lost_marks: int = 0
    lost_events: int = 0
    other_clock: int = 0
    backwards: int = 0
    counts: bool = False
    first_ps: int = 0
    last_ps: int = 0
    cut: bool = False
    unknown: dict[bytes, int] = field(default_factory=dict)

    @property
    def told(self) -> int:
        """Lines that tell of an event, or of lost ones."""
        return self.events + self.other_clock + self.lost_marks

    @property
    def foreign(self) -> int:
        """Lines that are none of these, nor comments: cut, or of another kind."""
        return self.lines - self.told - self.comments

    @property
    def span_ps(self) -> int:
        """Time from the earliest event to the latest."""
        return self.last_ps - self.first_ps


class TraceReader:
    """Reads a trace and calls whoever asked for its events.

    Parameters
    ----------
    handlers
        Who is called, by the name of an event. An event of a probe (kprobe, fprobe) is found by
        the function that it stands in, whatever its own name is: ``(function+0x0/0x40)`` is the
        event ``function()``, ``(caller+0x26/0x30 <- function)`` the event ``function<-``.
    lost
        Called with a CPU when the trace says that events of it are missing.
    tick_ps
        What one step of a clock that counts stands for.
    """

    def __init__(
        self, handlers: Mapping[bytes, Handler], lost: Callable[[int], None], tick_ps: int
    ) -> None:
        self.reading = Reading()
        self._handlers = dict(handlers)
        self._lost = lost
        self._tick = tick_ps
        self._latest: dict[int, int] = {}
        self._probes: dict[bytes, Handler | None] = {}

    def read(self, stream: TextStream) -> Reading:
        """Read a whole trace; raise `ScenarioError` if it cannot be."""
        for block in stream.blocks():
            self._block(block)
        self.reading.cut = stream.cut
        return self.reading

    def _block(self, block: bytes) -> None:
        reading = self.reading
        told = reading.told
        begin = 0
        if b"EVENTS" in block:
            for mark in _LOST.finditer(block):
                self._events(block, begin, mark.start())
                begin = mark.end()
                reading.lost_marks += 1
                reading.lost_events += int(mark[2] or 0)
                self._lost(int(mark[1]))
        self._events(block, begin, len(block))
        lines = block.count(b"\n")
        reading.lines += lines
        if reading.told - told < lines:
            reading.comments += sum(1 for _ in _COMMENT.finditer(block, 0, len(block) - 1))

    def _events(self, block: bytes, begin: int, end: int) -> None:
        """Hand the events of a part of a block on."""
        reading, handlers, latest = self.reading, self._handlers, self._latest
        if not reading.events:
            self._choose_clock(block, begin, end)
        counts, tick = reading.counts, self._tick
        number, backwards, other = 0, 0, 0
        scales = [10 ** max(12 - digits, 0) for digits in range(20)]
        first, last = reading.first_ps, reading.last_ps
        for found in LINE.finditer(block, begin, end):
            name, _, on, flags, seconds, part, event, rest = found.groups()
            if (part is None) is not counts:
                other += 1
                continue
            time = int(seconds) * tick if part is None else int(seconds + part) * scales[len(part)]
            cpu = int(on)
            if cpu >= MOST_CPUS:
                continue  # no line of a trace, though it looks like one
            if time < latest.get(cpu, 0):
                backwards += 1
            else:
                latest[cpu] = time
            if not number and not reading.events:
                first = last = time
            elif time > last:
                last = time
            elif time < first:
                first = time
            number += 1
            handler = handlers.get(event)
            if handler is None:
                handler = self._of_probe(rest) if rest[:1] == b"(" else None
                if handler is None:
                    if event not in reading.unknown and len(reading.unknown) >= MOST_EVENTS:
                        event = OTHER
                    reading.unknown[event] = reading.unknown.get(event, 0) + 1
                    continue
            handler(time, cpu, name, flags or b"", rest)
        reading.events += number
        reading.backwards += backwards
        reading.other_clock += other
        reading.first_ps, reading.last_ps = first, last

    def _choose_clock(self, block: bytes, begin: int, end: int) -> None:
        found = LINE.search(block, begin, end)
        if found is not None:
            self.reading.counts = found[6] is None

    def _of_probe(self, rest: bytes) -> Handler | None:
        """Return who asked for the function that a probe stands in."""
        place = rest[1 : rest.find(b")")]
        if place in self._probes:
            return self._probes[place]
        caller, arrow, function = place.partition(b" <- ")
        name = (function if arrow else caller).partition(b"+")[0].partition(b".")[0]
        handler = self._handlers.get(name + (b"<-" if arrow else b"()"))
        if len(self._probes) < MOST_PLACES:
            self._probes[place] = handler
        return handler
