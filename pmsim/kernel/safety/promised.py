"""CPUs that a shootdown has left out: they drop everything before their kernel code runs again.

Addresses are given out again on that promise. Here it is looked at whether it is kept: a CPU that
owes a flush while its kernel code runs has lost it. Whether it owes, the machine says; that it runs
kernel code is seen when addresses are given out, at later shootdowns, and at the end of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.kernel.dropped import Dropped
from pmsim.kernel.safety.violations import Violation
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine


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
        self._owing: dict[CpuId, Dropped] = {}
        self._watched: dict[CpuId, Violation] = {}

    def left_out(self, cpus: Iterable[CpuId], what: Dropped) -> None:
        """Note that a shootdown of some pages is over, and has left CPUs out, if any."""
        words = self._machine.fabric.words
        for cpu in [one for one in self._watched if not words[_row(one) + layout.IN_USER]]:
            if self._owes(cpu):
                self._look(cpu)
        for cpu in cpus:
            before = self._owing.get(cpu, what)
            self._owing[cpu] = Dropped(min(before.first, what.first), max(before.end, what.end))

    def relied_on(self, page: int, pages: Pages, given_out: Callable[[CpuId], Violation]) -> None:
        """Note that addresses are given out; what it is for a CPU that uses what was there."""
        for cpu in self._owing.keys() - self._watched.keys():
            if not self._owes(cpu):
                del self._owing[cpu]
                continue
            owed = self._owing[cpu]
            if page + pages <= owed.first or owed.end <= page:
                continue  # nothing was there before
            self._watched[cpu] = given_out(cpu)
            self._look(cpu)

    def dropped(self, cpu: CpuId, at: Picoseconds) -> None:
        """Note that a CPU has dropped everything at an instant; it may owe again since then."""
        one = self._watched.get(cpu)
        if one is not None and at > one.from_ps:
            del self._watched[cpu]

    def finish(self) -> None:
        """Look at those who have not dropped what they owe by the end of the run."""
        for cpu in list(self._watched):
            if self._owes(cpu):
                self._look(cpu)

    def _owes(self, cpu: CpuId) -> bool:
        fabric = self._machine.fabric
        act(fabric.state, layout.DO_ASK_MODE, cpu, 0)  # which takes note of what is over
        return fabric.owes(cpu)

    def _look(self, cpu: CpuId) -> None:
        """Note a violation if a CPU that owes a flush runs kernel code, beyond its entry."""
        words, row = self._machine.fabric.words, _row(cpu)
        mode = act(self._machine.fabric.state, layout.DO_ASK_MODE, cpu, 0)
        if mode == layout.IN_HANDLER:
            # One that has taken its queue has dropped everything before, if it came from user mode.
            is_history = words[row + layout.HEAD] < 0
            end = words[row + (layout.PLAN_END if is_history else layout.BASE_END)]
            lost = end > self._machine.now
        else:
            enters = words[row + layout.MODE] == layout.M_ENTRY
            lost = mode == layout.IN_KERNEL and not enters
        if lost:
            self._keep(self._watched.pop(cpu))
            self._owing.pop(cpu, None)


def _row(cpu: CpuId) -> int:
    return layout.HEADER + cpu * layout.CPU_WORDS
