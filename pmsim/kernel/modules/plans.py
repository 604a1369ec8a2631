"""How each generation lays a module out and protects it: areas, and the order of its calls.

Stands for kernel/module.c (Linux 4.16, 5.15) and kernel/module/strict_rwx.c with the parts of
main.c that call it (6.1 and later), always with CONFIG_STRICT_MODULE_RWX. A plan is data: which
segments lie in one area, and which ``set_memory_*`` call is made of which segment at which step,
empty segments included, since a call of no page still purges what was freed lazily.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from pmsim.kernel.modules.segments import SEGMENT_NAMES, SegmentName
from pmsim.kernel.permissions.strategy import PermissionCall


class Change(NamedTuple):
    """One ``set_memory_*`` call about a segment."""

    call: PermissionCall
    segment: SegmentName


Changes = tuple[Change, ...]


def _changes(call: PermissionCall, *segments: SegmentName) -> Changes:
    return tuple(Change(call, segment) for segment in segments)


@dataclass(frozen=True, slots=True)
class AreaPlan:
    """An area of memory of its own, and what lies in it, in order.

    Attributes
    ----------
    segments
        The segments, one after the other.
    init
        It is given back after the module's init function.
    code
        It holds text, so that a cache of executable memory may hand it out.
    unprotect
        Calls before it is given back by the unloading of the module or after its init function.
    """

    segments: tuple[SegmentName, ...]
    init: bool = False
    code: bool = False
    unprotect: Changes = ()


@dataclass(frozen=True, slots=True)
class LoaderPlan:
    """How one generation loads modules.

    Attributes
    ----------
    areas
        The areas by name, in the order in which they are allocated.
    freed
        The order in which they are given back.
    formation
        Calls between relocation and init function (``complete_formation``).
    after_init
        Calls after the init function (``do_init_module``).
    undo_formation
        Calls for a module that fails in between, before the grace period.
    absent
        Whether calls about an area that the module does not have are made too, of no page.
    executable
        New memory can be executed and written until it is protected.
    flagged
        When areas become ones that are flushed as they are freed, where the kernel has such: as
        they are allocated, or as they are first protected.
    init_free
        Who gives init areas back: a callback after the grace period, or a work item that waits for
        it and takes all that have gathered.
    name_checked
        When a load learns that the module is there already: once the file is read, or only once its
        areas are allocated.
    retries
        A load that waited for another of the same name tries again if that one failed; if not, it
        fails too.
    """

    areas: Mapping[str, AreaPlan]
    freed: tuple[str, ...]
    formation: Changes
    after_init: Changes
    undo_formation: Changes = ()
    absent: Literal["called", "skipped"] = "called"
    executable: bool = False
    flagged: Literal["protected", "allocated"] = "allocated"
    init_free: Literal["callback", "work"] = "work"
    name_checked: Literal["read", "allocated"] = "read"
    retries: bool = False
    area_of: Mapping[SegmentName, str] = field(init=False)

    def __post_init__(self) -> None:
        found = {name: area for area, plan in self.areas.items() for name in plan.segments}
        object.__setattr__(self, "area_of", found)


# Two areas: kernel/module.c up to 5.17, kernel/module/ up to 6.3

_CORE: Final = SEGMENT_NAMES[:4]
_INIT: Final = SEGMENT_NAMES[4:]
_TEXT_AND_RODATA: Final[tuple[SegmentName, ...]] = (
    "core_text",
    "core_rodata",
    "init_text",
    "init_rodata",
)
_NO_TEXT: Final[tuple[SegmentName, ...]] = (
    "core_rodata",
    "core_ro_after_init",
    "core_data",
    "init_rodata",
    "init_data",
)
_ENABLE_RO: Final = _changes("ro", *_TEXT_AND_RODATA)
_ENABLE_RO_AFTER_INIT: Final = (*_ENABLE_RO, Change("ro", "core_ro_after_init"))
"""All but the last change nothing on x86, and are made all the same."""
_ENABLE_NX: Final = _changes("nx", *_NO_TEXT)


def _disable_ro_nx(
    text: SegmentName, rodata: SegmentName, ro_after_init: SegmentName, data: SegmentName
) -> Changes:
    """Make an area writable and executable again (``disable_ro_nx``, kernel/module.c, 4.16)."""
    return (
        *_changes("rw", text, rodata, ro_after_init),
        *_changes("x", rodata, ro_after_init, data),
    )


TWO_AREAS_RWX: Final = LoaderPlan(
    areas={
        "core": AreaPlan(_CORE, code=True, unprotect=_disable_ro_nx(*_CORE)),
        "init": AreaPlan(_INIT, init=True, code=True, unprotect=_disable_ro_nx(*_INIT)),
    },
    freed=("init", "core"),
    formation=(*_ENABLE_RO, *_ENABLE_NX),
    after_init=_ENABLE_RO_AFTER_INIT,
    # module_disable_ro and module_disable_nx: the labels bug_cleanup and after of load_module.
    undo_formation=(
        *_changes("rw", "core_text", "core_rodata", "core_ro_after_init"),
        *_changes("rw", "init_text", "init_rodata"),
        *_changes("x", *_NO_TEXT),
    ),
    executable=True,
    init_free="callback",
    name_checked="allocated",
    retries=True,
)
"""Linux 4.16: memory is writable and executable until formation takes that away."""

TWO_AREAS: Final = LoaderPlan(
    areas={"core": AreaPlan(_CORE, code=True), "init": AreaPlan(_INIT, init=True, code=True)},
    freed=("init", "core"),
    formation=(*_ENABLE_RO, *_ENABLE_NX, *_changes("x", "core_text", "init_text")),
    after_init=_ENABLE_RO_AFTER_INIT,
    # module_enable_ro sets VM_FLUSH_RESET_PERMS; module_alloc only does since 6.2.
    flagged="protected",
    name_checked="allocated",
)
"""Linux 5.4 to 6.1: memory is not executable until formation makes text so."""

# An area for each type: kernel/module/, 6.4 and later

_BY_TYPE: Final = {
    "text": AreaPlan(("core_text",), code=True),
    "data": AreaPlan(("core_data",)),
    "rodata": AreaPlan(("core_rodata",)),
    "ro_after_init": AreaPlan(("core_ro_after_init",)),
    "init_text": AreaPlan(("init_text",), init=True, code=True),
    # There is no type for what is read-only after init in an init section.
    "init_data": AreaPlan(("init_data", "init_ro_after_init"), init=True),
    "init_rodata": AreaPlan(("init_rodata",), init=True),
}
"""The types in the order of ``enum mod_mem_type`` (include/linux/module.h, 6.6)."""

_FREED_BY_TYPE: Final = (
    "text",
    "rodata",
    "ro_after_init",
    "init_text",
    "init_data",
    "init_rodata",
    "data",
)
"""``free_mod_mem``: data last, for the module's own structure lies there."""

_DATA_TYPES: Final[tuple[SegmentName, ...]] = (
    "core_data",
    "core_rodata",
    "core_ro_after_init",
    "init_data",
    "init_rodata",
)
_RO_BY_TYPE: Final = _changes("ro", "core_text", "init_text", "core_rodata", "init_rodata")

SEVEN_AREAS: Final = LoaderPlan(
    areas=_BY_TYPE,
    freed=_FREED_BY_TYPE,
    formation=(
        *_RO_BY_TYPE,
        *_changes("nx", *_DATA_TYPES),
        *_changes("x", "core_text", "init_text"),
    ),
    after_init=(*_RO_BY_TYPE, Change("ro", "core_ro_after_init")),
)
"""Linux 6.6: the calls of 6.1, each about an area of its own."""

_RODATA_RO: Final = _changes("ro", "core_rodata", "init_rodata")
_FORMATION_ROX: Final = (
    *_RODATA_RO,
    *_changes("nx", *_DATA_TYPES),
    *_changes("rox", "core_text", "init_text"),
)

SEVEN_AREAS_ROX: Final = LoaderPlan(
    areas=_BY_TYPE,
    freed=_FREED_BY_TYPE,
    formation=_FORMATION_ROX,
    after_init=(*_RODATA_RO, Change("ro", "core_ro_after_init")),
    absent="skipped",
)
"""Linux 6.12: text becomes read-only and executable in one call."""

SEVEN_AREAS_ROX_ONCE: Final = LoaderPlan(
    areas=_BY_TYPE,
    freed=_FREED_BY_TYPE,
    formation=_FORMATION_ROX,
    after_init=_changes("ro", "core_ro_after_init"),
    absent="skipped",
)
"""Linux 6.14 and later: ``module_enable_rodata_ro_after_init`` is a call of its own."""

LOADER_PLANS: Final[Mapping[str, LoaderPlan]] = {
    "two_areas_rwx": TWO_AREAS_RWX,
    "two_areas": TWO_AREAS,
    "seven_areas": SEVEN_AREAS,
    "seven_areas_rox": SEVEN_AREAS_ROX,
    "seven_areas_rox_once": SEVEN_AREAS_ROX_ONCE,
    "rox_cache": SEVEN_AREAS_ROX_ONCE,
}
"""The plan for each value of the profile's key ``module_loader``."""
