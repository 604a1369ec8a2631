"""Which modules a workload loads: by name, by their segments, or drawn at random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, Tag, model_validator

from pmsim.kernel.modules.segments import (
    ModuleSegments,
    known_modules,
    segments_of,
    tables_with,
)
from pmsim.quantities import MAPPING_OR_OTHER, Keys, PageCount, refused
from pmsim.workloads.keys import NotEmpty, PositiveSites, SiteCount
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    import numpy as np

    from pmsim.kernel.profile import KernelProfile
    from pmsim.workloads.task import MachineInfo

LEAST_PAGES = 6
"""Pages of the smallest module that is drawn: one for each of six segments."""


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
    static_call_sites: SiteCount = Field(default=0, description="Sites patched during the load.")
    traced_functions: SiteCount = Field(
        default=0, description="Functions that ftrace makes ready during the load."
    )
    alternatives: SiteCount = Field(default=0, description="Alternatives applied during the load.")
    enabled_keys: tuple[PositiveSites, ...] = Field(
        default=(), description="Sites of each static key that is enabled when the module comes."
    )
    init_fails: bool = Field(default=False, description="Whether the init function fails.")
    formation_fails: bool = Field(
        default=False,
        description="Whether the load fails between its change of permissions and its init.",
    )

    @model_validator(mode="after")
    def _possible(self) -> SegmentKeys:
        try:
            self.segments()
        except ValueError as error:
            raise refused("bad-segments", str(error), "give core_text at least") from None
        return self

    def segments(self) -> ModuleSegments:
        """Return them as the kernel takes them."""
        return ModuleSegments(**{name: getattr(self, name) for name in type(self).model_fields})


class ModuleSizes(Keys):
    """A distribution of modules: the least that one has, and a log-normal number of pages more.

    The means are those of the 66 modules of the boot of a machine with 255 CPUs (Luis Chamberlain,
    2023, /sys/kernel/debug/modules/stats: 170,729 bytes on average, 62,868 of them text); how far
    sizes spread, and how what is no text is divided, follow the 39 measured modules of Linux 6.1.
    """

    mean: PageCount = Field(
        default=42, description="Mean pages of a module, its init part included."
    )
    sigma: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)] = Field(
        default=1.5, description="Deviation of the logarithm of the pages beyond the least, 6."
    )
    text: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.37, description="Share of the pages that is code."
    )
    file: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = Field(
        default=1.5, description="Pages of the file for each page of the module."
    )
    static_call_sites: SiteCount = Field(default=0, description="Sites patched during each load.")
    traced: Annotated[float, Field(ge=0, le=512, allow_inf_nan=False)] = Field(
        default=8.6,
        description="Functions that ftrace makes ready for each page of code that stays.",
    )

    @model_validator(mode="after")
    def _large_enough(self) -> ModuleSizes:
        if self.mean < LEAST_PAGES:
            message = f"a module that is drawn has at least {LEAST_PAGES} pages"
            raise refused("bad-segments", message, "list smaller ones by their segments")
        return self

    def draw(self, rng: np.random.Generator) -> ModuleSegments:
        """Return a module.

        Text, constants, data and symbols share the pages that are left when what is read-only after
        init and the init text have taken one each.
        """
        pages = LEAST_PAGES
        if more := self.mean - LEAST_PAGES:
            pages += round(rng.lognormal(math.log(more) - self.sigma**2 / 2, self.sigma))
        text = min(max(1, round(self.text * pages) - 1), pages - LEAST_PAGES + 1)
        rest = pages - text - 2
        rodata, data = max(1, round(0.35 * rest)), max(1, round(0.33 * rest))
        return ModuleSegments(
            file_pages=math.ceil(self.file * pages),
            core_text=text,
            core_rodata=rodata,
            core_ro_after_init=1,
            core_data=data,
            init_text=1,
            init_rodata=0,
            init_ro_after_init=0,
            init_data=rest - rodata - data,
            static_call_sites=self.static_call_sites,
            traced_functions=round(self.traced * text),
        )


ModuleChoice = Annotated[
    Annotated[str, Tag("other")] | Annotated[SegmentKeys, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""A module of the measured table by name, or segments given outright."""

ModuleChoices = Annotated[
    Annotated[tuple[ModuleChoice, ...], NotEmpty, Tag("other")]
    | Annotated[ModuleSizes, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""A list of modules, or the distribution that they are drawn from."""

SEGMENTS = Field(
    default=None,
    description="Modules in turn: names of the table that was measured for this kernel, or their"
    " segments; or the distribution of their sizes; none: each drawn from the table.",
)
"""What the key ``segments`` of a workload is."""


def chosen_modules(
    choices: tuple[Any, ...] | ModuleSizes | None, rng: np.random.Generator, kernel: KernelProfile
) -> Iterator[ModuleSegments]:
    """Yield the modules to load, without end.

    Parameters
    ----------
    choices
        What the key ``segments`` holds.
    rng
        Where sizes, or modules of the table, are drawn from.
    kernel
        In whose table names are looked up. What was measured or is drawn has pages of 4 KiB, and
        is brought to the kernel's.
    """
    if isinstance(choices, ModuleSizes):
        return (choices.draw(rng).in_pages_of(kernel.page_size) for _ in repeat(None))
    if choices is not None:
        return cycle([_as_segments(choice, kernel) for choice in choices])
    measured = known_modules(kernel.module_table).values()
    table = [one.in_pages_of(kernel.page_size) for one in measured]
    return (table[int(rng.integers(len(table)))] for _ in repeat(None))


def module_faults(
    choices: Sequence[Any] | ModuleSizes | None, machine: MachineInfo
) -> list[KeyFault]:
    """Return a fault for each module of the key ``segments`` that the kernel's table has not."""
    kernel = machine.kernel
    if kernel is None or isinstance(choices, ModuleSizes):
        return []
    if choices is None:
        return [] if known_modules(kernel.module_table) else [_no_table((), kernel)]
    return [
        _unknown_module(index, choice, kernel)
        for index, choice in enumerate(choices)
        if isinstance(choice, str)
        and choice.replace("-", "_") not in known_modules(kernel.module_table)
    ]


def _as_segments(choice: str | SegmentKeys, kernel: KernelProfile) -> ModuleSegments:
    if not isinstance(choice, str):
        return choice.segments()
    return segments_of(choice, kernel.module_table).in_pages_of(kernel.page_size)


def _unknown_module(index: int, name: str, kernel: KernelProfile) -> KeyFault:
    path = ("segments", index)
    table = known_modules(kernel.module_table)
    if not table:
        return _no_table(path, kernel)
    if others := tables_with(name):
        message = (
            f"'{name}' was measured for {' and '.join(others)}, not for {kernel.module_table},"
            " where it has another size"
        )
        return KeyFault(path, "unknown-module", message, "give its pages as segments")
    near = get_close_matches(name, table, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {len(table)}, such as crc7"
    message = f"the table of measured modules has no '{name}'"
    return KeyFault(path, "unknown-module", message, hint)


def _no_table(path: tuple[str | int, ...], kernel: KernelProfile) -> KeyFault:
    message = f"no modules were measured for {kernel.name}; they have other sizes elsewhere"
    hint = "give segments: their pages, or a distribution such as {mean: 42 pages}"
    return KeyFault(path, "no-module-table", message, hint)
