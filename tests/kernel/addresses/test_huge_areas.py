"""Areas of leaves of 2 MiB, and device registers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.units import MIB, PAGE_SIZE
from tests.kernel.booted import Booted, full, ranged

Calls = Generator[Any, Any, Any]
HUGE = [name for name in profile_names() if load_profile(name).huge_vmalloc]
SMALL = [name for name in profile_names() if name not in HUGE]


@pytest.mark.parametrize("profile", HUGE)
def test_a_huge_area_is_whole_leaves_of_2_mib_under_one_guard(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge("3MiB")
        assert (area.pages, area.address % (2 * MIB), area.leaf) == (1024, 0, 512)
        table, find = kernel.kernel.pagetable, kernel.kernel.vmalloc.find
        leaves = [table.walk(area.address + offset) for offset in (0, 3 * MIB)]
        assert [leaf.level for leaf in leaves] == [2, 2]
        assert find(area.address + 3 * MIB) is area
        assert find(area.address + 4 * MIB) is None
        yield from kernel.vfree(area)
        assert find(area.address) is None
        # 8 KiB of page pointers, too, with a guard.
        assert kernel.kernel.vmalloc.lazy_pages == 1024 + 1 + 2 + 1

    frames = Booted(profile=profile).kernel.frames.free
    assert Booted(profile=profile).run(program).kernel.frames.free == frames


def test_a_range_of_pages_and_a_whole_leaf_splits_the_alias_of_the_pages_only() -> None:
    """The area is two leaves; the first is broken by a change of one page of it."""

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge("4MiB")
        yield from kernel.set_memory_ro(area.address, 1)
        # From the middle of the first to the end of the second, which changes as one.
        yield from kernel.set_memory_ro(area.address + MIB, 256 + 512)

    booted = Booted(profile="linux-6.1-x86_64", direct_map_leaf="2MiB").run(program)
    # The first call splits the leaf and its alias; the second finds both of the other whole.
    assert booted.flushes == [full("split"), full("split"), full("attributes"), full("attributes")]


@pytest.mark.parametrize("profile", SMALL)
def test_a_kernel_without_huge_areas_refuses_them(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        assert (yield from kernel.vmalloc_huge("2MiB")) is None

    assert Booted(profile=profile).run(program).operations == []


@pytest.mark.parametrize("size", ["0B", "1B", "2047KiB"])
def test_less_than_a_leaf_is_mapped_by_pages(size: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge(size)
        assert area is None if size == "0B" else area.leaf == 1

    booted = Booted().run(program)
    assert [row["kind"] for row in booted.operations] == ["vmalloc"]


def test_without_room_for_leaves_pages_serve() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge("2MiB")
        assert (area.leaf, area.pages) == (1, 512)

    # No 513 pages of addresses start at a multiple of 2 MiB.
    booted = Booted(vmalloc_start="0xffffc90000001000", vmalloc_size="2560KiB").run(program)
    assert [row["kind"] for row in booted.operations] == ["vmalloc_huge", "vmalloc"]


def test_without_memory_for_leaves_nothing_is_lost() -> None:
    def program(kernel: KernelHandle) -> Calls:
        frames = kernel.kernel.frames
        free = frames.free
        assert (yield from kernel.vmalloc_huge("60MiB")) is None
        assert frames.free == free
        assert len(kernel.kernel.vmalloc.areas) == 0

    Booted(memory="64MiB").run(program)


def test_a_table_that_small_leaves_have_left_is_freed_first_and_flushed_everywhere() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.vm_unmap_aliases()
        area = yield from kernel.vmalloc_huge("2MiB")
        assert area.address == 0xFFFFC90000000000

    booted = Booted(profile="linux-6.6-x86_64").run(program)
    assert booted.flushes == [ranged("purge", 2), ranged("new_mapping", 1)]


@pytest.mark.parametrize("profile", profile_names())
def test_a_device_is_mapped_without_memory_and_unmapped_lazily(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        frames = kernel.kernel.frames
        free = frames.free
        device = yield from kernel.ioremap("64KiB")
        assert device.pages == 16
        table = kernel.kernel.pagetable
        assert table.translate(device.address) >= frames.total * PAGE_SIZE
        yield from kernel.iounmap(device)
        assert table.translate(device.address) is None
        assert (frames.free, kernel.kernel.vmalloc.lazy_pages) == (free, 17)
        yield from kernel.vm_unmap_aliases()

    booted = Booted(profile=profile).run(program)
    assert [flush.pages for flush in booted.flushes if flush.cause == "purge"] == [17]
    assert {"ioremap", "iounmap"} <= {row["kind"] for row in booted.operations}


def test_a_device_of_no_bytes_is_null() -> None:
    def program(kernel: KernelHandle) -> Calls:
        assert (yield from kernel.ioremap(0)) is None
        yield from kernel.iounmap(None)

    assert Booted().run(program).flushes == []


def test_a_device_is_unmapped_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        device = yield from kernel.ioremap(PAGE_SIZE)
        yield from kernel.iounmap(device)
        yield from kernel.iounmap(device)

    with pytest.raises(UndefinedBehaviour, match=r"iounmap of .* for the second time"):
        Booted().run(program)


def test_a_permission_of_a_part_of_a_huge_area_splits_its_leaf_on_x86() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge("2MiB")
        yield from kernel.set_memory_ro(area.address, 1)
        yield from kernel.vfree(area)

    flushes = Booted().run(program).flushes
    assert flushes == [full("split"), full("attributes")]
