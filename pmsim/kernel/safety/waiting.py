"""CPUs that have still to drop something: those that a shootdown left out, or did not tell.

The former do so when they next enter the kernel; all of them at the next shootdown that tells them
of the same pages. Until then it is not known how long they could have used them. No time passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmsim.hardware.passes import layout
from pmsim.kernel.safety.meeting import drops_of
from pmsim.kernel.safety.violations import Hazard, Revocation, Violation
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.found import Found
    from pmsim.kernel.safety.tellings import Telling


@dataclass(slots=True, eq=False)
class Waiting:
    """What some CPUs have still to drop.

    Attributes
    ----------
    since
        Each drops it with its first entry into the kernel after that.
    page, pages, generation
        What was changed, and by which change.
    violations
        What it is on each CPU where somebody has relied on it, and that is not noted already.
    is_kept
        Whether that has happened for certain, whenever a CPU drops it.
    revocation
        What is not gone before.
    """

    since: Picoseconds
    page: int
    pages: Pages
    generation: int
    violations: Mapping[CpuId, Violation]
    is_kept: bool
    revocation: Revocation

    def is_over(self, cpu: CpuId, at: Picoseconds, keep: Callable[[Violation], None]) -> None:
        """Note that a CPU has dropped it."""
        violation, revocation = self.violations.get(cpu), self.revocation
        if violation is not None and at > violation.from_ps:
            violation.to_ps = at
            if not self.is_kept:
                keep(violation)
        revocation.open_on -= 1
        revocation.late_ps = max(revocation.late_ps, at)
        if not revocation.open_on:
            revocation.gone_ps = revocation.late_ps


class Waits:
    """All that CPUs have still to drop, as far as anybody is to know when.

    Parameters
    ----------
    machine
        Whose CPUs they are.
    found
        Takes the violations.

    Attributes
    ----------
    by_cpu
        It, by CPUs; those that have nothing left are not among them.
    """

    def __init__(self, machine: Machine, found: Found) -> None:
        self._machine = machine
        self._found = found
        self._keep = found.keep
        self.by_cpu: dict[CpuId, list[Waiting]] = {}

    def not_told(self, task: Task, hazard: Hazard, one: Revocation, cpus: Sequence[CpuId]) -> None:
        """Note who was not told, until somebody else tells them, or they enter the kernel."""
        if not cpus:
            return
        page, pages = one.page, one.pages
        new = {found.cpu: found for found in self._found.on(task, hazard, page, pages, cpus)}
        self._add(Waiting(task.now, page, pages, one.generation, new, True, one), cpus)
        one.closed_ps = None

    def left_out(
        self,
        task: Task,
        hazard: Hazard,
        one: Revocation,
        telling: Telling,
        cpus: Sequence[CpuId],
    ) -> None:
        """Note who was left out of a shootdown, until it is known when they entered the kernel."""
        page, pages, number = one.page, one.pages, self._found.operation(task)
        news, now = self._found.news(hazard, number, cpus), task.now
        new = {cpu: Violation(hazard, number, page, pages, cpu, now) for cpu in news}
        self._add(Waiting(telling.began_ps, page, pages, one.generation, new, False, one), cpus)
        for cpu, at in telling.entered.items():
            self.entered(cpu, at)

    def entered(self, cpu: CpuId, at: Picoseconds) -> None:
        """Note that a CPU has dropped everything as it entered the kernel."""
        self._are_over(cpu, at, lambda one: one.since < at)

    def told(self, telling: Telling) -> None:
        """Note that a shootdown is over: who was told has dropped what it is about."""
        told = [cpu for cpu in self.by_cpu if telling.tells(cpu)]
        if not told:
            return
        drops = drops_of(telling)
        self._machine.flush_log()  # who has entered the kernel before
        for cpu in told:
            at = int(drops.gone_ps[cpu])
            if at < layout.INF and cpu in self.by_cpu:
                self._are_over(
                    cpu, at, lambda one: telling.covers(one.page, one.pages, one.generation)
                )

    def finish(self) -> None:
        """Note that the run is over: who has not dropped it by now does not in it."""
        for cpu, some in self.by_cpu.items():
            for one in some:
                if cpu in one.violations and not one.is_kept:
                    self._keep(one.violations[cpu])
        self.by_cpu.clear()

    def _add(self, one: Waiting, cpus: Sequence[CpuId]) -> None:
        """Wait for some CPUs; when the others have dropped what was revoked is known by now."""
        if not cpus:
            return
        for cpu in cpus:
            self.by_cpu.setdefault(cpu, []).append(one)
        revocation = one.revocation
        revocation.open_on += len(cpus)
        revocation.late_ps = max(revocation.late_ps, revocation.gone_ps or 0)
        revocation.gone_ps = None

    def _are_over(self, cpu: CpuId, at: Picoseconds, which: Callable[[Waiting], bool]) -> None:
        waiting = self.by_cpu.pop(cpu, [])
        over, left = list[Waiting](), list[Waiting]()
        for one in waiting:
            (over if which(one) else left).append(one)
        if left:
            self.by_cpu[cpu] = left
        for one in over:
            one.is_over(cpu, at, self._keep)
