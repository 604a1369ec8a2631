"""Arm: what set_memory_* refuse, and what they flush."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, PRESENT, RW
from pmsim.kernel.permissions.strategy import EINVAL
from pmsim.units import MIB, NS, PAGE_SIZE, US
from tests.kernel.booted import TLBI_RANGE, Booted, Flush, dvm, dvm_all

Calls = Generator[Any, Any, Any]
CALLS = ["set_memory_ro", "set_memory_rw", "set_memory_x", "set_memory_nx"]
ARM64 = ["linux-4.16-arm64", "linux-6.1-arm64", "linux-6.18-arm64"]
ALIASED = ARM64[1:]
ARM32 = "linux-6.1-arm32"
EACH = dvm("attributes", 1)


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


@pytest.mark.parametrize("profile", ARM64)
def test_a_call_that_changes_nothing_flushes_all_the_same(profile: str) -> None:
    once = Booted(profile=profile).run(on_vmalloc(3, "ro")).flushes
    assert Booted(profile=profile).run(on_vmalloc(3, "ro", "ro")).flushes == once * 2


@pytest.mark.parametrize("profile", ALIASED)
def test_a_part_of_an_area_changes_the_alias_of_every_page_of_it(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(5 * PAGE_SIZE)
        assert (yield from kernel.set_memory_ro(area.address + PAGE_SIZE, 2)) == 0
        direct, (run,) = kernel.kernel.direct_map, area.runs
        rights = [bits_of(kernel, area.address + at * PAGE_SIZE) & RW for at in range(5)]
        aliases = [bits_of(kernel, direct.address(run[0] + at)) & RW for at in range(5)]
        assert rights == [RW, 0, 0, RW, RW]
        assert aliases == [0] * 5

    assert Booted(profile=profile).run(program).flushes == [EACH] * 5 + [dvm("attributes", 2)]


def test_a_leaf_that_two_cpus_want_split_is_split_once_and_the_second_waits() -> None:
    # Both find the leaf of the direct map behind their areas whole at 100 us. Whoever has
    # pgtable_split_lock splits it in 5 us, and the other finds it split (arch/arm64/mm/mmu.c).
    costs = KernelCosts(set_memory=0, set_memory_page=0, split=5 * US)
    booted = Booted(2, costs, profile="linux-6.18-arm64", direct_map_leaf="2MiB")
    asked: list[int] = []

    def protects(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.task.sleep(100 * US - kernel.task.now)
        assert (yield from kernel.set_memory_ro(area.address, 1)) == 0
        asked.append(bits_of(kernel, area.address))

    booted.spawn(protects, 1)
    booted.run(protects)
    assert asked == [PRESENT | NX] * 2
    assert booted.kernel.pagetable.leaves_split == 1
    waits = sorted(row["lock_wait_ps"] for row in booted.of_kind("set_memory_ro"))
    assert waits[0] == 0
    assert waits[1] >= 5 * US


@pytest.mark.parametrize("profile", ALIASED)
def test_the_right_to_execute_leaves_the_alias_alone(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(5 * PAGE_SIZE)
        for call in ("x", "nx"):
            assert (yield from getattr(kernel, f"set_memory_{call}")(area.address, 4)) == 0

    assert Booted(profile=profile).run(program).flushes == [dvm("attributes", 4)] * 2


@pytest.mark.parametrize("profile", ALIASED)
def test_the_aliases_are_flushed_before_what_was_lazily_freed_and_the_range_last(
    profile: str,
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.set_memory_ro(area.address, 2)

    expected = [EACH, EACH, dvm("purge", 2), dvm("attributes", 2)]
    assert Booted(profile=profile).run(program).flushes == expected


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("profile", "purges"),
    [("linux-4.16-arm64", 0), ("linux-6.1-arm64", 1), ("linux-6.18-arm64", 1), (ARM32, 0)],
)
def test_from_5_0_on_arm64_purges_first_but_not_for_no_pages(
    profile: str, purges: int, call: str
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        assert (yield from getattr(kernel, call)(area.address, 0)) == 0
        assert kernel.kernel.vmalloc.lazy_pages == 2
        assert (yield from getattr(kernel, call)(area.address, 1)) == 0

    booted = Booted(profile=profile).run(program)
    assert sum(flush.cause == "purge" for flush in booted.flushes) == purges


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("profile", ARM64)
def test_only_pages_of_one_area_of_vmalloc_are_changed(profile: str, call: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        change = getattr(kernel, call)
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        block = yield from kernel.alloc_pages(1)
        mapping = yield from kernel.vmap(block)
        above = area.address + 8 * PAGE_SIZE
        for address, pages in ((block.address, 2), (mapping.address, 2), (above, 1), (None, 0)):
            assert (yield from change(address, pages)) == -EINVAL
        assert (yield from change(area.address + PAGE_SIZE, 3)) == -EINVAL
        assert bits_of(kernel, area.address) == bits_of(kernel, block.address)

    assert Booted(profile=profile).run(program).flushes == []


@pytest.mark.parametrize("profile", ARM64)
def test_the_guard_page_belongs_to_the_area(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        assert (yield from kernel.set_memory_x(area.address + PAGE_SIZE, 2)) == 0
        assert kernel.kernel.pagetable.walk(area.address + 2 * PAGE_SIZE) is None

    assert Booted(profile=profile).run(program).flushes == [dvm("attributes", 2)]


def test_what_cannot_be_made_read_only_is_not_made_executable_either() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        assert (yield from kernel.set_memory_rox(block.address, 1)) == -EINVAL

    booted = Booted(profile="linux-6.1-arm64").run(program)
    assert booted.of_kind("set_memory_x") == []


@pytest.mark.parametrize("profile", ALIASED)
def test_a_huge_area_is_refused(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge(2 * MIB)
        assert (yield from kernel.set_memory_ro(area.address, 512)) == -EINVAL

    assert Booted(profile=profile).run(program).flushes == []


@pytest.mark.parametrize(
    ("profile", "largest"),
    [("linux-4.16-arm64", 1024), ("linux-6.1-arm64", 512), ("linux-6.18-arm64", 511)],
)
def test_above_the_limit_one_operation_drops_everything(profile: str, largest: int) -> None:
    for pages, flush in (
        (largest, dvm("attributes", largest)),
        (largest + 1, dvm_all("attributes", largest + 1)),
    ):
        assert Booted(profile=profile).run(on_vmalloc(pages, "x")).flushes == [flush]


# __flush_tlb_range_op: (num + 1) * 2^(5 scale + 1) pages each, scale 3 first, an odd page alone.
@pytest.mark.parametrize(
    ("pages", "operations"), [(1, 1), (2, 1), (33, 2), (64, 1), (65, 2), (130, 2), (2049, 2)]
)
def test_with_ranges_6_18_needs_few_operations_and_has_no_such_limit(
    pages: int, operations: int
) -> None:
    def flushes(profile: str) -> list[Flush]:
        return Booted(profile=profile, tlbi=TLBI_RANGE).run(on_vmalloc(pages, "x")).flushes

    assert flushes("linux-6.18-arm64") == [dvm("attributes", pages, operations)]
    # The kernel's own range operations are younger than the CPUs'.
    old = dvm("attributes", pages) if pages <= 512 else dvm_all("attributes", pages)
    assert flushes("linux-6.1-arm64") == [old]


def test_arm32_has_one_operation_for_each_page_whatever_their_number() -> None:
    flushes = Booted(profile=ARM32).run(on_vmalloc(5000, "ro")).flushes
    assert flushes == [dvm("attributes", 5000)]


def test_arm32_changes_the_two_ranges_and_nothing_else() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        block = yield from kernel.alloc_pages(1)
        assert (yield from kernel.set_memory_ro(block.address, 2)) == -EINVAL
        # Holes are passed over.
        assert (yield from kernel.set_memory_ro(area.address, 5)) == 0
        assert bits_of(kernel, area.address) == PRESENT | NX
        end = kernel.kernel.vmalloc.ranges["vmalloc"].end
        assert (yield from kernel.set_memory_ro(end - PAGE_SIZE, 2)) == -EINVAL

    assert Booted(profile=ARM32).run(program).flushes == [dvm("attributes", 5)]


def test_a_page_costs_its_entry_its_alias_and_two_invalidations() -> None:
    booted = Booted(profile="linux-6.1-arm64").run(on_vmalloc(10, "ro"))
    (row,) = booted.of_kind("set_memory_ro")
    assert row["run_ps"] == US + 4 * 5 * NS + 2 * 10 * 30 * NS
    # 25 ns an operation, 100 ns a barrier and 500 ns the way there and back, for 11 barriers.
    assert row["crosscall_ps"] == 20 * 25 * NS + 11 * 600 * NS
    assert row["crosscalls"] == 11
