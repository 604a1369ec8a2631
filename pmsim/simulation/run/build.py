"""From a resolved scenario to a machine with a kernel and tasks on it, ready to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count, filterfalse

import numpy as np

from pmsim.errors import ScenarioError, SimulationError
from pmsim.hardware.machine import Machine, room_for_tasks
from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.operation_rows import Sink
from pmsim.kernel.profile import KernelProfile
from pmsim.scenario.known import HOST, KERNEL
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.simulation.streams import MACHINE, stream
from pmsim.steps import Steps
from pmsim.watching import watched
from pmsim.workloads.cpu import Cpu, Windows
from pmsim.workloads.failure import Failure
from pmsim.workloads.locks import Locks
from pmsim.workloads.placement import with_claims
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import TaskSpec
from pmsim.workloads.waiting import as_program_error, checked_steps


@dataclass(slots=True)
class PlacedTask:
    """A workload's task on the machine.

    Attributes
    ----------
    workload, spec, number
        Whose task it is, what was asked for, and its number on its CPU.
    cpu
        What it was given; `None` until it was spawned.
    end_ps
        When it came to its own end; `None` as long as it has not.
    """

    workload: Workload
    spec: TaskSpec
    number: int
    cpu: Cpu | None = None
    end_ps: int | None = None


@dataclass(slots=True)
class Simulation:
    """One replication of a scenario, ready to run.

    Attributes
    ----------
    machine, kernel
        What it runs on.
    tasks
        The workloads' tasks, in the order in which they queue at time 0.
    failures
        What the kernel refused them, as it happens.
    windows
        How long they kept interrupts off, likewise.
    asked
        The costs that were asked for, likewise, by their names.
    """

    machine: Machine
    kernel: Kernel
    tasks: list[PlacedTask]
    asked: set[str]
    failures: list[Failure] = field(default_factory=list)
    windows: Windows = field(default_factory=Windows)

    @property
    def least_ps(self) -> int:
        """How long a run until done takes at least, as far as that is known beforehand."""
        ends = (task.spec.least_ps for task in self.tasks if task.spec.role == "foreground")
        return max(ends, default=0)


def build(scenario: ResolvedScenario, replication: int, sink: Sink | None = None) -> Simulation:
    """Build machine, kernel and tasks for one replication.

    Parameters
    ----------
    scenario
        What to simulate.
    replication
        The number of the run; its random draws depend on it.
    sink
        Receives the kernel's operations.
    """
    jitter = stream(scenario.seed, replication, MACHINE, "jitter")
    tasks = _placed(scenario)
    asked: set[str] = set()
    phases = stream(scenario.seed, replication, MACHINE, "phases")
    machine, kernel = boot(
        scenario.machine, scenario.kernel, jitter, sink, len(tasks), asked, phases
    )
    simulation = Simulation(machine, kernel, tasks, asked)
    locks = Locks(machine)
    for task in simulation.tasks:
        machine.spawn(
            task.spec.cpu,
            partial(_steps, simulation, task, locks, (scenario.seed, replication)),
            name=task.workload.name,
            working_set=task.spec.working_set,
            role=task.spec.role,
            number=task.number,
        )
    return simulation


def boot(
    description: MachineDescription,
    profile: KernelProfile,
    jitter: np.random.Generator,
    sink: Sink | None = None,
    tasks: int = 0,
    asked: set[str] | None = None,
    phases: np.random.Generator | None = None,
) -> tuple[Machine, Kernel]:
    """Build a machine and boot a kernel on it.

    Parameters
    ----------
    description, profile
        The machine, and the kernel.
    jitter
        Where the delivery of interrupts draws from, if the machine has any jitter.
    sink
        Receives the kernel's operations.
    tasks
        Tasks that are there from the start.
    asked
        Where the names of the costs go that are asked for.
    phases
        Where the turns of virtual CPUs are drawn from, if the machine has any.
    """
    asked = set() if asked is None else asked
    work = watched(description.kernel_costs, asked, f"{KERNEL}.")
    machine = Machine(
        description.topology,
        watched(description.costs, asked),
        profile.crosscall_order,
        jitter_rng=jitter,
        max_tasks=room_for_tasks(description.topology.n_cpus, tasks),
        shootdown=profile.shootdown_on(description.costs),
        isolated=description.isolated,
        phase_rng=phases,
        host=None if description.host is None else watched(description.host, asked, f"{HOST}."),
    )
    return machine, Kernel(machine, profile, work, sink)


def _placed(scenario: ResolvedScenario) -> list[PlacedTask]:
    """Give every task of the workloads a number, in file order.

    A task that brings no number gets the lowest that is free on its CPU, the numbers that others
    bring being taken from the start. Without traces, numbers thus ascend in file order.
    """
    info = with_claims(scenario.machine.info(scenario.kernel), scenario.workloads)
    asked = [(one, spec) for one in scenario.workloads for spec in one.tasks(info)]
    taken: dict[int, set[int]] = {spec.cpu: set() for _, spec in asked}
    for _, spec in asked:
        if spec.number is not None:
            taken[spec.cpu].add(spec.number)
    free = {cpu: filterfalse(numbers.__contains__, count()) for cpu, numbers in taken.items()}
    return [
        PlacedTask(one, spec, next(free[spec.cpu]) if spec.number is None else spec.number)
        for one, spec in asked
    ]


def _steps(
    simulation: Simulation, placed: PlacedTask, locks: Locks, seed: tuple[int, int], task: Task
) -> Steps:
    """Return the steps of a task, with its end noted and what it does wrong given a place."""

    def stream_for(purpose: str) -> np.random.Generator:
        return stream(*seed, placed.workload.name, f"{placed.spec.stream}:{purpose}")

    placed.cpu = cpu = Cpu(task, locks, simulation.windows, stream_for, simulation.failures)
    return _watched(placed, KernelHandle(simulation.kernel, task), cpu)


def _watched(placed: PlacedTask, kernel: KernelHandle, cpu: Cpu) -> Steps:
    try:
        yield from checked_steps(placed.spec.run, kernel, cpu)
        yield from cpu.task.enter_kernel()
    except (SimulationError, ScenarioError):
        raise
    except Exception as error:
        raise as_program_error(error, cpu) from error
    placed.end_ps = cpu.task.now
