"""Modules are loaded, and unloaded again."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice, repeat
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from pmsim.errors import Fault
from pmsim.quantities import Keys, Time
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault
from pmsim.workloads.keys import Count
from pmsim.workloads.module_choice import SEGMENTS, ModuleChoices, chosen_modules, module_faults
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo, Steps


class After(Keys):
    """Unload a module some time after it was loaded."""

    after: Time = Field(description="How long each module stays.")


def _is_mapping(value: object) -> str:
    return "mapping" if isinstance(value, dict | BaseModel) else "word"


Unload = Annotated[
    Annotated[bool, Field(strict=True), Tag("word")] | Annotated[After, Tag("mapping")],
    Discriminator(_is_mapping),
]
"""``false``, ``true`` (as soon as it is loaded) or ``{after: 1s}``."""


@workload("module_burst")
class ModuleBurst(CpuWorkload):
    """Kernel modules are loaded at given or random times, and unloaded if asked for.

    One task does it all, so a load that comes due during another one begins right after it.
    """

    modules: Count = Field(description="Modules loaded, one by one.")
    arrival: Arrival | None = Field(
        default=None, description="When loads begin; none: each right after the one before."
    )
    segments: ModuleChoices | None = SEGMENTS
    unload: Unload = Field(
        default=False, description="false, true (at once, when loaded) or {after: 1s}."
    )

    @model_validator(mode="after")
    def _enough_arrivals(self) -> ModuleBurst:
        if self.arrival is not None:
            self.arrival.check_count(self.modules, "modules")
        return self

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for each module that the table does not have."""
        yield from super().check(machine)
        yield from module_faults(self.segments)

    def run(self, kernel: Any, cpu: Cpu) -> Steps:
        """Load at the arrivals and unload when modules have stayed long enough, in time order."""
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        arrivals = islice(instants, self.modules)
        choices = chosen_modules(self.segments, cpu.rng("segments"))
        leaving: list[tuple[int, int, Any]] = []
        loaded = 0
        load_at = next(arrivals, None)
        while load_at is not None or leaving:
            if load_at is None or (leaving and leaving[0][0] <= load_at):
                due, _, module = heapq.heappop(leaving)
                yield from cpu.sleep_until(due)
                yield from kernel.unload_module(module)
                continue
            yield from cpu.sleep_until(load_at)
            module = yield from kernel.load_module(next(choices))
            if module is None:
                cpu.report_failure("load_module", kernel.load_refusal().reason)
            elif self.unload is not False:
                stay = self.unload.after if isinstance(self.unload, After) else 0
                heapq.heappush(leaving, (cpu.now + stay, loaded, module))
            loaded += 1
            load_at = next(arrivals, None)
