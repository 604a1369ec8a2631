"""Top-level entries that address spaces have copies of; and CPUs that must see new mappings."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.units import MIB, PAGE_SIZE
from tests.kernel.booted import Booted, sbi

Calls = Generator[Any, Any, Any]
NON_PAE = {"profile": "linux-4.16-x86_32", "pae": False}
COPYING = ("linux-4.14-arm32", "linux-5.4-arm32")
"""Kernels whose address spaces copy entries at a fault, wherever the area lies
(arch/arm/mm/fault.c, do_translation_fault); later ones look at a number at each switch, too."""
SYNCS = ("vmalloc_fault", "sync_kernel_mappings", "check_vmalloc_seq")


def allocate(kernel: KernelHandle, times: int, size: int) -> Calls:
    for _ in range(times):
        assert (yield from kernel.vmalloc(size)) is not None


def regions(times: int, size: int, start: int = 0xF7FFE000, span: int = 4 * MIB) -> int:
    """Count the regions of one top-level entry that areas in a row have pages in."""
    met: set[int] = set()
    for _ in range(times):
        met.update(range(start // span, (start + size - 1) // span + 1))
        start += size + PAGE_SIZE
    return len(met)


@pytest.mark.parametrize(("times", "size"), [(1, 1), (10, MIB), (3, 10 * MIB), (100, 64 << 10)])
def test_without_pae_an_address_space_faults_once_on_each_new_4_mib(times: int, size: int) -> None:
    booted = Booted(**NON_PAE).run(lambda kernel: allocate(kernel, times, size))
    whole = -(-size // PAGE_SIZE) * PAGE_SIZE
    assert len(booted.of_kind("vmalloc_fault")) == regions(times, whole)
    assert booted.flushes == []


def test_each_address_space_faults_by_itself_and_workers_never() -> None:
    booted = Booted(4, **NON_PAE)
    for cpu in range(4):
        booted.spawn(lambda kernel: allocate(kernel, 1, PAGE_SIZE), cpu)
    booted.run()
    faults = booted.of_kind("vmalloc_fault")
    assert sorted(row["cpu"] for row in faults) == [0, 1, 2, 3]
    assert {row["run_ps"] for row in faults} == {booted.kernel.costs.vmalloc_fault}


def test_what_another_has_mapped_faults_when_it_is_written_to() -> None:
    areas: list[Any] = []

    def owner(kernel: KernelHandle) -> Calls:
        areas.append((yield from kernel.vmalloc(PAGE_SIZE)))

    def user(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(10**9)
        for _ in range(2):
            assert (yield from kernel.write(areas[0].address, 8))

    booted = Booted(**NON_PAE)
    booted.spawn(owner, 0)
    booted.spawn(user, 1)
    booted.run()
    assert [row["cpu"] for row in booted.of_kind("vmalloc_fault")] == [0, 1]


@pytest.mark.parametrize("keys", [NON_PAE, {"profile": "linux-6.12-riscv64"}])
def test_a_touch_of_the_direct_map_or_of_what_is_not_mapped_is_no_such_fault(keys: Any) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        assert (yield from kernel.write(block.address, 8))
        assert not (yield from kernel.write(kernel.kernel.vmalloc.ranges["vmalloc"].start, 8))

    booted = Booted(**keys).run(program)
    assert {row["kind"] for row in booted.operations} == {"alloc_pages"}


@pytest.mark.parametrize("profile", [name for name in profile_names() if name not in COPYING])
def test_no_other_kernel_faults_where_its_boot_has_mapped_or_tables_are_shared(
    profile: str,
) -> None:
    booted = Booted(profile=profile).run(lambda kernel: allocate(kernel, 20, MIB))
    assert booted.of_kind("vmalloc_fault") == []
    assert booted.of_kind("sync_kernel_mappings") == []
    assert booted.flushes == []


@pytest.mark.parametrize("profile", COPYING)
def test_arm32_once_copied_each_entry_of_two_mebibytes_at_a_fault(profile: str) -> None:
    # 20 areas of 1 MiB and a guard page lie in 11 entries.
    booted = Booted(profile=profile).run(lambda kernel: allocate(kernel, 20, MIB))
    assert len(booted.of_kind("vmalloc_fault")) == 11


def test_a_large_region_faults_only_where_the_boot_has_mapped_nothing() -> None:
    # An entry of 1 GiB. The first area lies in the boot's, the second reaches beyond it.
    booted = Booted(profile="linux-4.16-x86_64", top_level_span="1GiB")
    booted.run(lambda kernel: allocate(kernel, 2, 600 * MIB))
    assert len(booted.of_kind("vmalloc_fault")) == 1


@pytest.mark.parametrize("spaces", [1, 3])
def test_the_walk_visits_every_address_space_once_for_each_new_entry(spaces: int) -> None:
    booted = Booted(4, profile="linux-4.16-x86_32", top_level_copies="walk", top_level_span="4MiB")
    booted.spawn(lambda kernel: allocate(kernel, 3, 2 * MIB), 0)
    for cpu in range(1, spaces):
        booted.spawn(lambda kernel: kernel.task.compute(10**9), cpu)
    booted.run()
    walks = booted.of_kind("sync_kernel_mappings")
    assert len(walks) == regions(3, 2 * MIB)
    each = booted.kernel.costs.sync_address_space
    assert {row["run_ps"] for row in walks} == {spaces * each}
    assert booted.flushes == []


@pytest.mark.parametrize("times", [1, 2, 10])
def test_an_address_space_of_arm32_copies_once_after_each_area_that_needs_a_new_entry(
    times: int,
) -> None:
    start, met, behind = 0xF0800000 // PAGE_SIZE, set[int](), 0
    for number in range(times):
        # 128 pages and a guard, one area after the other; an entry covers 512 pages.
        first = start + number * 129
        entries = {first // 512, (first + 127) // 512}
        behind += not entries <= met
        met |= entries
    booted = Booted(profile="linux-6.1-arm32").run(lambda k: allocate(k, times, 512 << 10))
    assert len(booted.of_kind("check_vmalloc_seq")) == behind


def test_an_address_space_of_arm32_copies_all_entries_when_it_is_behind() -> None:
    booted = Booted(4, profile="linux-6.1-arm32")
    for cpu in range(2):
        booted.spawn(lambda kernel: allocate(kernel, 10, 512 << 10), cpu)
    booted.run()
    copies = booted.of_kind("check_vmalloc_seq")
    # 20 areas of 129 pages meet 6 entries of 2 MiB; each space copies all 120, at most so often.
    assert {row["cpu"] for row in copies} == {0, 1}
    assert len(copies) <= 12
    assert {row["run_ps"] for row in copies} == {120 * booted.kernel.costs.copy_entry}
    assert booted.flushes == []


def test_a_cpu_of_riscv_6_12_faults_once_after_new_mappings() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        for _ in range(3):
            yield from kernel.write(area.address, 8)
        yield from allocate(kernel, 2, PAGE_SIZE)

    booted = Booted(profile="linux-6.12-riscv64").run(program)
    faults = booted.of_kind("new_vmalloc_check")
    assert len(faults) == 3
    assert booted.flushes == []


def test_riscv_6_6_flushes_every_cpu_for_each_new_mapping() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from allocate(kernel, 2, 4 * PAGE_SIZE)
        yield from kernel.vmap((yield from kernel.alloc_pages(1)))
        yield from kernel.ioremap(PAGE_SIZE)

    booted = Booted(profile="linux-6.12-riscv64", new_mapping="flush").run(program)
    assert [(flush.cause, flush.pages) for flush in booted.flushes] == [
        ("new_mapping", pages) for pages in (4, 4, 2, 1)
    ]
    assert booted.flushes[0] == sbi(booted.flushes[0])
    assert not {row["kind"] for row in booted.operations} & set(SYNCS)


def test_a_profile_says_which_way_it_goes() -> None:
    ways = {name: load_profile(name).top_level_copies for name in profile_names()}
    assert ways["linux-4.16-x86_32"] == "none"
    assert load_profile("linux-4.16-x86_32", {"pae": False}).top_level_copies == "fault"
    assert ways["linux-6.1-arm32"] == "switch"
    assert {way for name, way in ways.items() if name.endswith("arm64")} == {"none"}
