"""How a kernel tells CPUs that translations have changed, its own and those of processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pmsim.kernel.keys.values import (
    Named,
    PageLimit,
)
from pmsim.kernel.shootdown import ShootdownKey


class TellingKeys(Named):
    """How CPUs are told."""

    crosscall_order: Literal["concurrent", "serial"] = Field(
        description="Whether the initiator of an IPI call runs the function while the others do,"
        " or after all of them."
    )
    ipi_shorthand: bool = Field(
        strict=True,
        description="Whether an IPI call of all other CPUs is sent by one write, where the"
        " interrupt controller can (`costs.ipi.shorthand` of the machine).",
    )
    invalidate_by: Literal["ipi", "tlbi", "sbi", "tlbi_or_ipi"] = Field(
        description="How other CPUs drop translations: interrupts (ipi), TLB broadcasts"
        " (tlbi), those where the machine has them, interrupts elsewhere (tlbi_or_ipi), or a call"
        " of the firmware (sbi)."
    )
    shootdown: ShootdownKey = Field(
        description="A shootdown protocol to use in its place, with options: a name, or for"
        " example {ipi: {ack: entry}}; native: what `invalidate_by` says."
    )
    unsafe: bool = Field(
        strict=True,
        description="Whether a protocol is run that promises less than what the kernel's operations"
        " need, such as deferral of every flush.",
    )
    ceiling: PageLimit = Field(
        description="Pages above which a ranged flush of the TLB becomes a full one."
    )
    tlbi_range: bool = Field(
        description="Whether one operation of a TLB broadcast may name a range, where the CPUs can."
    )
    repeat_tlbi: Literal["none", "per_sync", "per_operation"] = Field(
        description="What of a TLB broadcast is repeated on CPUs with an erratum that wants it"
        " (`costs.tlbi.erratum_4118414` of the machine): nothing, each barrier once with one more"
        " operation, or each operation."
    )
    user_ceiling: PageLimit = Field(
        description="The same for a flush of user space. Operations on ranges have a limit of their"
        " own."
    )
    user_tables: Literal["with_pages", "by_table", "by_section", "whole"] = Field(
        description="What page tables cost that go with unmapped pages: nothing, as one flush drops"
        " both (with_pages); or a second flush, of an operation for each table (by_table), for each"
        " page around its sections (by_section) or of the whole address space (whole)."
    )
    user_tlbi_range: bool = Field(
        description="Whether one may name a range of user space, which came earlier."
    )
    user_flush: Literal["lazy_interrupted", "lazy_skipped", "ever_run"] = Field(
        description="Whether a CPU that only borrows an address space is interrupted by its flushes"
        " (and then leaves it), or is left alone unless page tables are freed; or whether every CPU"
        " is told that ever ran it."
    )
    vma_locks: Literal["none", "faults", "faults_and_madvise"] = Field(
        description="Who takes the lock of a mapping alone, and leaves that of the address space:"
        " nobody, faults, or madvise too."
    )
    vma_lock: Literal["semaphore", "count"] = Field(
        description="What the lock of a mapping is, where there is one: a semaphore, or a count of"
        " those who hold it."
    )
    mprotect_opens_quietly: bool = Field(
        description="Whether mprotect flushes nothing where the pages could not be accessed before"
        " (PROT_NONE)."
    )
    mprotect_batches: bool = Field(
        description="Whether mprotect looks for entries of the same folio to change together, which"
        " takes time for each page, also where folios are of one page as here."
    )
    parallel_zaps: Literal["range", "everything"] = Field(
        description="What munmap and madvise flush while another CPU does the same in the address"
        " space: their range, or all of it."
    )
    zap_drains_lru: bool = Field(
        description="Whether munmap and madvise first empty the CPU's batch of pages that are to"
        " come to the lists of the LRU, under the lock of all CPUs."
    )
    lru_batch: int = Field(
        ge=1,
        strict=True,
        description="Pages that wait at a CPU to come to the lists of the LRU together, and that"
        " are taken off them together.",
    )
    guest_spinlocks: Literal["paravirtual", "queued"] = Field(
        description="What spinlocks do in a guest some of whose virtual CPUs are frozen: those that"
        " run take them before those that do not (paravirtual), or all in the order of asking."
    )
    user_flush_local: bool = Field(
        description="Whether a process that no other CPU runs is flushed by its own CPU, where"
        " others are flushed by broadcast: a proposal for arm64 (Arcangeli 2020, Roberts 2025)."
    )
    munmap_downgrades: bool = Field(
        description="Whether munmap holds mmap_lock only to read while it flushes and frees pages."
    )
    membarrier_serializes: bool = Field(
        description="Whether expedited membarriers wait for each other, whatever process they are"
        " of."
    )
    membarrier_sync_core: bool = Field(
        description="Whether membarrier can make the other threads serialise too."
    )
    numa_balancing: bool = Field(
        description="Whether the kernel can move pages to the nodes that use them."
    )
    reclaim_flush: Literal["page", "batch", "operations"] = Field(
        description="What reclaim flushes as it unmaps pages: each by itself (page), all of a"
        " process's address space once for some pages (batch), or each by an operation, and waits"
        " for some of them together (operations)."
    )
    asids: int = Field(
        ge=1,
        strict=True,
        description="Address spaces whose translations a CPU keeps apart at the same time.",
    )
