"""Everything that happens in a part of a run: each cross-call whole, and each stretch of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from pmsim.hardware.fabric import LOG_CAPACITY
from pmsim.hardware.passes import layout
from pmsim.hardware.specimens import WholeCalls, whole_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pmsim.hardware.fabric import Fabric

MOST_KEPT: Final = 200_000
"""Targets of calls that are kept of one run, and stretches: some 10 MB of each on disk."""

StretchKind = Literal["irqs_off", "spinlock", "mutex_spin", "mutex", "completion", "sleep"]
"""What a task was in: a window; spinning for a spinlock or a mutex; asleep until it had a mutex, or
for a completion or a time.
"""


class Stretch(NamedTuple):
    """A stretch of time in which a task kept interrupts off, or waited.

    Attributes
    ----------
    cpu, task, workload
        The task: its CPU, its number there, its name.
    kind
        What it was in.
    thing
        The lock or completion that it waited for, if any.
    start_ps, end_ps
        When.
    """

    cpu: int
    task: int
    workload: str
    kind: StretchKind
    thing: str | None
    start_ps: int
    end_ps: int


class Whose(Protocol):
    """The task that a stretch is of."""

    cpu: int
    number: int
    name: str


class DetailSink(Protocol):
    """Who takes what is kept, now and then."""

    def whole_calls(self, calls: WholeCalls) -> None:
        """Take cross-calls, in the order of their ends."""

    def stretches(self, stretches: Sequence[Stretch]) -> None:
        """Take stretches, in the order of their ends."""


class Detail:
    """Keeps what begins in a part of a run and ends in the run, as long as there is room.

    Parameters
    ----------
    fabric
        Of the machine.
    start, end
        The part, in picoseconds; `None`: to the end.
    sink
        Who takes it.
    most
        Room for so many targets, and for so many stretches. A call that does not fit is the first
        of which nothing is kept, and so is a stretch.

    Attributes
    ----------
    calls, targets, stretches
        How many cross-calls were kept, their targets, and stretches.
    """

    def __init__(
        self, fabric: Fabric, start: int, end: int | None, sink: DetailSink, most: int = MOST_KEPT
    ) -> None:
        self.start = start
        self.end = end
        self.calls = 0
        self.targets = 0
        self.stretches = 0
        self._fabric = fabric
        self._sink = sink
        self._most = most
        self._waiting: list[Stretch] = []
        self._stretches_cut: int | None = None
        fabric.state[layout.DETAIL_FROM] = start
        fabric.state[layout.DETAIL_TO] = layout.INF if end is None else end
        fabric.state[layout.DETAIL_LEFT] = most

    @property
    def cut_ps(self) -> int | None:
        """When room ran out: what ended before was kept; `None` where all was."""
        call = self._fabric.words[layout.DETAIL_CUT]
        cuts = [at for at in (call, self._stretches_cut) if at is not None and at != layout.NONE]
        return min(cuts, default=None)

    def add(
        self, task: Whose, kind: StretchKind, start: int, end: int, thing: str | None = None
    ) -> None:
        """Keep a stretch that a task has just ended, if it began in the part and lasted."""
        if start < self.start or (self.end is not None and start >= self.end) or start == end:
            return
        if self.stretches >= self._most:
            self._stretches_cut = self._stretches_cut or end
            return
        self.stretches += 1
        self._waiting.append(Stretch(task.cpu, task.number, task.name, kind, thing, start, end))
        if len(self._waiting) >= LOG_CAPACITY:
            self._hand_over_stretches()

    def hand_over(self) -> None:
        """Give the sink what has gathered."""
        self._hand_over_stretches()
        state = self._fabric.state
        calls, targets = int(state[layout.DETAIL_CALLS]), int(state[layout.DETAIL_ENTRIES])
        if not calls:
            return
        heads, entries = int(state[layout.DETAIL_HEADS_AT]), int(state[layout.DETAIL_ENTRIES_AT])
        state[layout.DETAIL_CALLS] = state[layout.DETAIL_ENTRIES] = 0
        self.calls += calls
        self.targets += targets
        self._sink.whole_calls(whole_calls(self._fabric, heads, calls, entries, targets))

    def _hand_over_stretches(self) -> None:
        if self._waiting:
            self._sink.stretches(self._waiting)
            self._waiting = []
