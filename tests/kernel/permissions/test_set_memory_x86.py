"""x86: which flush each kernel makes at the end of a change, and what its splits hold up."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, PRESENT, RW
from pmsim.kernel.pagetables.entry_changes import ChangePageAttr
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MIB, MS, NS, PAGE_SIZE, US
from tests.kernel.booted import INVLPGB, Booted, Flush, dvm, dvm_all, full, ranged

Calls = Generator[Any, Any, Any]
FULL, SPLIT = full("attributes"), full("split")
HUGE = 2 * MIB


def by_size(pages: int) -> Flush:
    """Page by page up to the ceiling, then everything."""
    return ranged("attributes", pages) if pages <= 33 else FULL


def always_full(pages: int) -> Flush:
    return FULL


# The rules of the final flush, by what is changed: (ro, rw) of vmalloc memory, (x, nx) of it, and
# ro of the direct map (arch/x86/mm/pageattr.c and pat/set_memory.c of each version).
RULES = {
    "4.16": (always_full, always_full, always_full),
    "5.15": (always_full, by_size, by_size),
    "6.1": (always_full, by_size, by_size),
    "6.6": (always_full, always_full, by_size),
    "6.12": (always_full, always_full, by_size),
    "6.18": (always_full, always_full, by_size),
}
VERSIONS = pytest.mark.parametrize("version", RULES)


def profile(version: str) -> str:
    return f"linux-{version}-x86_64"


def bits_of(kernel: KernelHandle, address: int) -> int:
    leaf = kernel.kernel.pagetable.walk(address)
    assert leaf is not None
    return leaf.entry & (PRESENT | RW | NX)


def on_vmalloc(pages: int, *calls: str) -> Any:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        for call in calls:
            assert (yield from getattr(kernel, f"set_memory_{call}")(area.address, pages)) == 0

    return program


@VERSIONS
@pytest.mark.parametrize("pages", [1, 33, 34, 512])
def test_the_last_flush_is_the_versions(version: str, pages: int) -> None:
    data, code, _ = RULES[version]
    booted = Booted(profile=profile(version)).run(on_vmalloc(pages, "ro", "x", "nx", "rw", "rw"))
    assert booted.flushes == [data(pages), code(pages), code(pages), data(pages)]


def test_a_kernel_that_did_not_purge_first_would_leave_it_to_others() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.set_memory_ro(area.address, 1)

    assert Booted(set_memory_purges=False).run(program).flushes == [FULL]
    assert Booted().run(program).flushes == [ranged("purge", 2), FULL]


@VERSIONS
@pytest.mark.parametrize("order", [0, 5, 6])
def test_on_the_direct_map_every_kernel_since_5_4_flushes_by_page(version: str, order: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(order)
        yield from kernel.set_memory_ro(block.address, block.pages)

    booted = Booted(profile=profile(version)).run(program)
    assert booted.flushes == [RULES[version][2](1 << order)]


@pytest.mark.parametrize(("pages", "operations"), [(1, 1), (8, 1), (9, 2), (33, 5)])
def test_invlpgb_takes_ranges_in_parts_and_up_to_the_same_ceiling(
    pages: int, operations: int
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(6)
        yield from kernel.set_memory_ro(block.address, pages)
        yield from kernel.set_memory_ro(block.address, 64)

    booted = Booted(profile="linux-6.18-x86_64", tlbi=INVLPGB).run(program)
    assert booted.flushes == [dvm("attributes", pages, operations), dvm_all("attributes")]


@VERSIONS
def test_read_only_and_executable_in_one_call_is_one_flush_since_6_2(version: str) -> None:
    booted = Booted(profile=profile(version)).run(on_vmalloc(3, "rox"))
    at_once = version in ("6.6", "6.12", "6.18")
    data, code, _ = RULES[version]
    assert booted.flushes == ([FULL] if at_once else [data(3), code(3)])
    kinds = [row["kind"] for row in booted.operations if "set_memory" in row["kind"]]
    both = ["set_memory_ro", "set_memory_x"]
    assert kinds == ([] if at_once else both) + ["set_memory_rox"]


def test_the_alias_of_code_becomes_read_only_and_stays_not_executable() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.set_memory_rox(area.address, 1)
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        assert bits_of(kernel, area.address) == PRESENT
        assert bits_of(kernel, alias) == PRESENT | NX

    Booted(profile="linux-6.12-x86_64").run(program)


def test_without_nx_read_only_and_executable_is_read_only() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        before = bits_of(kernel, area.address)
        assert (yield from kernel.set_memory_rox(area.address, 1)) == 0
        assert bits_of(kernel, area.address) == before & ~RW

    assert Booted(profile="linux-6.12-x86_64", nx=False).run(program).flushes == [FULL]


def test_without_nx_the_calls_about_it_return_before_anything_else() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        for call in ("x", "nx"):
            assert (yield from getattr(kernel, f"set_memory_{call}")(area.address, 1)) == 0

    booted = Booted(profile="linux-4.16-x86_32", pae=False).run(program)
    assert booted.flushes == []
    calls = booted.of_kind("set_memory_x") + booted.of_kind("set_memory_nx")
    assert [row["run_ps"] for row in calls] == [0, 0]
    assert Booted(profile="linux-4.16-x86_32").run(program).flushes == [
        ranged("purge", 2),
        FULL,
        FULL,
    ]


@pytest.mark.parametrize(("leaf", "splits"), [("2MiB", 1), ("1GiB", 2)])
@VERSIONS
def test_a_page_in_a_large_leaf_costs_a_split_for_each_level(
    version: str, leaf: str, splits: int
) -> None:
    booted = Booted(profile=profile(version), direct_map_leaf=leaf).run(on_vmalloc(1, "ro", "rw"))
    assert booted.flushes == [SPLIT] * splits + [FULL] * 2


def split_locks(version: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    """Return which locks are held when the broadcast of a split begins: cpa_lock, pgd_lock."""
    booted = Booted(profile=profile(version), direct_map_leaf="2MiB")
    changes, tlbflush = booted.kernel.direct_map.changes, booted.kernel.tlbflush
    assert isinstance(changes, ChangePageAttr)
    seen, flush_tlb_all = [], tlbflush.flush_tlb_all

    def watched(task: Task, cause: Cause) -> Calls:
        if cause is Cause.SPLIT:
            seen.append((changes.cpa_lock.owner is task, changes.pgd_lock.owner is task))
        return flush_tlb_all(task, cause)

    monkeypatch.setattr(tlbflush, "flush_tlb_all", watched)
    booted.run(on_vmalloc(1, "ro"))
    (held,) = seen
    return held


@VERSIONS
def test_cpa_lock_is_held_while_a_split_is_broadcast_and_pgd_lock_too_since_5_4(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert split_locks(version, monkeypatch) == (True, version != "4.16")


def test_up_to_4_17_whoever_meets_a_leaf_that_another_is_splitting_tells_the_others_again() -> None:
    counts = {}
    for version in RULES:
        # While either allocates a table, the other comes to the same leaf.
        costs = KernelCosts(alloc_pages=5 * US)
        booted = Booted(costs=costs, profile=profile(version), direct_map_leaf="2MiB")
        for cpu in range(2):
            booted.spawn(on_vmalloc(1, "ro"), cpu)
        booted.run()
        assert booted.kernel.pagetable.leaves_split == 1
        counts[version] = booted.flushes.count(SPLIT)
    assert counts == {"4.16": 2} | dict.fromkeys(list(RULES)[1:], 1)


def huge(*steps: tuple[str, int, int]) -> Any:
    """Change parts of an area of one large leaf: call, first page, pages."""

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge(HUGE)
        for call, first, pages in steps:
            address = area.address + first * PAGE_SIZE
            assert (yield from getattr(kernel, f"set_memory_{call}")(address, pages)) == 0

    return program


def test_a_huge_area_changes_whole_without_a_split_and_so_does_its_alias() -> None:
    booted = Booted(profile="linux-6.12-x86_64", direct_map_leaf="2MiB")
    assert booted.run(huge(("rox", 0, 512))).flushes == [FULL]
    assert booted.kernel.pagetable.leaves_split == 0


def test_a_large_leaf_is_one_entry_to_change() -> None:
    costs = []
    for leaf in ("4KiB", "2MiB"):
        booted = Booted(profile="linux-6.12-x86_64", direct_map_leaf=leaf).run(
            huge(("rox", 0, 512))
        )
        costs.append(booted.of_kind("set_memory_rox")[0]["run_ps"] - US - 4 * 5 * NS)
    # The area's, and its aliases'.
    assert costs == [(1 + 512) * 30 * NS, (1 + 1) * 30 * NS]


def test_a_part_of_a_huge_area_costs_a_split() -> None:
    booted = Booted(profile="linux-6.12-x86_64").run(huge(("ro", 5, 1), ("ro", 9, 1)))
    assert booted.flushes == [SPLIT, FULL, FULL]


@pytest.mark.parametrize(
    ("version", "rejoins"), [("6.12", []), ("6.18", [full("collapse")])], ids=["6.12", "6.18"]
)
def test_only_6_18_joins_a_large_leaf_again_and_tells_the_others(
    version: str, rejoins: list[Flush]
) -> None:
    # A part is taken out for writing, and given back: the whole leaf is alike again.
    steps = ("rox", 0, 512), ("nx", 3, 2), ("rw", 3, 2), ("rox", 3, 2)
    booted = Booted(profile=profile(version)).run(huge(*steps))
    assert booted.flushes == [FULL, SPLIT, FULL, FULL, FULL, *rejoins]
    area = booted.kernel.vmalloc.ranges["vmalloc"]
    leaf = booted.kernel.pagetable.walk(area.start)
    assert leaf is not None
    assert leaf.level == (2 if rejoins else 1)


def test_a_leaf_that_is_joined_while_its_pages_are_changed_is_split_again() -> None:
    # One page of a huge area is apart, and CPU 1 makes it like the others again: 1 us for its entry
    # and as much for its alias, then a flush, and it joins the leaf, all before 5.01 ms. CPU 2 has
    # found the leaf split, and works on 64 of its pages for 64 us from 5.002 ms on.
    costs = KernelCosts(set_memory=0, set_memory_page=US, split=0)
    booted = Booted(4, costs, profile="linux-6.18-x86_64")
    areas: list[Any] = []
    found: list[int] = []

    def apart(kernel: KernelHandle) -> Calls:
        area = yield from kernel.kernel.vmalloc.vmalloc_huge_in(kernel.task, HUGE, "modules")
        areas.append(area)
        yield from kernel.set_memory_rox(area.address, area.pages)
        yield from kernel.set_memory_rw(area.address, 1)

    def alike(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(5 * MS)
        yield from kernel.set_memory_rox(areas[0].address, 1)

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(5 * MS + 1600 * NS)
        yield from kernel.set_memory_nx(areas[0].address + 16 * PAGE_SIZE, 64)
        for page in (0, 16, 79, 80):
            found.append(bits_of(kernel, areas[0].address + page * PAGE_SIZE))

    booted.spawn(alike, 1)
    booted.spawn(other, 2)
    booted.run(apart)
    assert booted.flushes == [FULL, SPLIT, FULL, FULL, full("collapse"), SPLIT, FULL]
    collapse, split = booted.calls[-3:-1]
    assert collapse["end_ps"] < 5010 * US < 5066 * US < split["start_ps"]
    assert found == [PRESENT, PRESENT | NX, PRESENT | NX, PRESENT]


def test_what_is_not_alike_is_not_joined() -> None:
    steps = ("rox", 0, 512), ("rw", 3, 2), ("rox", 3, 1)
    booted = Booted(profile="linux-6.18-x86_64").run(huge(*steps))
    assert booted.flushes == [FULL, SPLIT, FULL, FULL]


def test_4_mib_leaves_split_into_1024_pages_without_pae() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.set_memory_ro(block.address, 1)
        table, direct = kernel.kernel.pagetable, kernel.kernel.direct_map
        leaves = [table.walk(direct.start + at * MIB) for at in (15, 16, 19, 20)]
        assert [leaf and leaf.level for leaf in leaves] == [2, 1, 1, 2]

    booted = Booted(profile="linux-4.16-x86_32", pae=False, direct_map_leaf="4MiB").run(program)
    assert booted.flushes == [SPLIT, FULL]


def test_a_split_before_5_4_costs_a_flush_of_this_cpu_too() -> None:
    times = []
    for lock in ("cpa_lock", "cpa_and_pgd_lock"):
        booted = Booted(direct_map_leaf="2MiB", split_under=lock).run(on_vmalloc(1, "ro"))
        times.append(booted.of_kind("set_memory_ro")[0]["run_ps"])
    assert times[0] - times[1] == 400 * NS
    assert times[1] == US + 4 * 5 * NS + 2 * 30 * NS + 150 * NS + 3 * US
