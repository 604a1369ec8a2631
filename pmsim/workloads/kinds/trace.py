"""Replaying a program, for exact comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from pmsim.errors import Fault, ScenarioError
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import Count
from pmsim.workloads.program import Op
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.replayed import ReplayedTrace
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.trace_file import read_programs
from pmsim.workloads.validation import KeyFault, beside_scenario, fault_at_file

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("trace")
class Trace(Workload):
    """A program for the bare machine is replayed, step by step, without any cost of a kernel.

    The file is CSV with the columns cpu,op,arg and optionally task (0 where absent). Each (cpu,
    task) is one task that runs its rows in order, ready at time 0. The ops are compute, user (a
    compute in user mode), irqs_off and sleep (arg in ps), flush_kernel (arg in pages: a flush of
    lazily freed kernel addresses on all CPUs, by the kernel's protocol), invalidate (arg in pages,
    0 for everything: a TLB broadcast, on a machine that has one), and mutex_lock, mutex_unlock,
    spin_lock, spin_unlock (arg: the number of the lock). Locks of the same number are the same lock
    in all traces of a scenario.
    """

    revokes = False

    file: Annotated[str, AfterValidator(beside_scenario)] = Field(
        min_length=1, description="The CSV file; a relative name is looked for beside the scenario."
    )
    working_set: Count = Field(
        default=0, description="TLB entries that each of its tasks refills after a full flush."
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the tasks of the file; raise `ScenarioError` if it has faults."""
        trace = ReplayedTrace(read_programs(Path(self.file), machine.n_cpus))
        least = trace.programs.least_ps
        return [
            TaskSpec(
                cpu,
                partial(_replay, trace, which),
                number=task,
                working_set=self.working_set,
                least_ps=least[which],
            )
            for which, (cpu, task) in enumerate(trace.programs)
        ]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return what is wrong with the file."""
        try:
            programs = read_programs(Path(self.file), machine.n_cpus)
        except ScenarioError as error:
            return [fault_at_file(self.file, fault) for fault in error.faults]
        if not machine.broadcasts and programs.contains(Op.INVALIDATE):
            message = f"{self.file} has rows 'invalidate', which this machine cannot"
            return [KeyFault(("file",), "no-tlbi", message, "give the machine costs: tlbi")]
        return []

    def inputs(self) -> tuple[str, ...]:
        """Return the file."""
        return (self.file,)


def _replay(trace: ReplayedTrace, which: int, kernel: KernelHandle, cpu: Cpu) -> Steps:
    """Run the rows of one task on the hardware itself."""
    # Late: these load the compiled hardware, which reading a scenario does not need.
    from pmsim.hardware.shootdown.tlbi import invalidate_all, invalidate_pages
    from pmsim.hardware.tlb import flush
    from pmsim.kernel.tlbflush import Cause

    task = cpu.task
    costs, tlbi = task.machine.costs, task.machine.costs.tlbi
    ceiling = kernel.profile.ceiling
    flush_of = cache(lambda pages: replace(flush(costs.tlb, pages, ceiling), purges=True))
    calls = task.machine.shootdown.protocol.by_calls
    trace.load(task.machine, flush_of, Cause.TRACE)
    number, end = 0, trace.programs.length(which)
    while number < end:
        stretch = trace.stretch(which, number)
        if stretch:
            yield from trace.take(task, which, number, stretch)
            number += stretch
            continue
        op, arg = trace.programs.row(which, number)
        number += 1
        if op is Op.COMPUTE:
            yield from cpu.compute(arg)
        elif op is Op.USER:
            yield from cpu.user_compute(arg)
        elif op is Op.FLUSH_KERNEL:
            if calls:
                yield from task.cross_call(flush_of(arg), cause=Cause.TRACE, pages=arg)
            else:
                yield from kernel.kernel.tlbflush.flush_pages(task, arg, Cause.TRACE)
        elif op is Op.INVALIDATE:
            what = invalidate_pages(tlbi, arg) if arg and tlbi else invalidate_all()
            yield from task.invalidate(what, cause=Cause.TRACE, pages=arg or -1)
        elif op is Op.IRQS_OFF:
            yield from cpu.irqs_off(arg)
        elif op is Op.SLEEP:
            yield from cpu.sleep(arg)
        elif op is Op.MUTEX_LOCK:
            yield from cpu.locks.mutex(f"mutex {arg}").lock(task)
        elif op is Op.MUTEX_UNLOCK:
            yield from task.boundary()
            cpu.locks.mutex(f"mutex {arg}").unlock(task)
        elif op is Op.SPIN_LOCK:
            yield from cpu.locks.spinlock(f"spinlock {arg}").lock(task)
        else:
            yield from task.boundary()
            cpu.locks.spinlock(f"spinlock {arg}").unlock(task)
