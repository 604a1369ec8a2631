"""Pages for code that the kernel writes itself: where they come from and how they are protected.

Stands for ``alloc_insn_page`` (``arch/*/kernel/kprobes/core.c``) and ``create_trampoline``
(arch/x86/kernel/ftrace.c), and shared by the images of BPF programs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.pagetables.entries import NX, RW
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.permissions.strategy import PermissionCall
from pmsim.kernel.text.execmem import Piece, RoxCache
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.text.code_sync import Sync
    from pmsim.steps import Steps

CodeArea: TypeAlias = "VmArea | Piece"
"""An area of its own, or a piece of a block of executable memory."""

MaybeCode: TypeAlias = "Generator[Any, Any, VmArea | Piece | None]"
"""Takes simulated time; returns pages, or None if there is no room."""

CALLS: Final[dict[str, tuple[PermissionCall, ...]]] = {
    "born": (),
    "ro": ("ro",),
    "ro_x": ("ro", "x"),
    "rox": ("rox",),
}
"""The ``set_memory_*`` calls of each way of making pages executable."""

_BORN_EXECUTABLE: Final = ("born", "ro")
"""The ways whose pages are mapped executable; those that stay as they are, read-only too."""


class CodePages(Protocol):
    """Pages for code: they are written, made executable, and given back."""

    def allocate(self, task: Task, pages: Pages, fill: Sync | None = None) -> MaybeCode:
        """Return pages that are executable.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many.
        fill
            What is done to them while they can be written. None: code is patched in later.
        """

    def free(self, task: Task, area: CodeArea) -> Steps:
        """Give pages back."""


class OwnCodePages:
    """Each request gets an area of its own.

    Parameters
    ----------
    context
        What they stand on.
    way
        How they become executable: a key of `CALLS`.
    undo
        The calls that make them ordinary before they are freed, where no flag does it.
    """

    def __init__(self, context: KernelContext, way: str, undo: tuple[PermissionCall, ...]) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self._calls = CALLS[way]
        self._range = profile.code_range
        self._flagged = profile.reset_perms
        self._born = _born_bits(way, profile)
        self._undo = undo if CALLS[way] and not profile.reset_perms else ()
        self._pagetable = context.part(kernel_page_table)
        self._vmalloc = context.part(Vmalloc)
        self._set_memory = context.part(SetMemory)

    def allocate(self, task: Task, pages: Pages, fill: Sync | None = None) -> MaybeCode:
        """Allocate an area, fill it and protect it call by call."""
        area = yield from self._vmalloc.vmalloc_in(
            task, pages * self._page_size, self._range, flush_reset_perms=self._flagged
        )
        if area is not None:
            # The protection that it is mapped with, no later change.
            self._pagetable.protect(area.address, area.pages, 0, self._born)
            if fill is not None:
                yield from fill(task)
            for call in self._calls:
                yield from self._set_memory.by_name(task, call, area.address, area.pages)
        return area

    def free(self, task: Task, area: CodeArea) -> Steps:
        """Free the area, with one flush where it is flagged, after two changes where it is not."""
        assert not isinstance(area, Piece)
        for call in self._undo:
            yield from self._set_memory.by_name(task, call, area.address, area.pages)
        yield from self._vmalloc.vfree(task, area)


class CachedCodePages:
    """Requests get pieces of the cache of executable memory (``execmem_alloc``, 6.18).

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._cache = context.part(RoxCache)

    def allocate(self, task: Task, pages: Pages, fill: Sync | None = None) -> MaybeCode:
        """Take a piece; what is to be filled is made writable and executable again."""
        piece = yield from self._cache.allocate(task, pages)
        if piece is not None and fill is not None:
            yield from self._cache.force_rw(task, piece.address, piece.pages)
            yield from fill(task)
            yield from self._cache.restore_rox(task, piece.address, piece.pages)
        return piece

    def free(self, task: Task, area: CodeArea) -> Steps:
        """Give the piece back to the cache."""
        assert isinstance(area, Piece)
        return self._cache.free(task, area)


def code_pages(context: KernelContext) -> CodePages:
    """Return where a kernel gets pages for kprobes and trampolines."""
    way = context.profile.code_pages
    if way == "rox_cache":
        return CachedCodePages(context)
    return OwnCodePages(context, way, undo=("nx", "rw"))


def _born_bits(way: str, profile: KernelProfile) -> int:
    """Return the bits that pages of a way do not have from the start."""
    if way not in _BORN_EXECUTABLE or not profile.nx:
        return 0
    return NX | RW if way == "born" else NX
