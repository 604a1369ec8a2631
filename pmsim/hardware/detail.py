"""Everything that happens in a part of a run: each cross-call whole, and each stretch of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import LOG_CAPACITY
from pmsim.hardware.passes import layout
from pmsim.hardware.specimens import WholeCalls, rows_at, whole_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pmsim.hardware.fabric import Fabric

Ints = npt.NDArray[np.int64]

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
        """Take cross-calls, in the order of their ends.

        Those that nobody waits for come when it has been seen that all targets have run them.
        """

    def stretches(self, stretches: Sequence[Stretch]) -> None:
        """Take stretches, in the order of their ends."""


class Detail:
    """Keeps what begins in a part of a run and ends in the run, as long as there is room.

    A call that nobody waits for has ended when all targets have run the function.

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
        self._later: list[tuple[Ints, Ints]] = []
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

    def makes_room(self, start: int, targets: int) -> bool:
        """Return whether a call that nobody waits for will be kept, once it has ended.

        To be asked when its initiator goes on.

        Parameters
        ----------
        start
            When it began.
        targets
            How many it has.
        """
        words = self._fabric.words
        if not words[layout.DETAIL_FROM] <= start < words[layout.DETAIL_TO]:
            return False
        if targets > words[layout.DETAIL_LEFT]:
            words[layout.DETAIL_FROM] = layout.INF
            words[layout.DETAIL_CUT] = self._fabric.now
            return False
        words[layout.DETAIL_LEFT] -= targets
        return True

    def add_call(self, head: Ints, entries: Ints) -> None:
        """Keep such a call, which has ended: its head and the entries of its targets."""
        self._later.append((head, entries))

    def hand_over(self) -> None:
        """Give the sink what has gathered."""
        self._hand_over_stretches()
        words = self._fabric.words
        calls, targets = words[layout.DETAIL_CALLS], words[layout.DETAIL_ENTRIES]
        words[layout.DETAIL_CALLS] = words[layout.DETAIL_ENTRIES] = 0
        heads = rows_at(self._fabric, words[layout.DETAIL_HEADS_AT], calls, layout.SPECIMEN_HEAD)
        entries = rows_at(self._fabric, words[layout.DETAIL_ENTRIES_AT], targets, layout.ENTRY_ROW)
        if self._later:
            heads = np.vstack([heads, *(head for head, _ in self._later)])
            entries = np.vstack([entries, *(rows for _, rows in self._later)])
            self._later = []
        if not len(heads):
            return
        self.calls += len(heads)
        self.targets += len(entries)
        self._sink.whole_calls(whole_calls(self._fabric, heads, entries))

    def _hand_over_stretches(self) -> None:
        if self._waiting:
            self._sink.stretches(self._waiting)
            self._waiting = []
