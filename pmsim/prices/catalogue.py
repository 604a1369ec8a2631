"""What the price list prices: a preparation, and the operation that is measured after it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from pmsim.kernel.addresses.thread_stacks import CACHED_STACKS
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.kernel.pmalloc.pools import Pool
from pmsim.kernel.profile import KernelProfile
from pmsim.units import MIB, PAGE_SIZE, Pages

CANONICAL_MODULE: Final = ModuleSegments(
    file_pages=42,
    core_text=8,
    core_rodata=4,
    core_ro_after_init=1,
    core_data=3,
    init_text=2,
    init_rodata=0,
    init_ro_after_init=0,
    init_data=2,
    traced_functions=83,
    alternatives=2,
)
"""A module with every segment that modules usually have: 16 pages stay, 4 are for its init.

Its file is as long as the mean of the 66 modules of a boot (Luis Chamberlain, 2023: 170,729 bytes,
42 pages). The division into segments is made up, so that code is flushed page by page where a
kernel can (no segment is longer than 33 pages). Functions that ftrace makes ready, and
alternatives, are as many as squashfs has on as many pages of code (on arm64 and on RISC-V).
"""

OLD_LOADERS: Final = frozenset({"two_areas_rwx"})
"""Loaders before 5.4, when a module's jump table was data and not yet read-only after init."""

PROGRAM_SIZE: Final = 1024
"""Bytes of a BPF program: some hundred instructions."""

EXHAUSTIBLE: Final = 1024 * MIB
"""A vmalloc range up to this size is used up within a moment; larger ones never are."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the priced operations are about.

    Attributes
    ----------
    areas
        Areas of the pool that is protected and destroyed.
    pages
        Pages of each of them, and of the area that a pool grows by.
    sites
        Branches that depend on the static key.
    """

    areas: int = 10
    pages: Pages = 4
    sites: int = 8


class Refused(Exception):  # noqa: N818 - it is no error: the list shows a dash
    """The kernel does not do this: it returned what it returns then."""


Program = Generator[Any, Any, Any]
"""Steps that end with what they made: it is what the operation is about."""

Preparation = Callable[[KernelHandle, Sizes], Program]
Operation = Callable[[KernelHandle, Any, Sizes], Program]


@dataclass(frozen=True, slots=True)
class Priced:
    """One line of the list.

    Attributes
    ----------
    title
        What is done, in words; may name the `Sizes`.
    short
        A word or two for the head of a column.
    prepare
        What has to be there before; it returns what the operation is about.
    operation
        What is measured.
    possible
        Whether it can come about on a kernel at all.
    lazily_freed
        Whether what the preparation freed lazily stays, instead of being flushed first.
    keys
        Keys of the profile that it needs other values for.
    """

    title: str
    short: str
    prepare: Preparation
    operation: Operation
    possible: Callable[[KernelProfile], bool] = lambda _profile: True
    lazily_freed: bool = False
    keys: Mapping[str, Any] = field(default_factory=dict)

    def titled(self, sizes: Sizes) -> str:
        """Return the title for some sizes."""
        return self.title.format(**asdict(sizes))


def got(thing: Any) -> Any:
    """Return what the kernel gave; raise `Refused` where it gave nothing."""
    if thing is None or thing is False:
        raise Refused
    return thing


# Preparations


def _nothing(_kernel: KernelHandle, _sizes: Sizes) -> Program:
    yield from ()


def _pool(kernel: KernelHandle, sizes: Sizes) -> Program:
    return (
        yield from kernel.pmalloc_create_pool(
            refill=sizes.pages * kernel.profile.page_size, align_order=3
        )
    )


def _filled_pool(kernel: KernelHandle, sizes: Sizes) -> Program:
    pool: Pool = yield from _pool(kernel, sizes)
    for _ in range(sizes.areas):
        got((yield from kernel.pmalloc(pool, sizes.pages * kernel.profile.page_size)))
    return pool


def _protected_pool(kernel: KernelHandle, sizes: Sizes) -> Program:
    pool = yield from _filled_pool(kernel, sizes)
    yield from kernel.pmalloc_protect_pool(pool)
    return pool


def _area(kernel: KernelHandle, _sizes: Sizes) -> Program:
    return got((yield from kernel.vmalloc(PAGE_SIZE)))


def _full_range(kernel: KernelHandle, _sizes: Sizes) -> Program:
    """Use up the vmalloc range; then free one area, which stays lazily freed."""
    areas = []
    while (area := (yield from kernel.vmalloc(MIB))) is not None:
        areas.append(area)
    yield from kernel.vfree(areas[0])


def _much_freed(kernel: KernelHandle, _sizes: Sizes) -> Program:
    """Free as much as may gather, and have one more area to free.

    Where the range is used up before that, the purge of that comes first.
    """
    purge = kernel.kernel.purge
    last = got((yield from kernel.vmalloc(PAGE_SIZE)))
    for pages in (511, 1):
        while purge.lazy_pages + pages + 1 <= purge.lazy_max_pages:
            before = purge.lazy_pages
            yield from kernel.vfree(
                got((yield from kernel.vmalloc(pages * kernel.profile.page_size)))
            )
            got(purge.lazy_pages > before)
    return last


def _module_to_load(kernel: KernelHandle, _sizes: Sizes) -> Program:
    """Load a first module, so that what all of them share is there."""
    module = CANONICAL_MODULE
    if kernel.profile.module_loader in OLD_LOADERS:
        data = module.core_data + module.core_ro_after_init
        module = replace(module, core_ro_after_init=0, core_data=data)
    got((yield from kernel.load_module(module)))
    return module


def _loaded_module(kernel: KernelHandle, sizes: Sizes) -> Program:
    module = yield from _module_to_load(kernel, sizes)
    return got((yield from kernel.load_module(module)))


def _first_program(kernel: KernelHandle, _sizes: Sizes) -> Program:
    got((yield from kernel.bpf_prog_load(PROGRAM_SIZE)))


def _second_program(kernel: KernelHandle, sizes: Sizes) -> Program:
    yield from _first_program(kernel, sizes)
    return got((yield from kernel.bpf_prog_load(PROGRAM_SIZE)))


def _last_stack(kernel: KernelHandle, _sizes: Sizes) -> Program:
    """Have one more thread than the CPU keeps stacks for, and end all but that one."""
    stacks = []
    for _ in range(CACHED_STACKS + 1):
        stacks.append(got((yield from kernel.alloc_thread_stack())))
    for stack in stacks[1:]:
        yield from kernel.free_thread_stack(stack)
    return stacks[0]


def _rewritable_object(kernel: KernelHandle, _sizes: Sizes) -> Program:
    pool = yield from kernel.pmalloc_create_pool(align_order=3, mode="wr")
    address = got((yield from kernel.pmalloc(pool, PAGE_SIZE)))
    yield from kernel.pmalloc_protect_pool(pool)
    return address


# Operations


def _create_pool(kernel: KernelHandle, _nothing: Any, sizes: Sizes) -> Program:
    got((yield from _pool(kernel, sizes)))


def _grow(kernel: KernelHandle, pool: Pool, sizes: Sizes) -> Program:
    got((yield from kernel.pmalloc(pool, sizes.pages * kernel.profile.page_size)))


def _protect(kernel: KernelHandle, pool: Pool, _sizes: Sizes) -> Program:
    yield from kernel.pmalloc_protect_pool(pool)


def _destroy(kernel: KernelHandle, pool: Pool, _sizes: Sizes) -> Program:
    yield from kernel.pmalloc_destroy_pool(pool)


def _vfree(kernel: KernelHandle, area: Any, _sizes: Sizes) -> Program:
    yield from kernel.vfree(area)


def _one_more(kernel: KernelHandle, _nothing: Any, _sizes: Sizes) -> Program:
    got((yield from kernel.vmalloc(MIB)))


def _load(kernel: KernelHandle, module: ModuleSegments, _sizes: Sizes) -> Program:
    got((yield from kernel.load_module(module)))


def _unload(kernel: KernelHandle, module: Any, _sizes: Sizes) -> Program:
    got((yield from kernel.unload_module(module)))


def _load_program(kernel: KernelHandle, _nothing: Any, _sizes: Sizes) -> Program:
    got((yield from kernel.bpf_prog_load(PROGRAM_SIZE)))


def _free_program(kernel: KernelHandle, program: Any, _sizes: Sizes) -> Program:
    yield from kernel.bpf_prog_free(program)


def _end_thread(kernel: KernelHandle, stack: Any, _sizes: Sizes) -> Program:
    yield from kernel.free_thread_stack(stack)


def _flip(kernel: KernelHandle, _nothing: Any, sizes: Sizes) -> Program:
    yield from kernel.static_key_toggle(sizes.sites)


def _rare_write(kernel: KernelHandle, address: int, _sizes: Sizes) -> Program:
    got((yield from kernel.wr_memset(address, 64)))


def _has_mapped_stacks(profile: KernelProfile) -> bool:
    return profile.thread_stack > 0


def _can_be_used_up(profile: KernelProfile) -> bool:
    return profile.vmalloc_range[1] <= EXHAUSTIBLE


MEMORY: Final[Mapping[str, Priced]] = MappingProxyType(
    {
        "create": Priced("create a pool", "create", _nothing, _create_pool),
        "grow": Priced("grow a pool by {pages} pages", "grow", _pool, _grow),
        "protect": Priced(
            "protect {areas} areas × {pages} pages", "protect", _filled_pool, _protect
        ),
        "protect_again": Priced("protect them again", "again", _protected_pool, _protect),
        "destroy": Priced("destroy the pool", "destroy", _protected_pool, _destroy),
        "rare_write": Priced(
            "rare write, 1 page (prmem)",
            "rare",
            _rewritable_object,
            _rare_write,
            keys={"pmalloc": "prmem"},
        ),
        "vfree": Priced("vfree of 1 page", "vfree", _area, _vfree),
        "thread_exit": Priced(
            "thread exit, stack freed", "thread", _last_stack, _end_thread, _has_mapped_stacks
        ),
        "purge": Priced(
            "vfree that starts a purge", "purge", _much_freed, _vfree, lazily_freed=True
        ),
        "exhausted": Priced(
            "vmalloc, no address left",
            "no room",
            _full_range,
            _one_more,
            _can_be_used_up,
            lazily_freed=True,
        ),
    }
)
"""Operations on memory, by their names in CSV and JSON."""

CODE: Final[Mapping[str, Priced]] = MappingProxyType(
    {
        "load": Priced("load a module", "load", _module_to_load, _load),
        "unload": Priced("unload a module", "unload", _loaded_module, _unload),
        "bpf_load": Priced("load a BPF program", "BPF load", _first_program, _load_program),
        "bpf_free": Priced("free a BPF program", "BPF free", _second_program, _free_program),
        "static_key": Priced("flip a static key, {sites} sites", "static key", _nothing, _flip),
    }
)
"""Operations on code, by their names in CSV and JSON."""

CATALOGUE: Final[Mapping[str, Priced]] = MappingProxyType({**MEMORY, **CODE})
"""Every operation that has a price, in the order of the list."""
