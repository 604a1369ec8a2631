"""Shootdowns that meet: of several that are about one change a CPU goes by the first.

A task changes entries and tells all CPUs; meanwhile another tells them of something else. If that
began after the change was written, it drops the old translations as well, on some CPUs earlier. So
where shootdowns of several tasks are under way it is looked at CPU by CPU. No time passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.firsts import drops_by_call
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


def drops_of(telling: Telling, *, is_over: bool) -> Drops:
    """Return when CPUs have dropped what a shootdown is about that is over just now, or under way.

    Of one that is under way what is known by now is final: handlers that have begun.
    """
    task = telling.task
    if isinstance(task, OwnTask):
        return _drops_by_code(telling, task, is_over=is_over)
    if not is_over and not _has_begun(telling):
        return _on_nobody(task)
    if not task.machine.shootdown.protocol.by_calls:
        last = task.machine.fabric.words[task.row + layout.C_LAST_ACK]
        everywhere = np.full(task.machine.n_cpus, last, np.int64)
        return Drops(everywhere, everywhere)
    if is_over and telling.told is not None and len(telling.told) == 1:  # on its own CPU alone
        drops = _on_nobody(task)
        drops.gone_ps[task.cpu], drops.closed_ps[task.cpu] = telling.gone_ps, telling.began_ps
        return drops
    return _drops_by_call(telling, is_over=is_over)


def _on_nobody(task: Task) -> Drops:
    gone = np.full(task.machine.n_cpus, layout.INF, np.int64)
    return Drops(gone, gone.copy())


def _drops_by_code(telling: Telling, task: OwnTask, *, is_over: bool) -> Drops:
    """Return when CPUs have dropped what the code of a protocol told them of."""
    drops, now = _on_nobody(task), task.machine.now
    for cpu, at in task.told.dropped.items():
        if is_over or at <= now:
            drops.gone_ps[cpu] = at
            drops.closed_ps[cpu] = max(telling.began_ps, min(at, task.told.closed_ps))
    if not is_over and _calls(telling):
        called = _drops_by_call(telling, is_over=False)
        earlier = called.gone_ps < drops.gone_ps
        drops.gone_ps[earlier] = called.gone_ps[earlier]
        drops.closed_ps[earlier] = called.closed_ps[earlier]
    return drops


def _has_begun(telling: Telling) -> bool:
    """Return whether the machine has begun a shootdown: one may wait for a slot before."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    busy = words[row + layout.MODE] in (layout.M_CALL, layout.M_FENCE, layout.M_STEP)
    return bool(busy and words[row + layout.C_START] >= telling.began_ps)


def _calls(telling: Telling) -> bool:
    """Return whether the code of a protocol waits for a call of this shootdown now."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    return _has_begun(telling) and words[row + layout.MODE] == layout.M_CALL


def _drops_by_call(telling: Telling, *, is_over: bool) -> Drops:
    """Return when the functions of a task's call end, its own included."""
    task = telling.task
    machine, row = task.machine, task.row
    state, words = machine.fabric.state, machine.fabric.words
    act(state, layout.DO_CATCH_UP, 0, 0)
    drops = np.empty((2, machine.n_cpus), np.int64)
    gone, closed = drops
    told = drops_by_call(state, task.cpu, drops)
    if machine.turns is not None and (more := words[row + layout.C_RUNS_ON]):
        cpus = np.flatnonzero(gone < layout.INF)  # they may be frozen meanwhile
        gone[cpus] = machine.turns.run_from(cpus, gone[cpus] - more, np.full(len(cpus), more))
    # In the serial order its own function comes last.
    if is_over or not words[layout.SERIAL] or words[row + layout.C_PHASE] == 1:
        gone[task.cpu] = machine.fabric.own_function_end(task.cpu, told)
    closed[task.cpu] = telling.began_ps
    return Drops(gone, closed)
