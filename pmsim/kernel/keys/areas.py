"""How areas of addresses are found, freed and purged, and what a new mapping costs."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from pmsim.kernel.keys.values import (
    Named,
    PageLimit,
    RangeSize,
    WholePages,
)
from pmsim.quantities import Size

MOST_STAYS: Final = 16
"""No call takes a lock that often."""

MOST_LINES: Final = 1000
"""No area has that many neighbours."""


class AreaKeys(Named):
    """How areas come and go."""

    area_search: Literal["list", "hint", "first_fit", "per_node"] = Field(
        description="How a free range is found, and under which locks: the lowest one in a list"
        " (list: 2.6.27 and before) or from where the last one was (hint), under one lock; the"
        " lowest one in a tree of free ranges, which has a lock of its own (first_fit); or recently"
        " freed ones of the node first, which has its own locks (per_node)."
    )
    area_alloc_stays: int = Field(
        ge=0,
        le=MOST_STAYS,
        strict=True,
        description="How often the lock of the areas in use is taken as an area is made, once its"
        " place is found.",
    )
    area_free_stays: int = Field(
        ge=1,
        le=MOST_STAYS,
        strict=True,
        description="How often the same lock is taken as an area is freed.",
    )
    lazy_max_unit: Size = Field(
        description="Lazily freed address space that is tolerated, times the number of bits of the"
        " number of CPUs (lazy_max_pages)."
    )
    lazy_merges: bool = Field(
        description="Whether neighbours on the lazy list are joined, and freed as one."
    )
    purged_lines: int = Field(
        ge=0,
        le=MOST_LINES,
        strict=True,
        description="Cache lines that a purge touches for each area that it gives back: its own,"
        " and those of its neighbours in trees and lists.",
    )
    purge_by: Literal["work_item", "task", "unmap"] = Field(
        description="Who flushes freed areas once there are too many: a work item, or the task that"
        " freed the last one (task); or every unmap its own, under the area lock (unmap: 2.6.27 and"
        " before)."
    )
    purge_passes: Literal["until_below", "one"] = Field(
        description="Whether a purge goes on until less than the limit is left, or purges once."
    )
    dirty_blocks: Literal["every_call", "once"] = Field(
        description="Whether the dirty part of a block of vm_map_ram is flushed by every call that"
        " flushes aliases while the block lives, or once."
    )
    alias_lock: Literal["purge", "scan"] = Field(
        description="What the purge lock is held for in vm_unmap_aliases: the purge, or the scan of"
        " the blocks too."
    )
    vmap_block_pages: PageLimit = Field(description="Pages of a block of vm_map_ram.")
    vmap_block_limit: PageLimit = Field(
        description="The largest mapping that is carved from a block."
    )
    reset_perms: bool = Field(
        description="Whether VM_FLUSH_RESET_PERMS exists: freeing executable memory flushes it and"
        " its direct map in one."
    )
    huge_vmalloc: bool = Field(
        description="Whether an area may be mapped by large leaves: 2 MiB with pages of 4 KiB,"
        " 32 with 16, 512 with 64."
    )
    pte_barriers: Literal["none", "per_entry", "per_table"] = Field(
        description="Whether a barrier follows valid entries of the kernel's page table, so that"
        " walks see them: behind each, or behind all that are written to a table together."
    )
    new_mapping: Literal["nothing", "fault", "flush"] = Field(
        description="What a new mapping costs other CPUs: nothing, a fault at the first touch, or a"
        " flush of all."
    )
    thread_stack: WholePages = Field(
        description="Size of a kernel stack in the vmalloc range; 0B: stacks lie elsewhere."
    )
    thread_align: RangeSize = Field(
        description="Of what the address of such a stack is a multiple."
    )
    stack_free: Literal["work_item", "rcu"] = Field(
        description="How such a stack is freed: by a work item soon, or after an RCU grace period."
    )
