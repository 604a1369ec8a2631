"""A boot in which many processes ask for the same modules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pmsim.errors import Fault
from pmsim.hardware.topology import MAX_CPUS
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import OnCpus
from pmsim.workloads.keys import CpuSet, PositiveCount
from pmsim.workloads.module_choice import SEGMENTS, ModuleChoices, chosen_modules, module_faults
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

MOST_DUPLICATES = 4 * MAX_CPUS
"""Workers beyond the first: each is a task, and udev starts a few for each CPU."""
MOST_IN_OWN_ORDER = 100_000
"""Modules of which a worker can have an order of its own, which it needs all of."""


@workload("module_storm")
class ModuleStorm(OnCpus):
    """Udev workers on all CPUs ask for the same modules, each for all of them.

    Only one load of each module can succeed; the others are duplicates, which older kernels notice
    late: they read the whole file and allocate the module's memory first. Luis Chamberlain (2023)
    measured what a boot with 255 CPUs wastes on 66 modules: 173 times all of them.
    """

    modules: PositiveCount = Field(description="Different modules.")
    duplicates: Annotated[int, Field(ge=0, le=MOST_DUPLICATES, strict=True)] = Field(
        default=0, description="Workers beyond the first: so often is each module asked for again."
    )
    cpus: CpuSet = Field(
        default="all",
        description="Where the workers run, one after the other: all, others (CPUs that no other"
        " workload names), isolated, housekeeping, or a list.",
    )
    segments: ModuleChoices | None = SEGMENTS
    order: Literal["same", "own"] = Field(
        default="same",
        description="Whether all workers ask in the same order, or each in a random one of its"
        " own.",
    )
    apart: Time = Field(default=0, description="Time from one worker's start to the next one's.")

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the workers, each on the CPU after that of the one before."""
        cpus = self.chosen_cpus(machine)
        return [
            TaskSpec(cpus[worker % len(cpus)], partial(self._run, worker=worker))
            for worker in range(1 + self.duplicates if cpus else 0)
        ]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have, and for unknown modules."""
        yield from super().check(machine)
        yield from module_faults(self.segments, machine)
        if self.order == "own" and self.modules > MOST_IN_OWN_ORDER:
            message = f"{self.modules:,} modules are too many for an order of one's own"
            hint = f"the largest is {MOST_IN_OWN_ORDER:,}, or order: same"
            yield KeyFault(("modules",), "out-of-range", message, hint)

    def _run(self, kernel: KernelHandle, cpu: Cpu, worker: int) -> Steps:
        yield from cpu.sleep_until(worker * self.apart)
        for number, segments in self._asked_for(kernel, cpu, worker):
            module = yield from kernel.load_module(segments, f"{self.name}.{number}")
            refusal = kernel.load_refusal() if module is None else None
            if refusal is not None and not refusal.duplicate:
                cpu.report_failure("load_module", refusal.reason)

    def _asked_for(
        self, kernel: KernelHandle, cpu: Cpu, worker: int
    ) -> Iterable[tuple[int, ModuleSegments]]:
        """Return the modules with their numbers, as a worker asks for them."""
        # The stream goes by the workload's name: every worker draws the same modules.
        drawn = chosen_modules(self.segments, cpu.rng("segments"), kernel.profile)
        modules = enumerate(islice(drawn, self.modules))
        if self.order == "same":
            return modules  # drawn one by one: a run may end long before the last
        own = list(modules)
        cpu.rng(f"order{worker}").shuffle(own)
        return own
