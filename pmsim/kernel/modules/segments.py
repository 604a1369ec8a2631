"""What a kernel module is made of, in pages.

A module is a number of segments that change their permissions as a whole; which of them lie
together in one area differs between generations (`pmsim.kernel.modules.plans`). Stands for what
``layout_sections`` gathers (kernel/module/main.c, Linux 6.1). Left out: per-CPU data, which lies
elsewhere, and the module's own allocations.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from pmsim.units import PAGE_SIZE, Bytes, Pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmsim.kernel.keys.code import ModuleTable

SegmentName = Literal[
    "core_text",
    "core_rodata",
    "core_ro_after_init",
    "core_data",
    "init_text",
    "init_rodata",
    "init_ro_after_init",
    "init_data",
]
"""The segments of a module: *core* stays as long as the module, *init* goes after its init."""

SEGMENT_NAMES: tuple[SegmentName, ...] = get_args(SegmentName)

_COUNTED = ("static_call_sites", "traced_functions", "alternatives")
"""What a module has a number of, besides pages."""


@dataclass(frozen=True, slots=True)
class ModuleSegments:
    """Pages of every segment of a module, in the order in which they lie in memory.

    Attributes
    ----------
    file_pages
        Pages of the buffer that the file is read into.
    core_text, core_rodata, core_ro_after_init, core_data
        The core area: kept until the module is unloaded.
    init_text, init_rodata, init_ro_after_init, init_data
        The init area: freed some time after the init function.
    static_call_sites
        Sites that are patched while the module loads, each by a batch of its own.
    traced_functions
        Entries of ``__patchable_function_entries`` or ``__mcount_loc``: functions that ftrace makes
        ready while the module loads.
    alternatives
        Alternatives that are applied while the module loads.
    enabled_keys
        Sites of each static key that is enabled when the module comes: those of one key are patched
        together. The sites of all other keys are as they should be.
    init_fails
        The init function returns an error, so that the module is taken out again at once.
    formation_fails
        Something fails between the change of permissions and the init function (a bad parameter,
        sysfs), and the module is taken out before it has run.

    Raises
    ------
    ValueError
        If a number is negative, the file is empty, or the core area has no page.
    """

    file_pages: Pages
    core_text: Pages
    core_rodata: Pages
    core_ro_after_init: Pages
    core_data: Pages
    init_text: Pages
    init_rodata: Pages
    init_ro_after_init: Pages
    init_data: Pages
    static_call_sites: int = 0
    enabled_keys: tuple[int, ...] = ()
    traced_functions: int = 0
    alternatives: int = 0
    init_fails: bool = False
    formation_fails: bool = False

    def __post_init__(self) -> None:
        for name in ("file_pages", *SEGMENT_NAMES, *_COUNTED):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} of a module is negative")
        if any(sites < 1 for sites in self.enabled_keys):
            raise ValueError("an enabled key of a module has at least one site")
        if not self.file_pages or not self.core:
            raise ValueError("a module has at least one page of file and one of core")

    @property
    def core(self) -> Pages:
        """Pages of the core area."""
        return self.core_text + self.core_rodata + self.core_ro_after_init + self.core_data

    @property
    def init(self) -> Pages:
        """Pages of the init area."""
        return self.init_text + self.init_rodata + self.init_ro_after_init + self.init_data

    def in_pages_of(self, page_size: Bytes) -> ModuleSegments:
        """Return it on a kernel of other pages than those of 4 KiB in which it is given.

        Every segment begins on a page of its own (``module_get_offset_and_type`` aligns to
        ``PAGE_SIZE`` where they are protected), so that each is rounded up.
        """
        times = page_size // PAGE_SIZE
        if times == 1:
            return self
        names = ("file_pages", *SEGMENT_NAMES)
        return replace(self, **{name: -(-getattr(self, name) // times) for name in names})

    def pages_of(self, segments: tuple[SegmentName, ...]) -> Pages:
        """Return the pages of some segments together."""
        return sum(getattr(self, name) for name in segments)


@cache
def _tables() -> Mapping[str, Mapping[str, ModuleSegments]]:
    """Return the measured tables by the kernel that their modules were built for.

    Notes
    -----
    ``pmsim/data/measurements/module_segments.csv``, from the module files of Debian's kernels.
    """
    tables: dict[str, dict[str, ModuleSegments]] = {}
    table = files("pmsim") / "data" / "measurements" / "module_segments.csv"
    with table.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            built_for = f"{row['kernel']}-{row['architecture']}"
            tables.setdefault(built_for, {})[row["module"]] = _segments(row)
    return MappingProxyType({name: MappingProxyType(table) for name, table in tables.items()})


def known_modules(built_for: ModuleTable) -> Mapping[str, ModuleSegments]:
    """Return the modules of a measured table by name; none of a kernel that has no table.

    Parameters
    ----------
    built_for
        The kernel that they were built for (`KernelProfile.module_table`).
    """
    return _tables().get(built_for, MappingProxyType({}))


def segments_of(name: str, built_for: ModuleTable) -> ModuleSegments:
    """Return a module's segments from a measured table.

    Dashes and underscores are the same in a module's name, as for the kernel.

    Raises
    ------
    KeyError
        If the table does not have it.
    """
    return known_modules(built_for)[name.replace("-", "_")]


def tables_with(name: str) -> tuple[str, ...]:
    """Return the kernels whose tables have a module of this name."""
    return tuple(kernel for kernel, table in _tables().items() if name.replace("-", "_") in table)


def _segments(row: Mapping[str, str]) -> ModuleSegments:
    numbers = ("file_pages", *SEGMENT_NAMES, *_COUNTED)
    values: dict[str, Any] = {name: int(row[name] or 0) for name in numbers}
    return ModuleSegments(**values, init_fails=row["init_fails"] == "1")
