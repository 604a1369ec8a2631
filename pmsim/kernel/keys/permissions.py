"""How permissions and attributes of pages are changed, and memory is described and removed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pmsim.kernel.keys.values import (
    Named,
)


class PermissionKeys(Named):
    """How permissions change."""

    set_memory: Literal["x86", "arm64", "arm32", "riscv"] = Field(
        description="Whose way of changing permissions it is."
    )
    set_memory_purges: bool = Field(
        description="Whether set_memory_* first flush what was lazily freed (vm_unmap_aliases)."
    )
    nx: bool = Field(
        description="Whether pages can be not executable; if not, set_memory_x and _nx do nothing."
    )
    rodata: Literal["full", "on"] = Field(
        description="Boot parameter of arm64: whether the direct map's alias of read-only memory is"
        " protected too (full)."
    )
    linear_alias: bool = Field(
        description="Whether a change of permission is made to the direct map's alias too."
    )
    alias_on_nx: bool = Field(
        description="Whether set_memory_x and _nx look at the direct map's alias too, which makes"
        " their flush a full one."
    )
    cpa_ranged: bool = Field(
        description="Whether set_memory_* may flush a range, where no alias is involved."
    )
    cpa_collapse: bool = Field(
        description="Whether set_memory_rox joins pages to a large leaf again."
    )
    rox_at_once: bool = Field(
        description="Whether set_memory_rox is one change, or set_memory_ro and then set_memory_x."
    )
    memory_encryption: Literal["none", "sev", "sev_tdx"] = Field(
        description="Whose encrypted guests the kernel can be: AMD's, or Intel's too."
    )
    split_under: Literal["cpa_lock", "cpa_and_pgd_lock"] = Field(
        description="Which locks are held over the flush for the split of a large leaf."
    )
    direct_map_flushes: bool = Field(
        description="Whether set_direct_map_*_noflush flush in spite of their name."
    )

    vmemmap_trim: Literal["none", "page", "batch"] = Field(
        description="Whether descriptors of huge pages can be trimmed (hugetlb_optimize_vmemmap),"
        " each with a flush, or many with two."
    )
    vmemmap_kept: int = Field(
        ge=1, le=2, strict=True, description="Pages of descriptors that a trimmed huge page keeps."
    )
    hot_remove: Literal["none", "all", "all_again", "entry"] = Field(
        description="What removing memory flushes: everything for each section and for the direct"
        " map (all), and once more (all_again), or each entry by itself (entry)."
    )
