"""Keys that several kinds of workload share, beside the quantities of `pmsim.quantities`."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Tag, WithJsonSchema

from pmsim import units
from pmsim.cpulist import EXAMPLE, checked_cpulist
from pmsim.errors import CpuListError
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.quantities import (
    LIST_OR_OTHER,
    MAPPING_OR_OTHER,
    NUMBER_OR_OTHER,
    Keys,
    QuantityKey,
    refused,
)

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
    int,
    QuantityKey(units.PAGES, positive=True, bare=True, largest=MOST_USER_PAGES, memory=True),
]
"""Pages of user space, at least one; the unit may be left out, or memory stand for them."""

PagesOrNone = Annotated[int, QuantityKey(units.PAGES, bare=True, largest=MOST_USER_PAGES)]
"""Pages of user space, maybe none; the unit may be left out."""

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


def _end_or_never(value: Any) -> Any:
    if value not in ("end", "never"):
        hint = "end, never, or {every: 8} for every so many allocations"
        raise refused("bad-value", f"{value!r} is no time to protect a pool", hint)
    return value


ProtectCadence = Annotated[
    Annotated[Literal["end", "never"], BeforeValidator(_end_or_never), Tag("other")]
    | Annotated[Every, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""When a pool is protected: ``end``, ``never`` or ``{every: n}``."""

CPU_NAMES: Final = ("all", "others", "isolated", "housekeeping")
"""Words for CPUs, beside lists of their numbers."""

_LIST_SCHEMA: Final = {
    "type": "string",
    "format": "cpulist",
    "pattern": r"^[0-9NAaLl,:/\s-]*$",
    "description": "CPUs as the kernel lists them: 2-63,96-127, or 0-63:2/4.",
}
_NUMBER_SCHEMA: Final = {"type": "integer", "minimum": 0}


def _as_text(value: Any) -> str:
    """Take a number for a list of one CPU, as it looks."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refused("wrong-type", f"{value!r} names no CPUs", EXAMPLE)
    return str(value)


def _cpulist(text: str) -> str:
    try:
        return checked_cpulist(text)
    except CpuListError as error:
        raise refused(error.code, error.message, error.hint) from None


def _name_or_cpulist(text: str) -> str:
    if text in CPU_NAMES:
        return text
    try:
        return checked_cpulist(text)
    except CpuListError as error:
        words = f"{error.hint}; or {', '.join(CPU_NAMES)}"
        raise refused(error.code, error.message, words) from None


_Text = Annotated[str, AfterValidator(_cpulist), WithJsonSchema(_LIST_SCHEMA)]
_Entry = Annotated[
    Annotated[CpuNumber, Tag("number")] | Annotated[_Text, Tag("other")], NUMBER_OR_OTHER
]
_Entries = Annotated[tuple[_Entry, ...], Tag("list")]
_Single = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_cpulist),
    WithJsonSchema({"anyOf": [_LIST_SCHEMA, _NUMBER_SCHEMA]}),
]
_Name = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_name_or_cpulist),
    WithJsonSchema({"anyOf": [{"enum": list(CPU_NAMES)}, _LIST_SCHEMA, _NUMBER_SCHEMA]}),
]

CpuList = Annotated[Annotated[_Single, Tag("other")] | _Entries, LIST_OR_OTHER]
"""CPUs as the kernel lists them (`pmsim.cpulist`), or a list of numbers; maybe none."""

CpusOrNone = Annotated[Annotated[_Name, Tag("other")] | _Entries, LIST_OR_OTHER]
"""CPUs by a word of `CPU_NAMES`, or listed as in `CpuList`; maybe none."""

CpuSet = Annotated[Annotated[_Name, Tag("other")] | _Entries, LIST_OR_OTHER, NotEmpty]
"""CPUs as in `CpusOrNone`, at least one."""


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
