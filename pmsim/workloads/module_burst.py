"""Modules are loaded, and unloaded again."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import cycle, islice, repeat
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from pmsim.errors import Fault
from pmsim.kernel.module_segments import ModuleSegments, known_modules, segments_of
from pmsim.quantities import Keys, PageCount, Time
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault
from pmsim.workloads.keys import Count, NotEmpty
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo, Steps


class SegmentKeys(Keys):
    """The segments of one module, given outright."""

    file_pages: PageCount = Field(description="Buffer that the file is read into.")
    core_text: PageCount = Field(default=0, description="Code that stays.")
    core_rodata: PageCount = Field(default=0, description="Constants that stay.")
    core_ro_after_init: PageCount = Field(default=0, description="Read-only after init.")
    core_data: PageCount = Field(default=0, description="Data that stay.")
    init_text: PageCount = Field(default=0, description="Code freed after init.")
    init_rodata: PageCount = Field(default=0, description="Constants freed after init.")
    init_ro_after_init: PageCount = Field(default=0, description="Always empty in practice.")
    init_data: PageCount = Field(default=0, description="Data freed after init.")
    static_call_sites: Count = Field(default=0, description="Sites patched during the load.")
    init_fails: bool = Field(default=False, description="Whether the init function fails.")

    @model_validator(mode="after")
    def _possible(self) -> SegmentKeys:
        try:
            self.segments()
        except ValueError as error:
            raise PydanticCustomError(
                "segments",
                "{message}",
                {"code": "bad-segments", "message": str(error), "hint": "give core_text at least"},
            ) from None
        return self

    def segments(self) -> ModuleSegments:
        """Return them as the kernel takes them."""
        return ModuleSegments(**{name: getattr(self, name) for name in type(self).model_fields})


class After(Keys):
    """Unload a module some time after it was loaded."""

    after: Time = Field(description="How long each module stays.")


def _is_mapping(value: object) -> str:
    return "mapping" if isinstance(value, dict | BaseModel) else "word"


ModuleChoice = Annotated[
    Annotated[str, Tag("word")] | Annotated[SegmentKeys, Tag("mapping")],
    Discriminator(_is_mapping),
]
"""A module of the measured table by name, or segments given outright."""

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
    segments: Annotated[tuple[ModuleChoice, ...], NotEmpty] | None = Field(
        default=None,
        description="Modules in turn: names of the measured table, or their segments; none: each"
        " drawn from the table.",
    )
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
        for index, choice in enumerate(self.segments or ()):
            if isinstance(choice, str) and choice.replace("-", "_") not in known_modules():
                yield _unknown_module(index, choice)

    def run(self, kernel: Any, cpu: Cpu) -> Steps:
        """Load at the arrivals and unload when modules have stayed long enough, in time order."""
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        arrivals = islice(instants, self.modules)
        choices = self._choices(cpu)
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
            segments = next(choices)
            module = yield from kernel.load_module(segments)
            if module is None:
                cpu.report_failure("load_module", _why(segments))
            elif self.unload is not False:
                stay = self.unload.after if isinstance(self.unload, After) else 0
                heapq.heappush(leaving, (cpu.now + stay, loaded, module))
            loaded += 1
            load_at = next(arrivals, None)

    def _choices(self, cpu: Cpu) -> Iterator[ModuleSegments]:
        """Yield the modules to load, without end."""
        if self.segments is not None:
            return cycle([_as_segments(choice) for choice in self.segments])
        table = list(known_modules().values())
        rng = cpu.rng("segments")
        return (table[int(rng.integers(len(table)))] for _ in repeat(None))


def _why(segments: ModuleSegments) -> str:
    """Say why a module was not loaded."""
    if segments.init_fails:
        return "the init function failed"
    return f"no room for {segments.file_pages + segments.core + segments.init} pages"


def _as_segments(choice: ModuleChoice) -> ModuleSegments:
    return segments_of(choice) if isinstance(choice, str) else choice.segments()


def _unknown_module(index: int, name: str) -> KeyFault:
    near = get_close_matches(name, known_modules(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {len(known_modules())}, such as crc7"
    message = f"the table of measured modules has no '{name}'"
    return KeyFault(("segments", index), "unknown-module", message, hint)
