"""Shootdowns that meet: of several that are about one change a CPU goes by the first.

A task changes entries and tells all CPUs; meanwhile another tells them of something else. If that
began after the change was written, it drops the old translations as well, on some CPUs earlier. So
where shootdowns of several tasks are under way it is looked at CPU by CPU. No time passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.tellings import Telling

Ints = npt.NDArray[np.int64]


class Drops(NamedTuple):
    """When each CPU has dropped something; far in the future where that is not known.

    Attributes
    ----------
    gone_ps
        When, one instant for each CPU.
    closed_ps
        From when on it ran no code that could have used it.
    """

    gone_ps: Ints
    closed_ps: Ints

    def missing(self) -> list[CpuId]:
        """Return the CPUs that do not drop it, as far as is known."""
        found: list[CpuId] = np.flatnonzero(self.gone_ps >= layout.INF).tolist()
        return found

    def late(self, now: Picoseconds) -> dict[CpuId, Picoseconds]:
        """Return when those drop it that have not by an instant, but do."""
        late = np.flatnonzero((self.gone_ps > now) & (self.gone_ps < layout.INF)).tolist()
        return {cpu: int(self.gone_ps[cpu]) for cpu in late}

    def without(self, cpus: Sequence[CpuId]) -> Drops:
        """Return the same of all other CPUs."""
        gone = self.gone_ps.copy()
        gone[cpus] = layout.INF
        return Drops(gone, self.closed_ps)

    def over(self) -> tuple[Picoseconds, Picoseconds]:
        """Return when the last CPU drops it of those that do, and from when on all were closed."""
        last = int(self.gone_ps.max())
        if last < layout.INF:
            return last, int(self.closed_ps.max())
        do = self.gone_ps < layout.INF
        if not do.any():
            return 0, 0
        return int(self.gone_ps[do].max()), int(self.closed_ps[do].max())

    def are_over(self, now: Picoseconds) -> bool:
        """Return whether every CPU has dropped it by an instant."""
        return bool(self.gone_ps.max() <= now)


def first_of(all_of_them: Iterable[Drops]) -> Drops:
    """Return the first drop of each CPU, of several shootdowns."""
    one, *others = all_of_them
    for other in others:
        closed = np.where(other.gone_ps < one.gone_ps, other.closed_ps, one.closed_ps)
        one = Drops(np.minimum(one.gone_ps, other.gone_ps), closed)
    return one


def drops_of(telling: Telling, *, is_over: bool) -> Drops:
    """Return when CPUs have dropped what a shootdown is about that is over just now, or under way.

    Of one that is under way what is known by now is final: handlers that have begun.
    """
    task = telling.task
    gone = np.full(task.machine.n_cpus, layout.INF, np.int64)
    closed = gone.copy()
    if isinstance(task, OwnTask):
        now = task.machine.now
        for cpu, at in task.told.dropped.items():
            if is_over or at <= now:
                gone[cpu], closed[cpu] = at, max(telling.began_ps, min(at, task.told.closed_ps))
        if not is_over and _calls(telling):
            _note_functions(task, telling.began_ps, gone, closed)
    elif not is_over and not _has_begun(telling):
        pass
    elif not task.machine.shootdown.protocol.by_calls:
        last = task.machine.fabric.words[task.row + layout.C_LAST_ACK]
        gone[:], closed[:] = last, last
    elif is_over and telling.told is not None and len(telling.told) == 1:  # on its own CPU alone
        gone[task.cpu], closed[task.cpu] = telling.gone_ps, telling.began_ps
    else:
        _note_functions(task, telling.began_ps, gone, closed, is_over=is_over)
    return Drops(gone, closed)


def _has_begun(telling: Telling) -> bool:
    """Return whether the machine has begun a shootdown: one may wait for a slot before."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    busy = words[row + layout.MODE] in (layout.M_CALL, layout.M_FENCE, layout.M_STEP)
    return bool(busy and words[row + layout.C_START] >= telling.began_ps)


def _calls(telling: Telling) -> bool:
    """Return whether the code of a protocol waits for a call of this shootdown now."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    return _has_begun(telling) and words[row + layout.MODE] == layout.M_CALL


def _note_functions(
    task: Task, began: Picoseconds, gone: Ints, closed: Ints, *, is_over: bool = False
) -> None:
    """Note when the functions of a task's call end, where nothing came before."""
    cpus, starts, ends = _functions(task)
    words = task.machine.fabric.words
    at, shut = np.full_like(gone, layout.INF), closed.copy()
    at[cpus], shut[cpus] = ends, starts
    shut[task.cpu] = began
    # In the serial order its own function comes last.
    if is_over or not words[layout.SERIAL] or words[task.row + layout.C_PHASE] == 1:
        at[task.cpu] = task.machine.fabric.own_function_end(task.cpu, len(cpus))
    earlier = at < gone
    gone[earlier], closed[earlier] = at[earlier], shut[earlier]


def _functions(task: Task) -> tuple[Ints, Ints, Ints]:
    """Return the targets of a task's call, when their handlers began, and their functions end."""
    machine, state, row = task.machine, task.machine.fabric.state, task.row
    act(state, layout.DO_CATCH_UP, 0, 0)
    everyone = task.cpu * machine.n_cpus + np.arange(machine.n_cpus)
    entries = state[layout.ENTRIES_AT] + everyone * layout.ENTRY_ROW
    # An entry of an earlier call: it is not among the targets.
    called = state[entries + layout.E_QUEUED] > state[row + layout.C_START]
    called[task.cpu] = False
    cpus, at = np.flatnonzero(called), entries[called]
    acks, more = state[at + layout.E_ACK], state[row + layout.C_RUNS_ON]
    if more and machine.turns is not None:
        ends = machine.turns.run_from(cpus, acks, np.full(len(cpus), more))
    else:
        ends = acks + more
    return cpus, state[at + layout.E_START], ends
