"""Kernels and protocols that are broken on purpose: each fault is found, by its name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pmsim.hardware.passes import layout
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import full_flush
from pmsim.kernel import tlbflush
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.dropped import EVERYTHING
from pmsim.kernel.operations import OperationLog
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entry_changes import Span
from pmsim.kernel.permissions.x86 import X86Permissions
from pmsim.kernel.safety.violations import Hazard
from pmsim.kernel.tlbflush import CallWay, TlbFlush
from pmsim.kernel.user_flush import UserFlushes
from pmsim.units import US
from tests.safety import driven
from tests.safety.driven import CPUS, ISOLATED, Driven

Calls = Generator[Any, Any, Any]
Break = Callable[[pytest.MonkeyPatch], None]

WRITE, USE, TABLE = Hazard.WRITE_AFTER_PROTECT, Hazard.USE_AFTER_FREE, Hazard.TABLE_REUSE

cross_call = OperationLog.cross_call
flush_pages = TlbFlush.flush_pages


def with_targets(choose: Callable[[Any, list[int]], Sequence[int]]) -> Break:
    """Let every call go to others than the kernel meant."""

    def wrong(log: Any, task: Any, function: Any, cause: Any, pages: int = -1,
              targets: Any = None, what: Any = None) -> Calls:  # fmt: skip
        meant = [c for c in range(CPUS) if c != task.cpu] if targets is None else list(targets)
        chosen = choose(task, meant)
        return cross_call(log, task, function, cause, pages, targets=chosen, what=what)

    return lambda patch: patch.setattr(OperationLog, "cross_call", wrong)


def is_idle(task: Any, cpu: int) -> bool:
    row = layout.HEADER + cpu * layout.CPU_WORDS
    return bool(task.machine.fabric.words[row + layout.MODE] == layout.M_IDLE)


def flush_before_the_change(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, address: int, pages: int, change: Any) -> Calls:
        yield from self.flush(task, address, pages, everything=True)
        span = [Span(address, pages, pages)]
        yield from self._changes.change(task, span, change)
        return 0

    patch.setattr(X86Permissions, "change_entries", wrong)


def only_what_was_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Flush the range, though its aliases in the direct map have changed too."""

    def wrong(self: Any, task: Any, address: int, pages: int, everything: bool = False) -> Calls:
        return self._tlbflush.flush_pages(task, pages, tlbflush.Cause.ATTRIBUTES, address)

    patch.setattr(X86Permissions, "flush", wrong)


def one_page_short(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, pages: int, cause: Any, *where: Any, **more: Any) -> Calls:
        return flush_pages(self, task, max(pages - 1, 0), cause, *where, **more)

    patch.setattr(TlbFlush, "flush_pages", wrong)


def one_page_late(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, pages: int, cause: Any, start: int, **more: Any) -> Calls:
        return flush_pages(self, task, pages, cause, start + 4096, **more)

    patch.setattr(TlbFlush, "flush_pages", wrong)


def operations_rounded_down(patch: pytest.MonkeyPatch) -> None:
    right = tlbflush.invalidate_pages

    def wrong(costs: Any, pages: int, **more: Any) -> Any:
        return replace(right(costs, pages, **more), operations=pages // costs.pages)

    patch.setattr(tlbflush, "invalidate_pages", wrong)


def this_cpu_alone(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, cause: Any, **_: Any) -> Calls:
        function = full_flush(task.machine.costs.tlb)
        return self._operations.flush_own_cpu(task, function, EVERYTHING)

    patch.setattr(TlbFlush, "flush_tlb_all", wrong)


def reuse_before_the_flush(patch: pytest.MonkeyPatch) -> None:
    right = Purge.purge_locked

    def wrong(self: Any, task: Any, *args: Any, **more: Any) -> Calls:
        if more.get("full") or not self._lazy:
            return (yield from right(self, task, *args, **more))
        areas, self._lazy = sorted(self._lazy), []
        self._purged = self._cold.purged(self._entries(areas))
        yield from self._give_back(task, self._search.shares(areas), full=True)
        return bool(areas)

    patch.setattr(Purge, "purge_locked", wrong)


def purge_of_the_first_area_alone(patch: pytest.MonkeyPatch) -> None:
    right = TlbFlush.flush_tlb_kernel_range

    def wrong(self: Any, task: Any, start: int, end: int, cause: Any, *_: Any) -> Calls:
        return right(self, task, start, min(end, start + 4096), cause)

    patch.setattr(TlbFlush, "flush_tlb_kernel_range", wrong)


def reset_without_a_flush(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, area: Any) -> Calls:
        yield from self._direct_map.set_invalid_noflush(task, area.runs)
        yield from self._direct_map.set_default_noflush(task, area.runs)

    patch.setattr(Vmalloc, "_reset_permissions", wrong)


def reset_flushed_too_early(patch: pytest.MonkeyPatch) -> None:
    """Flush before the direct map is made inaccessible (what 6.3 put right for some areas)."""
    set_invalid = DirectMap.set_invalid_noflush

    def wrong(self: Any, task: Any, area: Any) -> Calls:
        start, end = self._direct_map.bounds(area.runs)
        cause = tlbflush.Cause.RESET_PERMS
        yield from self._purge.flush_with_aliases(task, start, end, cause)
        yield from set_invalid(self._direct_map, task, area.runs)
        yield from self._direct_map.set_default_noflush(task, area.runs)

    patch.setattr(Vmalloc, "_reset_permissions", wrong)


def tables_acknowledged_at_entry(patch: pytest.MonkeyPatch) -> None:
    for name in ("flush_all", "flush_range"):
        right = getattr(CallWay, name)

        def wrong(self: Any, *args: Any, right: Any = right, frees_tables: bool = False) -> Calls:
            return right(self, *args)

        patch.setattr(CallWay, name, wrong)


def tables_without_a_flush(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, *args: Any, frees_tables: bool = False, **more: Any) -> Calls:
        if not frees_tables:
            yield from flush_pages(self, task, *args, **more)

    patch.setattr(TlbFlush, "flush_pages", wrong)


def pages_freed_before_the_flush(patch: pytest.MonkeyPatch) -> None:
    right = UserFlushes.flush

    def wrong(self: Any, task: Any, mm: Any, pages: int, **more: Any) -> Calls:
        # What comes behind is done as if it had been; the flush itself comes later.
        yield from task.compute(1)
        self.late = (right, task, mm, pages)

    patch.setattr(UserFlushes, "flush", wrong)


def no_flush_of_what_mprotect_took(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, task: Any, mm: Any, pages: int, **_: Any) -> Calls:
        yield from task.compute(1)

    patch.setattr(UserFlushes, "flush", wrong)


def a_full_ring_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Note up to two flushes, to be made together, and forget a third."""
    right, ring = UserFlushes.flush, []

    def wrong(self: Any, task: Any, mm: Any, pages: int, **more: Any) -> Calls:
        ring.append(pages)
        if len(ring) <= 2:
            yield from right(self, task, mm, pages, **more)

    patch.setattr(UserFlushes, "flush", wrong)


def flag_after_the_flush(patch: pytest.MonkeyPatch) -> None:
    """Take an isolated CPU that has entered the kernel already for one that is still to do so."""

    def choose(task: Any, meant: list[int]) -> list[int]:
        row = layout.HEADER + ISOLATED * layout.CPU_WORDS
        in_user = task.machine.fabric.words[row + layout.IN_USER]
        return meant if in_user else [cpu for cpu in meant if cpu != ISOLATED]

    with_targets(choose)(patch)


def a_deferred_flush_lost(patch: pytest.MonkeyPatch) -> None:
    """Leave user mode without dropping anything."""

    def wrong(task: Any) -> Calls:
        words = task._words
        words[task.row + layout.IN_USER] = 0
        users = words[layout.USERS_AT] + (task.cpu >> layout.SET_SHIFT)
        words[users] &= ~(1 << task.cpu % layout.SET_BITS)
        yield from ()

    patch.setattr(Task, "enter_kernel", wrong)


def nothing(_patch: pytest.MonkeyPatch) -> None:
    """Break nothing: what is chosen promises too little by itself."""


AREA = (driven.vmalloc(), driven.set_memory("ro"))
POOL = (driven.create_pool(), driven.allocate(), driven.protect)
FREED = (driven.vmalloc(6), driven.vfree, driven.purge, driven.vmalloc(6))
MODULE = (driven.load, driven.sleep, driven.unload)
TABLES = (driven.vmalloc(600), driven.vfree, driven.purge, driven.vmalloc(1024, huge=True))

BROKEN: dict[str, tuple[Break, Sequence[driven.Call], Hazard, dict[str, Any]]] = {
    "flush before the entries change": (flush_before_the_change, AREA, WRITE, {}),
    "flush of the range and not of its aliases": (only_what_was_asked_for, AREA, WRITE, {}),
    "range one page short": (
        one_page_short, AREA, WRITE, {"profile": "linux-4.16-arm64", "shootdown": "ipi"}),
    "range one page late": (
        one_page_late, AREA, WRITE, {"profile": "linux-4.16-arm64", "shootdown": "rar"}),
    "operations on ranges rounded down": (
        operations_rounded_down, AREA, WRITE,
        {"profile": "linux-4.16-arm64", "shootdown": "tlbi"}),
    "flush of this CPU alone": (this_cpu_alone, POOL, WRITE, {}),
    "mask one CPU short": (with_targets(lambda _, meant: meant[:-1]), POOL, WRITE, {}),
    "mask one CPU short, of remote actions": (
        with_targets(lambda _, meant: meant[1:]), AREA, WRITE, {"shootdown": "rar"}),
    "idle CPUs left out": (
        with_targets(lambda task, meant: [c for c in meant if not is_idle(task, c)]),
        POOL, WRITE, {}),
    "deferral of a revocation": (
        nothing, POOL, WRITE, {"shootdown": {"deferred": {"defers": "all"}}}),
    "revocation that is merely closed": (
        nothing, AREA, WRITE, {"shootdown": {"ipi": {"ack": "entry"}}}),
    "pages of a process that are merely closed": (
        nothing, (driven.munmap(),), USE, {"shootdown": {"ipi": {"ack": "entry"}}}),
    "deferral of a free with reset": (
        nothing, MODULE, USE, {"shootdown": {"deferred": {"defers": "all"}}}),
    "deferral of a revocation behind which leaves are joined": (
        nothing, (driven.vmalloc(512), driven.set_memory("ro"), driven.set_memory("rox")), WRITE,
        {"profile": "linux-6.18-x86_64", "shootdown": {"deferred": {"defers": "all"}}}),
    "deferral of a revocation by more shootdowns than are remembered": (
        nothing, (driven.vmalloc(150), driven.set_memory("ro")), WRITE,
        {"profile": "linux-6.12-arm64",
         "shootdown": {"deferred": {"defers": "all", "ack": "entry"}}}),
    "flag after the flush": (flag_after_the_flush, POOL, WRITE, {"shootdown": "deferred"}),
    "a deferred flush lost on the way into the kernel": (
        a_deferred_flush_lost, (*FREED, *[driven.sleep] * 5, *AREA),
        USE, {"shootdown": "deferred"}),
    "addresses reused before the flush": (reuse_before_the_flush, FREED, USE, {}),
    "purge of the first area alone": (
        purge_of_the_first_area_alone, (driven.vmalloc(6), *FREED), USE, {}),
    "pages freed with reset, without a flush": (reset_without_a_flush, MODULE, USE, {}),
    "pages freed with reset, flushed before the change": (
        reset_flushed_too_early, MODULE, USE, {}),
    "page tables freed when calls are acknowledged": (
        tables_acknowledged_at_entry, TABLES, TABLE, {"shootdown": {"ipi": {"ack": "entry"}}}),
    "page tables freed without a flush": (tables_without_a_flush, TABLES, TABLE, {}),
    "pages of a process freed before the flush": (
        pages_freed_before_the_flush, (driven.munmap(),), USE, {}),
    "no flush of what mprotect took away": (
        no_flush_of_what_mprotect_took, (driven.mprotect,), WRITE, {}),
    "mask of a process one CPU short": (
        with_targets(lambda _, meant: meant[1:]), (driven.madvise,), USE, {}),
    "memory of a process used again at once": (
        lambda patch: patch.setattr(
            driven, "COSTS", replace(driven.COSTS, latr=replace(driven.COSTS.latr, reclaim=0))),
        (driven.madvise,), USE, {"shootdown": "latr"}),
    "a full ring forgotten": (
        a_full_ring_forgotten, (driven.madvise, driven.madvise, driven.madvise), USE, {}),
}  # fmt: skip
"""What is broken, what is done then, what is found; and on which kernel."""


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, calls, hazard, kernel = BROKEN[name]
    breaks(monkeypatch)
    kernel = dict(kernel)
    machine = Driven(kernel.pop("profile", "linux-6.1-x86_64"), **kernel)
    machine.tell(2, driven.rests)
    machine.tell(ISOLATED, driven.works if "flag" in name else driven.user)
    if "lost" in name:
        for call in (driven.user, driven.user, driven.works):
            machine.tell(ISOLATED, call)
    machine.run(15 * US)
    for call in calls:
        machine.tell(0, call)
    machine.run_all()
    assert hazard in machine.hazards()
    # A module's load revokes, too; what is merely closed is so whatever it is for.
    more = {WRITE, USE} if driven.load in calls or "merely" in name else set()
    if "joined" in name:
        more = {TABLE}  # what led to the table that the joined leaf replaces
    assert machine.hazards() - {hazard} <= more


@pytest.mark.parametrize("name", BROKEN)
def test_without_the_fault_nothing_is_found(name: str) -> None:
    breaks, calls, _, kernel = BROKEN[name]
    if breaks is nothing:
        kernel = {"shootdown": next(iter(kernel["shootdown"]))}
    kernel = dict(kernel)
    machine = Driven(kernel.pop("profile", "linux-6.1-x86_64"), **kernel)
    for call in calls:
        machine.tell(0, call)
    assert machine.run_all().found() == []
