"""What a kernel module is made of, in pages.

Stands for ``struct module_layout`` (include/linux/module.h, Linux 6.1): a module is two areas,
*core* and *init*, each a row of segments that change their permissions as a whole.
Left out: per-CPU data, which lies elsewhere, and the module's own allocations.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pmsim.units import PAGE_SIZE, Pages

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    init_fails
        The init function returns an error, so that the module is taken out again at once.

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
    init_fails: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"{field.name} of a module is negative")
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


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment where it was placed: address of its first byte, and pages (0: absent)."""

    address: int
    pages: Pages


@dataclass(frozen=True, slots=True)
class Layout:
    """The segments of one area of a module, placed one after the other from its start."""

    text: Segment
    rodata: Segment
    ro_after_init: Segment
    data: Segment


def place(address: int, text: Pages, rodata: Pages, ro_after_init: Pages, data: Pages) -> Layout:
    """Lay segments out from an address on; an absent one stands where it would begin."""
    placed = []
    for pages in (text, rodata, ro_after_init, data):
        placed.append(Segment(address, pages))
        address += pages * PAGE_SIZE
    return Layout(*placed)


@cache
def known_modules() -> Mapping[str, ModuleSegments]:
    """Return the modules of the measured table, by name.

    Notes
    -----
    ``pmsim/data/measurements/module_segments.csv``: 39 modules of Debian's 6.1.0-56-amd64.
    """
    table = files("pmsim") / "data" / "measurements" / "module_segments.csv"
    with table.open(encoding="utf-8") as lines:
        return MappingProxyType({row["module"]: _segments(row) for row in csv.DictReader(lines)})


def segments_of(name: str) -> ModuleSegments:
    """Return a module's segments from the measured table.

    Dashes and underscores are the same in a module's name, as for the kernel.

    Raises
    ------
    KeyError
        If the table does not have it.
    """
    return known_modules()[name.replace("-", "_")]


def _segments(row: Mapping[str, str]) -> ModuleSegments:
    values: dict[str, Any] = {field.name: int(row[field.name]) for field in fields(ModuleSegments)}
    return ModuleSegments(**values | {"init_fails": row["init_fails"] == "1"})
