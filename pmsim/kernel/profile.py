"""Kernel profiles: one generation of Linux on one architecture is one frozen record.

A profile is data (``pmsim/data/kernels/*.yaml``): what generations do differently is a value of a
key here, or names a small strategy class; no code asks for a version number.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML

from pmsim.errors import Fault, ScenarioError
from pmsim.quantities import FROM_FILE, PageCount, PositiveSize, Size
from pmsim.units import GIB, KIB, MIB, PAGE_SIZE

LEAF_LEVELS: Final = {4 * KIB: 1, 2 * MIB: 2, 1 * GIB: 3}
"""Level of the page table at which a leaf of so many bytes stands (x86-64)."""


def _fault(code: str, message: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError(
        "profile", "{message}", {"code": code, "message": message, "hint": hint}
    )


def _pages_from_number(value: Any) -> Any:
    """Let a bare number stand where only a number of pages can be meant."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value} pages" if is_number else value


def _address_from_text(value: Any) -> Any:
    """Read ``"0xffff..."``; YAML makes a number of it only where it is not quoted."""
    if isinstance(value, str):
        try:
            return int(value, 16)
        except ValueError:
            return value
    return value


def _leaf(size: int) -> int:
    if size not in LEAF_LEVELS:
        raise _fault("bad-leaf", "no leaf of a page table has this size", "4KiB, 2MiB or 1GiB")
    return size


def _whole_pages(size: int) -> int:
    if size % PAGE_SIZE:
        raise _fault("bad-range", "this is no whole number of pages", "for example 1GiB")
    return size


PageLimit = Annotated[PageCount, BeforeValidator(_pages_from_number)]
LeafSize = Annotated[Size, AfterValidator(_leaf)]
RangeSize = Annotated[PositiveSize, AfterValidator(_whole_pages)]
Address = Annotated[
    int, BeforeValidator(_address_from_text), Field(ge=1 << 63, lt=1 << 64, strict=True)
]
"""A page's virtual address in the kernel's half of the address space."""


class KernelProfile(BaseModel):
    """One generation of the kernel on one architecture.

    Every key may be overridden in a scenario. Sizes are in bytes, addresses are those of first
    bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The name scenarios use.")
    arch: Literal["x86_64"] = Field(description="The architecture.")
    crosscall_order: Literal["concurrent", "serial"] = Field(
        description="Whether the initiator of a cross-call runs the function while the others do,"
        " or after all of them."
    )
    ceiling: PageLimit = Field(
        description="Pages above which a ranged flush of the TLB becomes a full one."
    )
    page_table_levels: Literal[4, 5] = Field(description="Levels of the page table.")
    direct_map_leaf: LeafSize = Field(
        description="Size of the direct map's leaves at the start: 4KiB (nothing left to split),"
        " 2MiB or 1GiB."
    )
    memory: PositiveSize = Field(description="Physical memory, a multiple of the leaf size.")
    page_offset: Address = Field(description="Where the direct map starts.")
    vmalloc_start: Address = Field(description="Where the vmalloc range starts.")
    vmalloc_size: RangeSize = Field(description="Size of the vmalloc range.")
    page_offset_5_level: Address = Field(description="page_offset with five levels.")
    vmalloc_start_5_level: Address = Field(description="vmalloc_start with five levels.")
    vmalloc_size_5_level: RangeSize = Field(description="vmalloc_size with five levels.")
    modules_start: Address = Field(description="Where the range for modules starts.")
    modules_size: RangeSize = Field(description="Size of the range for modules.")
    lazy_max_unit: Size = Field(
        description="Lazily freed address space that is tolerated, times the number of bits of the"
        " number of CPUs (lazy_max_pages)."
    )
    purge_by: Literal["work_item", "unmap"] = Field(
        description="Who flushes freed areas: a work item once there are too many (work_item), or"
        " every unmap its own, under the area lock (unmap: 2.6.27 and before)."
    )
    alias_on_nx: bool = Field(
        description="Whether set_memory_x and _nx look at the direct map's alias too, which makes"
        " their flush a full one."
    )
    cpa_ranged: bool = Field(
        description="Whether set_memory_* may flush a range, where no alias is involved."
    )

    @model_validator(mode="after")
    def _holds_whole_leaves(self) -> KernelProfile:
        if self.memory % self.direct_map_leaf:
            raise _fault(
                "bad-memory",
                "memory is no multiple of direct_map_leaf",
                "round it to whole leaves, for example 64GiB",
            )
        return self

    @property
    def direct_map_level(self) -> int:
        """Level of the page table at which the direct map's leaves stand at the start."""
        return LEAF_LEVELS[self.direct_map_leaf]

    @property
    def direct_map_start(self) -> int:
        """Where the direct map starts, at this number of levels."""
        return self.page_offset if self.page_table_levels == 4 else self.page_offset_5_level

    @property
    def vmalloc_range(self) -> tuple[int, int]:
        """First address and size in bytes of the vmalloc range, at this number of levels."""
        if self.page_table_levels == 4:
            return self.vmalloc_start, self.vmalloc_size
        return self.vmalloc_start_5_level, self.vmalloc_size_5_level

    @property
    def modules_range(self) -> tuple[int, int]:
        """First address and size in bytes of the range for modules."""
        return self.modules_start, self.modules_size


def profile_names() -> list[str]:
    """Return the names of the profiles that pmsim knows."""
    names = [file.name for file in _folder().iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def profile_summary(name: str) -> str:
    """Return one line about a profile; raise `ScenarioError` if it is unknown."""
    return str(_read(name)["summary"])


def profile_keys(name: str) -> dict[str, Any]:
    """Return every key of a profile with its value as text or number, for overriding some."""
    return {"name": name} | {key: entry["value"] for key, entry in _read(name)["keys"].items()}


def profile_sources(name: str) -> dict[str, str]:
    """Return for every key of a profile where its value comes from."""
    return {key: str(entry["source"]) for key, entry in _read(name)["keys"].items()}


def load_profile(name: str, overrides: Mapping[str, Any] | None = None) -> KernelProfile:
    """Return a profile, some of its keys replaced.

    Parameters
    ----------
    name
        The profile's name.
    overrides
        Other values for some keys, as they stand in a file.

    Raises
    ------
    ScenarioError
        If the name is unknown, or keys are unknown or have bad values: all of them at once. The
        faults have no line; each names its key as its file (``kernel.ceiling``).

    Examples
    --------
    >>> from pmsim.kernel.profile import load_profile
    >>> load_profile("linux-6.1-x86_64", {"direct_map_leaf": "2MiB"}).direct_map_level
    2
    """
    values = profile_keys(name)
    changed = dict(overrides or {})
    unknown = [_unknown_key(key) for key in changed if key not in values or key == "name"]
    if unknown:
        raise ScenarioError(unknown)
    try:
        return KernelProfile.model_validate(values | changed, context=FROM_FILE)
    except ValidationError as error:
        raise ScenarioError([_as_fault(dict(found)) for found in error.errors()]) from None


def _folder() -> Traversable:
    return resources.files("pmsim") / "data" / "kernels"


@cache
def _read(name: str) -> dict[str, Any]:
    names = profile_names()
    if name not in names:
        near = get_close_matches(name, names, n=1, cutoff=0.3)
        known = ", ".join(names)
        hint = f"did you mean {near[0]}? known: {known}" if near else f"known: {known}"
        raise ScenarioError(
            [Fault("kernel", 0, 0, "unknown-kernel", f"there is no kernel profile '{name}'", hint)]
        )
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    content = YAML(typ="safe", pure=True).load(text)
    assert isinstance(content, dict)
    return content


def _unknown_key(key: str) -> Fault:
    known = [name for name in KernelProfile.model_fields if name != "name"]
    near = get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"keys: {', '.join(known)}"
    message = f"a kernel profile has no key '{key}'"
    return Fault(f"kernel.{key}", 0, 0, "unknown-key", message, hint)


def _as_fault(found: dict[str, Any]) -> Fault:
    context = found.get("ctx", {})
    place = ".".join(["kernel", *map(str, found["loc"])])
    code = str(context.get("code", "bad-value"))
    message = str(context.get("message", found["msg"]))
    return Fault(place, 0, 0, code, message, str(context.get("hint", "")))
