"""CPUs that a shootdown has left out: they drop everything before their kernel code runs again.

Addresses are given out again on that promise. Here it is looked at whether it is kept: a CPU that
owes a flush while its kernel code runs has lost it. Whether it owes, the machine says; that it runs
kernel code is seen when addresses are given out, at later shootdowns, and at the end of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.hardware.passes.jit import compile_entry
from pmsim.hardware.passes.left_out import owe, who_owes
from pmsim.hardware.passes.steps import act
from pmsim.kernel.dropped import Dropped
from pmsim.kernel.safety.violations import Violation
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine

Ints = npt.NDArray[np.int64]


class Promised:
    """What CPUs that were left out owe, and what was given out on it.

    Parameters
    ----------
    machine
        Whose CPUs they are.
    keep
        Takes what is found.
    """

    def __init__(self, machine: Machine, keep: Callable[[Violation], None]) -> None:
        self._machine = machine
        self._keep = keep
        # The pages that each CPU owes, from the first up to the end; none: from far on up to 0.
        self._owed: Ints = np.array([[layout.INF], [0]]) + np.zeros(machine.n_cpus, np.int64)
        self._watched: dict[CpuId, Violation] = {}
        self._watches = np.zeros(machine.n_cpus, np.uint8)
        self._cpus: Ints = np.empty(machine.n_cpus, np.int64)
        at, words = _row(0) + layout.IN_USER, layout.CPU_WORDS
        self._in_user = machine.fabric.state[at : at + machine.n_cpus * words : words]
        if machine.in_turn:
            for entry in (owe, who_owes):
                compile_entry(entry)

    def left_out(self, cpus: Ints, what: Dropped) -> None:
        """Note that a shootdown of some pages is over, and has left CPUs out, if any."""
        if not self._watched and not len(cpus):
            return
        owed, first, end, fabric = self._owed, what.first, what.end, self._machine.fabric
        if owe(owed, cpus, first, end, self._watches, self._in_user):
            may_be_lost = self._watches > self._in_user
            for cpu in [one for one in self._watched if may_be_lost[one]]:
                mode = self._mode(cpu)
                if fabric.owes(cpu):
                    self._look(cpu, mode)
            owe(owed, cpus, first, end, self._watches[:0], self._in_user[:0])

    def relied_on(self, page: int, pages: Pages, given_out: Callable[[CpuId], Violation]) -> None:
        """Note that addresses are given out; what it is for a CPU that uses what was there."""
        fabric = self._machine.fabric
        n = who_owes(self._owed, self._watches, self._cpus)
        for cpu in self._cpus[:n].tolist() if n else ():
            mode = self._mode(cpu)
            if not fabric.owes(cpu):
                self._owed[:, cpu] = layout.INF, 0
                continue
            first, end = self._owed[:, cpu].tolist()
            if page + pages <= first or end <= page:
                continue  # nothing was there before
            self._watched[cpu] = given_out(cpu)
            self._watches[cpu] = 1
            self._look(cpu, mode)

    def dropped(self, entries: Ints) -> None:
        """Note that CPUs have dropped everything, in rows of `layout.D_CPU`; they may owe again."""
        pairs = entries[:, [layout.D_CPU, layout.D_AT]] if self._watched else entries[:0, :2]
        for cpu, at in pairs.tolist():
            one = self._watched.get(cpu)
            if one is not None and at > one.from_ps:
                self._unwatch(cpu)

    def finish(self) -> None:
        """Look at those who have not dropped what they owe by the end of the run."""
        for cpu in list(self._watched):
            mode = self._mode(cpu)
            if self._machine.fabric.owes(cpu):
                self._look(cpu, mode)

    def _mode(self, cpu: CpuId) -> int:
        """Return what a CPU does now, and have the machine take note of what is over there."""
        mode: int = act(self._machine.fabric.state, layout.DO_ASK_MODE, cpu, 0)
        return mode

    def _look(self, cpu: CpuId, mode: int) -> None:
        """Note a violation if a CPU that owes a flush runs kernel code, beyond its entry."""
        words, row = self._machine.fabric.words, _row(cpu)
        if mode == layout.IN_HANDLER:
            # One that has taken its queue has dropped everything before, if it came from user mode.
            is_history = words[row + layout.HEAD] < 0
            end = words[row + (layout.PLAN_END if is_history else layout.BASE_END)]
            lost = end > self._machine.now
        else:
            enters = words[row + layout.MODE] == layout.M_ENTRY
            lost = mode == layout.IN_KERNEL and not enters
        if lost:
            self._keep(self._unwatch(cpu))
            self._owed[:, cpu] = layout.INF, 0

    def _unwatch(self, cpu: CpuId) -> Violation:
        self._watches[cpu] = 0
        return self._watched.pop(cpu)


def _row(cpu: CpuId) -> int:
    return layout.HEADER + cpu * layout.CPU_WORDS
