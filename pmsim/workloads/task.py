"""What a workload is told about the machine, and what it hands over to be run on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmsim.steps import Role, Steps

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.profile import KernelProfile
    from pmsim.workloads.cpu import Cpu


def role_of(endless: bool) -> Role:
    """Return the role of a task, by whether it has no end of its own."""
    return "background" if endless else "foreground"


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """What a workload may know of the machine before it runs.

    Attributes
    ----------
    n_cpus
        Logical CPUs, numbered from 0.
    claimed
        CPUs that workloads name as their own, which is what ``others`` leaves out.
    kernel
        The kernel that runs on it; None where it is not known, as its own keys are at fault.
    broadcasts
        Whether its interconnect can broadcast invalidations.
    isolated
        CPUs that nothing but what is put there runs on (``isolcpus``, ``nohz_full``), ascending.
    """

    n_cpus: int
    claimed: frozenset[int] = frozenset()
    kernel: KernelProfile | None = None
    broadcasts: bool = True
    isolated: tuple[int, ...] = ()

    @property
    def others(self) -> tuple[int, ...]:
        """CPUs that no workload claims."""
        return tuple(cpu for cpu in range(self.n_cpus) if cpu not in self.claimed)

    @property
    def housekeeping(self) -> tuple[int, ...]:
        """CPUs that are not isolated, ascending."""
        isolated = set(self.isolated)
        return tuple(cpu for cpu in range(self.n_cpus) if cpu not in isolated)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task that a workload asks for.

    Attributes
    ----------
    cpu
        Where it runs.
    run
        Called with the kernel and the CPU as this task sees them; returns the task's steps.
    number
        Its number on that CPU. ``None``: the lowest number that is free there, in file order.
    working_set
        TLB entries that it has to refill after a full flush.
    role
        ``background`` for a task without an end of its own.
    measured
        Whether how much it computes is a result: a victim, whose work shows what others cost it.
    stream
        Tells the random draws of this task from those of the workload's other tasks; it should
        say what the task is for (``"cpu3"``), not how many there are.
    least_ps
        How long it takes at least, in picoseconds, where that is known beforehand.
    """

    cpu: int
    run: Callable[[KernelHandle, Cpu], Steps]
    number: int | None = None
    working_set: int = 0
    role: Role = "foreground"
    measured: bool = False
    stream: str = ""
    least_ps: int = 0
