"""Keys that several kinds of workload share, beside the quantities of `pmsim.quantities`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from pmsim import units
from pmsim.kernel.pmalloc.generations import PoolMode
from pmsim.quantities import Keys, Size

Count = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
"""A whole number, zero included; it needs no unit."""

PositiveCount = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]
"""A whole number of at least one."""

CpuNumber = Annotated[int, Field(ge=0, strict=True)]
"""The number of a logical CPU; whether the machine has it is checked when the machine is known."""


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        context = {"code": "empty-list", "message": "the list is empty", "hint": ""}
        raise PydanticCustomError("empty_list", "{message}", context)
    return value


# Not `min_length`, which counts the valid entries, and so reports each bad one a second time.
NotEmpty = AfterValidator(_not_empty)
"""Annotates a list that must have an entry."""


class Every(Keys):
    """Once in so many."""

    every: PositiveCount = Field(description="After how many allocations.")


def _is_mapping(value: object) -> str:
    """Tell a word from a mapping, so that only the faults of what was meant are reported."""
    return "mapping" if isinstance(value, dict | BaseModel) else "word"


def _is_list(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "word"


ProtectCadence = Annotated[
    Annotated[Literal["end", "never"], Tag("word")] | Annotated[Every, Tag("mapping")],
    Discriminator(_is_mapping),
]
"""When a pool is protected: ``end``, ``never`` or ``{every: n}``."""

CpuSet = Annotated[
    Annotated[Literal["all", "others"], Tag("word")]
    | Annotated[tuple[CpuNumber, ...], NotEmpty, Tag("list")],
    Discriminator(_is_list),
]
"""Some CPUs: ``all``, ``others`` (those that no other workload claims) or a list of numbers."""


class PoolKeys(Keys):
    """How a pmalloc pool is created (``pmalloc_create_pool``)."""

    refill: Size = Field(
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
