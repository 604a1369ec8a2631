"""Modules are loaded, and unloaded again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Tag

from pmsim.errors import Fault
from pmsim.quantities import MAPPING_OR_OTHER, Keys, Time
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import Count
from pmsim.workloads.lifetimes import Lifetimes
from pmsim.workloads.module_choice import SEGMENTS, ModuleChoices, chosen_modules, module_faults
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.timed import Timed
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


class After(Keys):
    """Unload a module some time after it was loaded."""

    after: Time = Field(description="How long each module stays.")


Unload = Annotated[
    Annotated[bool, Field(strict=True), Tag("other")] | Annotated[After, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""``false``, ``true`` (as soon as it is loaded) or ``{after: 1s}``."""


@workload("module_burst")
class ModuleBurst(Timed, CpuWorkload):
    """Kernel modules are loaded at given or random times, and unloaded if asked for.

    One task does it all, in the order of time: a load that comes due during another one begins
    right after it, and after the unloads that are due by then.
    """

    counted = "modules"

    modules: Count = Field(description="Modules loaded, one by one.")
    segments: ModuleChoices | None = SEGMENTS
    unload: Unload = Field(
        default=False, description="false, true (at once, when loaded) or {after: 1s}."
    )

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for each module that the table does not have."""
        yield from super().check(machine)
        yield from module_faults(self.segments, machine)

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Load at the arrivals and unload when lifetimes end."""
        choices = chosen_modules(self.segments, cpu.rng("segments"), kernel.profile)
        stay = self.unload.after if isinstance(self.unload, After) else 0
        present = Lifetimes(cpu, kernel.unload_module)
        for instant in self.arrivals(cpu):
            yield from present.end_due(instant)
            yield from cpu.sleep_until(instant)
            module = yield from kernel.load_module(next(choices))
            refusal = kernel.load_refusal() if module is None else None
            if refusal is not None:
                cpu.report_failure("load_module", refusal.reason)
            elif self.unload is not False:
                present.begin(module, stay)
        yield from present.end_all()
