"""What becomes of a shootdown: whom it told of what, and when each of them had forgotten it.

It is read from the machine itself: when the last target's function ended, who was left out, when
the last handler began. Not what a protocol promises, but what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.call_data import Unwaited
from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.firsts import drops_by_call
from pmsim.hardware.passes.left_out import ENDS, who_is_left
from pmsim.hardware.passes.steps import act
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.hardware.told import Told
    from pmsim.kernel.dropped import Dropped

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

_NOBODY: Final = np.empty(0, np.int64)
NO_FLAGS: Final = np.empty(0, np.uint8)
"""For no CPU at all."""


class Revoked(Protocol):
    """A change that took rights away (`violations.Revocation`), as far as it is filled in here."""

    gone_ps: Picoseconds | None
    closed_ps: Picoseconds | None
    late_ps: Picoseconds
    waits: int


class Telling:
    """A shootdown of the kernel's pages that has begun.

    Parameters
    ----------
    task
        Who tells.
    what
        What is dropped.
    up_to
        The generation of the last change before it began.
    began_ps
        When that was.
    number
        How many had begun before it.

    Attributes
    ----------
    told
        1 for each CPU that was told, the initiator among them; None: all were.
    left_out, out
        Those that have it still before them; and 1 for each of them, empty where there are none.
    gone_ps
        When all that were told had dropped it.
    late
        When those do that have not dropped it yet as the initiator goes on; or the call that each
        of them has still to run, which nobody waits for.
    known_closed_ps
        From when on it was closed, where the machine is not asked for that.
    unwaited
        The calls that some of them have still to run, which nobody waits for.
    tells_all
        Whether all CPUs were told, where there are such.
    revoked
        What it is to make known that has been revoked, when they have run them.
    tells_waiting
        Whether it may have told CPUs that have anything to drop (`waiting`).
    entered
        Which CPUs have entered the kernel since, and when, where some were left out.
    """

    # Most shootdowns tell all CPUs, and are over on all of them: nothing else is noted of these.
    told: Flags | None = None
    left_out: Ints = _NOBODY
    out: Flags = NO_FLAGS
    gone_ps: Picoseconds = 0
    late: Mapping[CpuId, Picoseconds | Unwaited] = MappingProxyType({})
    known_closed_ps: Picoseconds | None = None
    unwaited: Sequence[Unwaited] = ()
    tells_all: bool = False
    entered: Sequence[Ints] = ()
    tells_waiting: bool = True
    revoked: tuple[Revoked, ...] = ()

    def __init__(
        self, task: Task, what: Dropped, up_to: int, began_ps: Picoseconds, number: int
    ) -> None:
        self.task = task
        self.what = what
        self.up_to = up_to
        self.began_ps = began_ps
        self.number = number

    def covers(self, page: int, pages: int, generation: int) -> bool:
        """Return whether it is about all of some pages, and about a change of them."""
        return (
            generation <= self.up_to and self.what.first <= page and page + pages <= self.what.end
        )

    def touches(self, page: int, pages: int, generation: int) -> bool:
        """Return whether it is about any of some pages, and came after a change of them."""
        first, end = self.what.first, self.what.end
        return generation <= self.up_to and first < page + pages and page < end

    def tells(self, cpu: CpuId) -> bool:
        """Return whether it told a CPU, and did not leave it out."""
        is_out = len(self.out) > 0 and self.out[cpu] > 0
        return (self.told is None or self.told[cpu] > 0) and not is_out

    def tells_whom(self) -> Flags:
        """Return 1 for each CPU that it told, and did not leave out."""
        told = 1 - self.out if len(self.out) else np.ones(self.task.machine.n_cpus, np.uint8)
        return told if self.told is None else told & self.told

    def note_call(
        self,
        targets: Sequence[CpuId] | None,
        in_turn: Flags,
        states: Ints,
        drops: Callable[[Telling], Ints],
    ) -> None:
        """Note what became of a cross-call, as its initiator goes on.

        Parameters
        ----------
        targets
            Whom it was to; None: all others.
        in_turn
            1 for each CPU to which it may have been left until that enters the kernel.
        states
            What each CPU has to drop (`waiting.Waits`).
        drops
            Returns when each CPU has dropped it, where a look at each is needed.
        """
        task, row = self.task, self.task.row
        machine = task.machine
        words = machine.fabric.words
        if targets is not None and len(set(targets) - {task.cpu}) < machine.n_cpus - 1:
            self.told = self._flags((*targets, task.cpu))
        told, last = words[row + layout.C_TARGETS], words[row + layout.C_LAST_ACK]
        left_out = words[row + layout.C_LEFT_OUT] > 0
        if left_out or words[row + layout.C_RUNS_ON] or last >= layout.INF:
            n_cpus = machine.n_cpus
            out, found = np.empty(n_cpus, np.uint8), np.empty(n_cpus + ENDS, np.int64)
            flags = NO_FLAGS if self.told is None else self.told
            number = who_is_left(drops(self), task.cpu, flags, in_turn, states, out, found)
            latest, waiting = found[n_cpus:].tolist()
            self.tells_waiting = waiting > 0
            if left_out and number:
                self.left_out, self.out = found[:number], out
                told += number
            if words[row + layout.C_RUNS_ON] or last >= layout.INF:
                last = latest
        self.gone_ps = max(machine.fabric.own_function_end(task.cpu, told), last)
        if self.gone_ps > task.now:
            self.late = still_at_it(task)

    def note_code(self, told: Told) -> None:
        """Note what became of it where the code of a protocol that is not pmsim's own made it."""
        now = self.task.machine.now
        # Until a tick a CPU runs kernel code with what it has been left out of.
        until_tick = self.task.machine.rings is not None
        deferred = () if until_tick else sorted(set(told.deferred))
        self._leave_out(np.array(deferred, np.int64))
        self.unwaited = told.not_run(now)
        called = {one.cpu: one for one in self.unwaited}
        known = self._flags((*told.dropped, *deferred, *called))
        self.tells_all = bool(known.all())
        self.told = None if self.tells_all and not called else known
        self.gone_ps = max(told.dropped.values(), default=now)
        self.late = late_of(told, now)
        self.known_closed_ps = max(self.began_ps, told.closed_ps)

    def note_entries(self, entries: Ints) -> None:
        """Note that CPUs have entered the kernel, and dropped everything: which, and when."""
        if len(self.left_out) and len(entries):
            self.entered = (*self.entered, entries)

    def _leave_out(self, cpus: Ints) -> None:
        if len(cpus):
            self.left_out, self.out = cpus, self._flags(cpus)

    def _flags(self, cpus: Sequence[CpuId] | Ints) -> Flags:
        """Return 1 for each of some CPUs."""
        flags = np.zeros(self.task.machine.n_cpus, np.uint8)
        flags[np.asarray(cpus, np.int64)] = 1
        return flags

    def has_been_run_on(self, cpu: CpuId) -> bool:
        """Return whether it was told a CPU that has dropped it, where others have not run it yet.

        One that was left out has done so if its task takes a step now.
        """
        told = self.told is not None and self.told[cpu] > 0
        return told and not _goes_on(self.late.get(cpu))

    @property
    def all_have_run(self) -> bool:
        """Whether all targets of calls that nobody waits for have run them."""
        return all(one.gone_ps is not None for one in self.unwaited)

    def note_all_have_run(self) -> None:
        """Note it, and with it when what was revoked is gone."""
        closed = self.known_closed_ps or 0
        for one in self.unwaited:
            assert one.gone_ps is not None
            self.gone_ps = max(self.gone_ps, one.gone_ps)
            closed = max(closed, one.start_ps)
        self.known_closed_ps = closed
        for revoked in self.revoked:
            if revoked.waits or revoked.late_ps:
                revoked.closed_ps = closed
                revoked.late_ps = max(revoked.late_ps, self.gone_ps)
                if not revoked.waits:
                    revoked.gone_ps = revoked.late_ps
            elif revoked.gone_ps is None or self.gone_ps < revoked.gone_ps:
                revoked.gone_ps, revoked.closed_ps = self.gone_ps, closed

    def note_own(self) -> None:
        """Note that the task's own CPU alone has dropped it."""
        self.told = self._flags((self.task.cpu,))
        self.gone_ps = self.task.now
        self.known_closed_ps = self.began_ps

    def note_hardware(self) -> None:
        """Note the same of what the hardware did on all CPUs: it closes nothing before."""
        self.gone_ps = self.task.machine.fabric.words[self.task.row + layout.C_LAST_ACK]
        self.known_closed_ps = self.gone_ps

    def closed_ps(self) -> Picoseconds:
        """Return from when on no CPU ran code that could have used it, just after it is over.

        A target from the start of its handler on, one that was left out from the start: it is in
        user mode. The initiator runs nothing but the call.
        """
        if self.known_closed_ps is not None:
            return self.known_closed_ps
        task = self.task
        last = act(task.machine.fabric.state, layout.DO_ASK_LAST_START, task.cpu, 0)
        return max(self.began_ps, last)

    def dropped_on(self, cpu: CpuId, now: Picoseconds) -> bool:
        """Return whether a CPU, whose task takes a step now, has dropped it, while it is under way.

        Nobody has before the machine has begun it; its own CPU takes no other step meanwhile.
        """
        task = self.task
        fabric, row = task.machine.fabric, task.row
        words = fabric.words
        if isinstance(task, OwnTask) and task.told.dropped.get(cpu, now + 1) <= now:
            return True
        mode = words[row + layout.MODE]
        if words[row + layout.C_START] < self.began_ps or mode not in _TELLING:
            return False
        if mode == layout.M_FENCE or (mode == layout.M_STEP and not called(task)):
            return bool(words[row + layout.C_LAST_ACK] <= now)
        act(fabric.state, layout.DO_CATCH_UP, 0, 0)
        at = int(words[layout.ENTRIES_AT]) + (task.cpu * fabric.n_cpus + cpu) * layout.ENTRY_ROW
        if words[at + layout.E_QUEUED] < self.began_ps:
            # An entry of an earlier call: it is not among the targets. A CPU that was left out has
            # entered the kernel since, or its task would take no step here.
            left_out = task.told.deferred if isinstance(task, OwnTask) else task.machine.in_turn
            return cpu in left_out
        cost = words[at + layout.E_COST]
        return bool(words[at + layout.E_ACK] + (cost >> 3) * (cost >> 1 & 1) <= now)


def _goes_on(late: Picoseconds | Unwaited | None) -> bool:
    """Return whether a CPU has still to run a call that nobody waits for."""
    return isinstance(late, Unwaited) and late.gone_ps is None


def late_of(told: Told, now: Picoseconds) -> dict[CpuId, Picoseconds | Unwaited]:
    """Return when CPUs drop what a protocol's code has told them that have not by now."""
    called = {one.cpu: one for one in told.not_run(now)}
    return {cpu: at for cpu, at in told.dropped.items() if at > now} | called


def still_at_it(task: Task) -> dict[CpuId, Picoseconds]:
    """Return when the targets drop what a task's call was about that have not yet, as it goes on.

    They have acknowledged it at the start of their functions.
    """
    if not task.machine.fabric.words[task.row + layout.C_RUNS_ON]:
        return {}
    ends = function_ends(task)[0]
    late = np.flatnonzero((ends > task.now) & (ends < layout.INF))
    return dict(zip(late.tolist(), ends[late].tolist(), strict=True))


def function_ends(task: Task) -> Ints:
    """Return when the targets of a task's last call have run its function, as far as is known.

    And when their handlers began; of every other CPU it is `layout.INF`. Shape ``(2, n_cpus)``.
    """
    state = task.machine.fabric.state
    act(state, layout.DO_CATCH_UP, 0, 0)
    drops = np.empty((1, 2, task.machine.n_cpus), np.int64)
    drops_by_call(state, task.cpu, 0, 1, drops, 0)
    ends: Ints = drops[0]
    ends[:, task.cpu] = layout.INF
    return ends


_TELLING = (layout.M_CALL, layout.M_FENCE, layout.M_STEP)
"""What the initiator's CPU does while a shootdown is under way, and as it is over."""


def called(task: Task) -> bool:
    """Return whether a task's machine makes its shootdowns by calls."""
    return task.machine.shootdown.protocol.by_calls
