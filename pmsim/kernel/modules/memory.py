"""The memory of modules: where areas come from, and how they are given back.

Stands for ``module_alloc`` and ``module_memfree`` (``arch/*/kernel/module.c``, Linux 4.16 to 6.6)
and for ``execmem_alloc_rw`` and ``execmem_free`` (mm/execmem.c, 6.12 and 6.18).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.pagetables.entries import NX
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.text.execmem import Piece, RoxCache
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.modules.plans import AreaPlan, LoaderPlan
    from pmsim.steps import Steps

ModuleArea: TypeAlias = "VmArea | Piece"
"""An area of a module: one of its own, or a piece of a block of executable memory."""

MaybeArea: TypeAlias = "Generator[Any, Any, VmArea | Piece | None]"
"""Takes simulated time; returns an area, or None if there is no room for it."""


class ModuleMemory(Protocol):
    """Where the areas of modules come from."""

    def allocate(self, task: Task, plan: AreaPlan, pages: Pages) -> MaybeArea:
        """Return memory that can be written; None if there is no room."""

    def protecting(self, area: ModuleArea) -> None:
        """Take note that an area is protected for the first time."""

    def before_discard(self, task: Task, plan: AreaPlan, area: ModuleArea) -> Steps:
        """Do what precedes giving back the areas of a module that was never unloaded."""

    def free(self, task: Task, area: ModuleArea) -> Steps:
        """Give an area back."""


class OwnAreas:
    """Every area is memory of its own, from the range for modules.

    Parameters
    ----------
    context
        What they stand on.
    plan
        When areas become ones that are flushed as they are freed; how they are mapped at first.
    """

    def __init__(self, context: KernelContext, plan: LoaderPlan) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self._flagged = profile.reset_perms
        self._flagged_at_once = profile.reset_perms and plan.flagged == "allocated"
        self._executable = plan.executable and profile.nx
        self._pagetable = context.part(kernel_page_table)
        self._vmalloc = context.part(Vmalloc)

    def allocate(self, task: Task, plan: AreaPlan, pages: Pages) -> MaybeArea:
        """Allocate memory that is writable as it is."""
        area = yield from self._vmalloc.vmalloc_in(
            task, pages * self._page_size, "modules", flush_reset_perms=self._flagged_at_once
        )
        if area is not None and self._executable:
            # PAGE_KERNEL_EXEC: the protection that it is mapped with, not a later change.
            self._pagetable.protect(area.address, area.pages, 0, NX)
        return area

    def protecting(self, area: ModuleArea) -> None:
        """Let its freeing reset the direct map (``set_vm_flush_reset_perms``)."""
        if not isinstance(area, Piece):
            area.flush_reset_perms = self._flagged

    def before_discard(self, task: Task, plan: AreaPlan, area: ModuleArea) -> Steps:
        """Do nothing."""
        yield from ()

    def free(self, task: Task, area: ModuleArea) -> Steps:
        """Free it: lazily, or with a flush where the area asks for one."""
        assert not isinstance(area, Piece)
        return self._vmalloc.vfree(task, area)


class CachedText:
    """Text is cut from huge pages that are executable; other areas are memory of their own.

    Parameters
    ----------
    context
        What it stands on.
    own
        Where the other areas come from.
    """

    def __init__(self, context: KernelContext, own: OwnAreas) -> None:
        self._own = own
        self._cache = context.part(RoxCache)

    def allocate(self, task: Task, plan: AreaPlan, pages: Pages) -> MaybeArea:
        """Allocate and force it writable: two calls, which change nothing about data."""
        area: ModuleArea | None
        if plan.code:
            area = yield from self._cache.allocate(task, pages)
        else:
            area = yield from self._own.allocate(task, plan, pages)
        if area is not None:
            yield from self._cache.force_rw(task, area.address, area.pages)
        return area

    def protecting(self, area: ModuleArea) -> None:
        """Pass it on: the cache's blocks are never flagged."""
        self._own.protecting(area)

    def before_discard(self, task: Task, plan: AreaPlan, area: ModuleArea) -> Steps:
        """Make text executable again (``module_memory_restore_rox``)."""
        if plan.code:
            yield from self._cache.restore_rox(task, area.address, area.pages)

    def free(self, task: Task, area: ModuleArea) -> Steps:
        """Give text back to the cache, and free the rest."""
        if isinstance(area, Piece):
            return self._cache.free(task, area)
        return self._own.free(task, area)


def module_memory(context: KernelContext, plan: LoaderPlan) -> ModuleMemory:
    """Return where the areas of modules come from in a kernel."""
    own = OwnAreas(context, plan)
    return CachedText(context, own) if context.profile.module_loader == "rox_cache" else own
