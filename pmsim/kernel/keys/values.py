"""What the keys of a kernel's profile hold, and what is refused: sizes, addresses, pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from pmsim.kernel.geometry import Geometry
from pmsim.quantities import PageCount, PositiveSize, Size, refused
from pmsim.units import KIB, format_size

PAGE_SIZES: Final = (4 * KIB, 16 * KIB, 64 * KIB)
"""Sizes that pages have (arch/arm64/Kconfig, ARM64_4K_PAGES, ARM64_16K_PAGES, ARM64_64K_PAGES)."""

LOWEST_ADDRESS: Final = 0x3F000000
"""No kernel lies lower: modules of a 32-bit Arm one that has 3 GiB of addresses (VMSPLIT_1G)."""

Arch = Literal["x86_64", "x86_32", "arm64", "arm32", "riscv64"]
"""An architecture, by the name that profiles end in."""

NARROW: Final = ("x86_32", "arm32")
"""Those whose words have 32 bits."""

_HEXADECIMAL: Final = "^0[xX][0-9a-fA-F]+$"
_IN_THE_KERNEL: Final = (
    "^0[xX]0*(3[fF][0-9a-fA-F]{6}|[4-9a-fA-F][0-9a-fA-F]{7}|[1-9a-fA-F][0-9a-fA-F]{8,15})$"
)
"""What of it lies no lower, for JSON Schema, which compares numbers only."""


def _pages_from_number(value: Any) -> Any:
    """Let a bare number stand where only a number of pages can be meant."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value} pages" if is_number else value


def _address(value: Any, info: ValidationInfo) -> int:
    """Read ``"0xffff..."``; YAML makes a number of it only where it is not quoted."""
    bits = 32 if info.data.get("arch") in NARROW else 64
    example = f"for example {0xFFFFC90000000000 >> 64 - bits:#x}"  # the upper half of a long one
    if isinstance(value, str) and re.fullmatch(_HEXADECIMAL, value):
        value = int(value, 16)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refused("bad-address", f"{value!r} is no address", example)
    if value < LOWEST_ADDRESS:
        raise refused("bad-address", f"{value:#x} lies below all kernels", example)
    if value >> bits:
        raise refused("bad-address", f"{value:#x} has more than {bits} bits", example)
    return value


ARM64_BITS: Final = 48
"""Bits of an address on arm64 (arch/arm64/Kconfig, ARM64_VA_BITS_48); 52 are left out."""


def geometry_of(keys: Mapping[str, Any]) -> Geometry:
    """Return the shape of the page table of a profile's keys."""
    shift, levels = keys["page_size"].bit_length() - 1, keys["page_table_levels"]
    if keys["arch"] in NARROW:
        return Geometry(levels, 9 if keys["pae"] or keys["arch"] != "x86_32" else 10, 32)
    index_bits = shift - 3  # a table fills a page with entries of 8 bytes
    address_bits = ARM64_BITS if keys["arch"] == "arm64" else shift + index_bits * levels
    return Geometry(levels, index_bits, address_bits, shift)


def _page(size: int) -> int:
    if size not in PAGE_SIZES:
        hint = " or ".join(map(format_size, PAGE_SIZES))
        raise refused("bad-page-size", "no page has this size", hint)
    return size


PageLimit = Annotated[PageCount, BeforeValidator(_pages_from_number)]


def _levels(levels: int, info: ValidationInfo) -> int:
    if info.data.get("arch") != "arm64" or "page_size" not in info.data:
        return levels
    page = info.data["page_size"]
    index_bits = page.bit_length() - 4
    needed = -(-(ARM64_BITS - index_bits - 3) // index_bits)
    if levels != needed:
        message = f"pages of {format_size(page)} have no page table of {levels} levels"
        raise refused("impossible", message, f"{ARM64_BITS} bits take {needed}")
    return levels


def _leaf(size: int, info: ValidationInfo) -> int:
    if not {"arch", "pae", "page_size", "page_table_levels"} <= info.data.keys():
        return size  # another key is at fault
    sizes = geometry_of(info.data).leaf_sizes
    if size not in sizes:
        message = "the page table has no leaf of this size"
        raise refused("bad-leaf", message, "it has " + " and ".join(map(format_size, sizes)))
    return size


def _whole_pages(size: int, info: ValidationInfo) -> int:
    page = info.data.get("page_size", PAGE_SIZES[0])
    if size % page:
        message = f"this is no whole number of pages of {format_size(page)}"
        raise refused("bad-range", message, "for example 1GiB")
    return size


LeafSize = Annotated[Size, AfterValidator(_leaf)]
WholePages = Annotated[Size, AfterValidator(_whole_pages)]
RangeSize = Annotated[PositiveSize, AfterValidator(_whole_pages)]
TableLevels = Annotated[Literal[2, 3, 4, 5], AfterValidator(_levels)]
PageSize = Annotated[Size, AfterValidator(_page)]
Address = Annotated[
    int,
    BeforeValidator(_address),
    WithJsonSchema(
        {
            "format": "address",
            "type": ["integer", "string"],
            "minimum": LOWEST_ADDRESS,
            "exclusiveMaximum": 1 << 64,
            "pattern": _IN_THE_KERNEL,
        }
    ),
]
"""A page's virtual address in the kernel's half of the address space."""


class Named(BaseModel):
    """What every profile begins with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The name scenarios use.")
    arch: Arch = Field(description="The architecture.")
