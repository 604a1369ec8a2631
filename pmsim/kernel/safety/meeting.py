"""Shootdowns that meet: of several that are about one change a CPU goes by the first.

A task changes entries and tells all CPUs; meanwhile another tells them of something else. If that
began after the change was written, it drops the old translations as well, on some CPUs earlier. So
where shootdowns of several tasks are under way it is looked at CPU by CPU. No time passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.firsts import drops_by_call
from pmsim.hardware.passes.steps import act

if TYPE_CHECKING:
    from pmsim.kernel.safety.tellings import Telling

Ints = npt.NDArray[np.int64]


def write_drops(telling: Telling, drops: Ints, row: int, *, is_over: bool) -> None:
    """Write into a row when CPUs have dropped what a shootdown is about.

    It is over just now, or under way. Of one that is under way what is known by now is final:
    handlers that have begun.
    """
    task = telling.task
    machine = task.machine
    if isinstance(task, OwnTask):
        _write_by_code(telling, task, drops, row, is_over=is_over)
    elif not is_over and not _has_begun(telling):
        drops[row] = layout.INF
    elif not machine.shootdown.protocol.by_calls:
        drops[row] = machine.fabric.words[task.row + layout.C_LAST_ACK]
    elif is_over and telling.told is not None and telling.told.sum() == 1:  # its own CPU alone
        drops[row] = layout.INF
        drops[row, :, task.cpu] = telling.gone_ps, telling.began_ps
    else:
        _write_by_call(telling, drops, row, is_over=is_over)


def _write_by_code(
    telling: Telling, task: OwnTask, drops: Ints, row: int, *, is_over: bool
) -> None:
    """Write when CPUs have dropped what the code of a protocol told them of."""
    calls = not is_over and _calls(telling)
    if calls:
        _write_by_call(telling, drops, row, is_over=False)
    else:
        drops[row] = layout.INF
    dropped = task.told.dropped
    if not dropped:
        return
    cpus = np.fromiter(dropped, np.int64, len(dropped))
    at = np.fromiter(dropped.values(), np.int64, len(dropped))
    if not is_over:
        known = at <= task.machine.now
        cpus, at = cpus[known], at[known]
    gone, closed = drops[row]
    if calls:  # which counts where it is earlier
        not_later = at <= gone[cpus]
        cpus, at = cpus[not_later], at[not_later]
    gone[cpus] = at
    closed[cpus] = np.maximum(telling.began_ps, np.minimum(at, task.told.closed_ps))


def _write_by_call(telling: Telling, drops: Ints, row: int, *, is_over: bool) -> None:
    """Write when the functions of a task's call end, its own included."""
    task = telling.task
    state = task.machine.fabric.state
    act(state, layout.DO_CATCH_UP, 0, 0)
    drops_by_call(state, task.cpu, telling.began_ps, int(is_over), drops, row)


def _has_begun(telling: Telling) -> bool:
    """Return whether the machine has begun a shootdown: one may wait for a slot before."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    busy = words[row + layout.MODE] in (layout.M_CALL, layout.M_FENCE, layout.M_STEP)
    return bool(busy and words[row + layout.C_START] >= telling.began_ps)


def _calls(telling: Telling) -> bool:
    """Return whether the code of a protocol waits for a call of this shootdown now."""
    words, row = telling.task.machine.fabric.words, telling.task.row
    return _has_begun(telling) and words[row + layout.MODE] == layout.M_CALL
