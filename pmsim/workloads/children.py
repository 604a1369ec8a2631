"""Children of a process, which the scheduler puts on CPUs of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydantic import Field

from pmsim.quantities import Keys, Time
from pmsim.steps import Steps
from pmsim.workloads.cpu_set import Named, named_claims, named_cpus, named_faults
from pmsim.workloads.keys import CpuSet, CpusOrNone, PagesOrNone
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.hardware.locks import Completion
    from pmsim.hardware.task import Task
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.user_mm import UserMm
    from pmsim.workloads.task import MachineInfo

CPU_KEYS: Final = ("cpus", "program_cpus")
"""Keys of `Children` that name CPUs."""


class Children(Keys):
    """Where forked children run, and what they do."""

    cpus: CpuSet = Field(
        description="CPUs that children are put on, one after the other (the scheduler's choice at"
        " fork): all, others (CPUs that no workload names), isolated, housekeeping, or a list.",
    )
    writes: PagesOrNone = Field(
        default=0,
        description="Pages that a child writes to while its parent shares them: each is copied.",
    )
    compute: Time = Field(default=0, description="What a child computes then.")
    program: bool = Field(
        default=True,
        description="Whether a child runs another program before it computes; no: it goes on with"
        " its copy of the address space, as one that saves a snapshot.",
    )
    program_cpus: CpusOrNone = Field(
        default=(),
        description="CPUs that children move to as they run another program (the scheduler's choice"
        " at exec), one after the other; none: they stay.",
    )
    waited: bool = Field(
        default=True,
        description="Whether the thread that forks waits for the child's end; no: it goes on while"
        " the child shares its pages.",
    )


class Child:
    """A child that the caller's process has forked, on its way from its first step to its end.

    Parameters
    ----------
    keys
        Where it runs and what it does, its CPUs as numbers (`placed`).
    nth
        Its number among the children of its parent, from 0: it has the CPUs at that place.
    pages
        How many it shares with its parent at first.
    working_set
        TLB entries that it refills after a full flush.
    """

    def __init__(self, keys: Children, nth: int, pages: int, working_set: int) -> None:
        self._keys = keys
        self._nth = nth
        self._pages = pages
        self._working_set = working_set

    def start(self, kernel: KernelHandle, mm: UserMm) -> Completion:
        """Let it run, in its address space; return the completion of its end."""
        from pmsim.hardware.locks import Completion  # late: it loads the compiled hardware

        self._ended = Completion(kernel.task.machine, "the end of a child")

        def run(task: Task) -> Steps:
            child = as_seen_by(task, kernel)
            yield from child.use_mm(mm)
            yield from self._run(child)

        cpu = self._cpu(self._keys.cpus, kernel)
        kernel.wake_up_new_task(cpu, run, self._working_set)
        return self._ended

    def _run(self, kernel: KernelHandle) -> Steps:
        """Write, and run another program or go on."""
        keys = self._keys
        shared = self._pages - keys.writes
        if keys.writes:
            yield from kernel.wp_page_copy(keys.writes)
        if not keys.program:
            yield from kernel.task.user_compute(keys.compute)
            yield from kernel.exit_mm(self._pages, shared=shared)
            self._ended.complete()
            return

        def program(task: Task) -> Steps:
            there = as_seen_by(task, kernel)
            yield from there.execve(self._pages, shared=shared)
            yield from task.user_compute(keys.compute)
            yield from there.exit_mm()
            self._ended.complete()

        cpu = self._cpu(keys.program_cpus, kernel)
        if cpu == kernel.task.cpu:
            yield from program(kernel.task)
        else:
            kernel.sched_exec(cpu, program, self._working_set)

    def _cpu(self, cpus: Named, kernel: KernelHandle) -> int:
        """Return its CPU of some; that which it is on, where there are none."""
        return int(cpus[self._nth % len(cpus)]) if cpus else kernel.task.cpu


def as_seen_by(task: Task, kernel: KernelHandle) -> KernelHandle:
    """Return a kernel as another task sees it."""
    from pmsim.kernel.handle import KernelHandle  # late: it loads the compiled hardware

    return KernelHandle(kernel.kernel, task)


def placed(children: Children, machine: MachineInfo) -> Children:
    """Return what children do on a machine, with the numbers of their CPUs."""
    found = {name: named_cpus(getattr(children, name), machine) for name in CPU_KEYS}
    return children.model_copy(update=found)


def child_claims(children: Children, machine: MachineInfo) -> frozenset[int]:
    """Return the CPUs that are named for children."""
    return frozenset[int]().union(
        *(named_claims(getattr(children, name), machine) for name in CPU_KEYS)
    )


def child_faults(children: Children, machine: MachineInfo) -> Iterable[KeyFault]:
    """Return a fault for each CPU that is named and that the machine does not have."""
    for name in CPU_KEYS:
        for fault in named_faults(name, getattr(children, name), machine):
            yield replace(fault, path=("children", *fault.path))
