"""Keys that several kinds of workload share, beside the quantities of `pmsim.quantities`."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, Tag

from pmsim import units
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.quantities import LIST_OR_OTHER, MAPPING_OR_OTHER, Keys, QuantityKey, refused

Count = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
"""A whole number, zero included; it needs no unit."""

PositiveCount = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]
"""A whole number of at least one."""

MOST_BYTES: Final = units.TIB << 16
"""Bytes of the kernel's half of an address space of five levels, the largest: 64 PiB."""

KernelSize = Annotated[int, QuantityKey(units.SIZE, largest=MOST_BYTES)]
"""Bytes of the kernel's memory or addresses, zero included."""

PositiveKernelSize = Annotated[int, QuantityKey(units.SIZE, positive=True, largest=MOST_BYTES)]
"""Bytes of the kernel's memory or addresses, at least one."""

MOST_SITES: Final = units.GIB // 5
"""Sites in code: the kernel's has 1 GiB at most (x86: KERNEL_IMAGE_SIZE), a site takes 5 bytes."""

SiteCount = Annotated[int, Field(ge=0, le=MOST_SITES, strict=True)]
"""A number of sites in code, zero included."""

PositiveSites = Annotated[int, Field(ge=1, le=MOST_SITES, strict=True)]
"""A number of sites in code, at least one."""

MOST_USER_PAGES: Final = 128 * units.TIB // units.PAGE_SIZE
"""Pages of a process: its half of an address space of four levels, 128 TiB."""

UserPages = Annotated[
    int, QuantityKey(units.PAGES, positive=True, bare=True, largest=MOST_USER_PAGES)
]
"""Pages of user space, at least one; the unit may be left out."""

Apart = Annotated[int, QuantityKey(units.TIME, smallest=units.NS)]
"""Picoseconds between two things on a CPU, which does nothing in less than a nanosecond."""

EventRate = Annotated[Fraction, QuantityKey(units.RATE, positive=True, largest=units.S // units.NS)]
"""Things that a CPU does in a second, more than none and at most one each nanosecond."""

CpuNumber = Annotated[int, Field(ge=0, lt=1 << 63, strict=True)]
"""The number of a logical CPU; whether the machine has it is checked when the machine is known."""


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise refused("empty-list", "the list is empty")
    return value


# Not `min_length`, which counts the valid entries, and so reports each bad one a second time.
NotEmpty = AfterValidator(_not_empty)
"""Annotates a list that must have an entry."""


class Every(Keys):
    """Once after every so many allocations."""

    every: PositiveCount = Field(description="After how many allocations.")


ProtectCadence = Annotated[
    Annotated[Literal["end", "never"], Tag("other")] | Annotated[Every, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""When a pool is protected: ``end``, ``never`` or ``{every: n}``."""

CpuSet = Annotated[
    Annotated[Literal["all", "others"], Tag("other")]
    | Annotated[tuple[CpuNumber, ...], NotEmpty, Tag("list")],
    LIST_OR_OTHER,
]
"""Some CPUs: ``all``, ``others`` (those that no other workload claims) or a list of numbers."""


class PoolKeys(Keys):
    """How a pmalloc pool is created (``pmalloc_create_pool``)."""

    refill: KernelSize = Field(
        default=units.PAGE_SIZE,
        description="Bytes of an area, at least; rounded up to pages. 0B means one page.",
    )
    align_order: Annotated[int, Field(ge=-1, le=62, strict=True)] = Field(
        default=3,
        description="Alignment of each allocation as a power of two; -1 is the kernel's default.",
    )
    mode: PoolMode = Field(
        default="ro",
        description="ro: protected for good; wr: rare writes may change it; auto, auto_wr: and each"
        " area is protected when the next one comes; start: areas are protected before they are"
        " filled. What there is depends on the kernel's key pmalloc.",
    )
