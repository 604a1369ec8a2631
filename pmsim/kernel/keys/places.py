"""Where things lie in a kernel's addresses, and the shape of its page table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pmsim.kernel.geometry import Geometry
from pmsim.kernel.keys.values import (
    NARROW,
    Address,
    LeafSize,
    Named,
    PageSize,
    RangeSize,
    TableLevels,
    geometry_of,
)
from pmsim.quantities import PositiveSize, refused
from pmsim.units import format_size


class PlaceKeys(Named):
    """Where things lie."""

    pae: bool = Field(description="Whether entries of the page table have 64 bits (x86-32: PAE).")
    page_size: PageSize = Field(
        description="Size of a page: 4KiB; on arm64 16KiB or 64KiB too, as the kernel was built."
        " Limits in pages, stacks and addresses follow where they are not given."
    )
    page_table_levels: TableLevels = Field(description="Levels of the page table.")
    direct_map_leaf: LeafSize = Field(
        description="Size of the direct map's leaves at the start: that of a page (nothing left to"
        " split), or 2MiB or 1GiB (pages of 4 KiB), 32MiB (16 KiB), 512MiB (64 KiB)."
    )
    memory: PositiveSize = Field(description="Physical memory, a multiple of the leaf size.")
    lowmem: PositiveSize = Field(
        description="How much of the memory the direct map holds at most; the rest is highmem."
    )
    page_offset: Address = Field(description="Where the direct map starts.")
    vmalloc_start: Address = Field(description="Where the vmalloc range starts.")
    vmalloc_size: RangeSize = Field(description="Size of the vmalloc range.")
    modules_start: Address = Field(description="Where the range for modules starts.")
    modules_size: RangeSize = Field(description="Size of the range for modules.")
    modules_fallback: Literal["none", "vmalloc"] = Field(
        description="Where modules go when their range is full: nowhere, or to the vmalloc range."
    )
    top_level_copies: Literal["none", "fault", "walk", "switch"] = Field(
        description="How an address space learns of a new top-level entry of the kernel's page"
        " table: it shares it (none), by a fault at the first touch (fault), because the kernel"
        " walks all of them (walk), or when it is switched to (switch)."
    )
    top_level_span: PositiveSize = Field(description="What one top-level entry covers.")

    @property
    def word_bytes(self) -> int:
        """Bytes of a pointer."""
        return 4 if self.arch in NARROW else 8

    @property
    def geometry(self) -> Geometry:
        """Shape of the page table."""
        return geometry_of(vars(self))

    @property
    def direct_map_level(self) -> int:
        """Level of the page table at which the direct map's leaves stand at the start."""
        return self.geometry.leaf_sizes.index(self.direct_map_leaf) + 1

    @property
    def direct_map_start(self) -> int:
        """Where the direct map starts."""
        return self.page_offset

    @property
    def direct_map_size(self) -> int:
        """Bytes of memory that the direct map holds; what lies above is highmem."""
        return min(self.memory, self.lowmem)

    @property
    def vmalloc_range(self) -> tuple[int, int]:
        """First address and size in bytes of the vmalloc range."""
        return self.vmalloc_start, self.vmalloc_size

    @property
    def modules_range(self) -> tuple[int, int]:
        """First address and size in bytes of the range for modules."""
        return self.modules_start, self.modules_size

    @model_validator(mode="after")
    def _holds_whole_leaves(self) -> PlaceKeys:
        if self.direct_map_size % self.direct_map_leaf:
            key = "memory" if self.memory <= self.lowmem else "lowmem"
            raise refused(
                f"bad-{key}",
                f"{key} is no multiple of direct_map_leaf",
                "round it to whole leaves, for example 64GiB",
                key,
            )
        return self

    @model_validator(mode="after")
    def _ranges_end_in_the_address_space(self) -> PlaceKeys:
        ranges = {
            "page_offset": (self.page_offset, self.direct_map_size),
            "vmalloc_start": self.vmalloc_range,
            "modules_start": self.modules_range,
        }
        for key, (start, size) in ranges.items():
            if start % self.page_size:
                before = f"for example {start - start % self.page_size:#x}"
                raise refused("bad-range", f"{key} is not at the start of a page", before, key)
            if start + size > 1 << 8 * self.word_bytes:
                message = f"what begins at {key} ends beyond the address space"
                hint = f"{format_size(size)} have to fit behind it"
                raise refused("bad-range", message, hint, key)
        return self
