"""Mapping pages that exist already: vmap, and the blocks of vm_map_ram."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.vmap_blocks import RamMapping
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.page_blocks import PageBlock
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, full, ranged

Calls = Generator[Any, Any, Any]
VMALLOC_START = 0xFFFFC90000000000
BLOCK_PAGES = 1024
"""As 6.1 has it on x86-64."""


def pages(kernel: KernelHandle, order: int) -> Generator[Any, Any, PageBlock]:
    block = yield from kernel.alloc_pages(order)
    assert block is not None
    return block


def mapped(kernel: KernelHandle, block: PageBlock) -> Generator[Any, Any, RamMapping]:
    mapping = yield from kernel.vm_map_ram(block)
    assert mapping is not None
    return mapping


def test_vmap_maps_the_pages_of_a_block_at_the_lowest_free_address() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        area = yield from kernel.vmap(block)
        assert area is not None
        assert (area.address, area.pages) == (VMALLOC_START, 4)
        table = kernel.kernel.pagetable
        assert table.translate(area.address + 5) == table.translate(block.address + 5)

    assert Booted().run(program).flushes == []


def test_vunmap_leaves_the_pages_to_their_owner_and_the_addresses_to_a_purge() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        free = kernel.kernel.frames.free
        area = yield from kernel.vmap(block)
        yield from kernel.vunmap(area)
        assert kernel.kernel.frames.free == free
        assert kernel.kernel.pagetable.translate(VMALLOC_START) is None
        assert kernel.kernel.vmalloc.lazy_pages == 4 + 1

    assert Booted().run(program).flushes == []


def test_before_the_lazy_list_every_vunmap_flushes_under_the_area_lock() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        for _ in range(3):
            yield from kernel.vunmap((yield from kernel.vmap(block)))
        assert kernel.kernel.vmalloc.lazy_pages == 0

    assert Booted(purge_by="unmap").run(program).flushes == [ranged("purge", 5)] * 3


def test_an_area_is_unmapped_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmap((yield from pages(kernel, 0)))
        yield from kernel.vunmap(area)
        yield from kernel.vunmap(area)

    with pytest.raises(UndefinedBehaviour, match=r"vunmap of .* for the second time"):
        Booted().run(program)


def test_a_cpu_carves_its_mappings_one_after_the_other_from_a_block_of_its_own() -> None:
    addresses: dict[int, list[int]] = {0: [], 1: []}

    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        for _ in range(3):
            mapping = yield from mapped(kernel, block)
            addresses[kernel.task.cpu].append(mapping.address)
            yield from kernel.vm_unmap_ram(mapping)

    booted = Booted()
    booted.spawn(program, 0)
    booted.spawn(program, 1)
    booted.run()
    starts = sorted(found[0] for found in addresses.values())
    assert starts == [VMALLOC_START, VMALLOC_START + BLOCK_PAGES * PAGE_SIZE]
    for found in addresses.values():
        # What was unmapped is not given out again.
        assert found == [found[0] + k * 4 * PAGE_SIZE for k in range(3)]
    assert booted.flushes == []


def test_a_block_gives_out_powers_of_two() -> None:
    def program(kernel: KernelHandle) -> Calls:
        for order in (0, 1, 3):
            block = yield from pages(kernel, order)
            yield from mapped(kernel, block)
        three = kernel.kernel.vmap_blocks.map_frames(kernel.task, [(5000, 3)])
        mapping = yield from three
        assert mapping is not None
        # 1 + 2 + 8 pages before it; it takes 4 itself.
        assert mapping.address == VMALLOC_START + 11 * PAGE_SIZE
        assert mapping.block is not None
        assert mapping.block.free == BLOCK_PAGES - 15

    Booted().run(program)


def test_a_block_goes_to_the_lazy_list_when_all_of_it_has_come_back() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 6)
        lazy = []
        for _ in range(BLOCK_PAGES // 64):
            yield from kernel.vm_unmap_ram((yield from mapped(kernel, block)))
            lazy.append(kernel.kernel.vmalloc.lazy_pages)
        assert lazy == [0] * (BLOCK_PAGES // 64 - 1) + [BLOCK_PAGES]

    assert Booted().run(program).flushes == []


def test_a_mapping_of_more_than_64_pages_stands_alone() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 7)
        mapping = yield from mapped(kernel, block)
        assert mapping.block is None
        yield from kernel.vm_unmap_ram(mapping)
        assert kernel.kernel.vmalloc.lazy_pages == 128

    Booted().run(program)


def test_a_partly_dirty_block_with_a_live_mapping_is_flushed_by_every_set_memory_call() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        mappings = []
        for _ in range(3):
            mappings.append((yield from mapped(kernel, block)))
        yield from kernel.vm_unmap_ram(mappings[1])
        for _ in range(2):
            yield from kernel.set_memory_ro(VMALLOC_START, 0)

    # The second mapping alone is dirty. Up to 6.4 nobody remembers that it was flushed.
    assert Booted().run(program).flushes == [ranged("purge", 4)] * 2


def test_a_dirty_block_and_the_lazy_list_are_flushed_as_one_span() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        live = yield from mapped(kernel, block)
        yield from kernel.vm_unmap_ram((yield from mapped(kernel, block)))
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()
        assert not live.unmapped

    # The block is the first 1,024 pages, its pages 4 to 7 dirty; the area's 2 pages follow it.
    assert Booted().run(program).flushes == [full("purge", BLOCK_PAGES + 2 - 4)]


def test_a_block_of_which_nothing_is_mapped_is_given_back_by_the_next_purge() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, 2)
        yield from kernel.vm_unmap_ram((yield from mapped(kernel, block)))
        yield from kernel.vm_unmap_aliases()
        yield from kernel.vm_unmap_aliases()
        mapping = yield from mapped(kernel, block)
        # A fresh block, at the addresses of the old one.
        assert mapping.address == VMALLOC_START

    assert Booted().run(program).flushes == [full("purge", BLOCK_PAGES)]


def test_a_mapping_is_unmapped_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        mapping = yield from mapped(kernel, (yield from pages(kernel, 0)))
        yield from kernel.vm_unmap_ram(mapping)
        yield from kernel.vm_unmap_ram(mapping)

    with pytest.raises(UndefinedBehaviour, match="for the second time"):
        Booted().run(program)


@pytest.mark.parametrize("order", [0, 7])
def test_a_mapping_without_address_space_is_null(order: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from pages(kernel, order)
        assert (yield from kernel.vm_map_ram(block)) is None

    Booted(vmalloc_size="256KiB" if order else "2MiB").run(program)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("map"), st.integers(0, 7)),
        st.tuples(st.just("unmap"), st.integers(0, 20)),
        st.tuples(st.just("aliases"), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("profile", ["linux-6.6-x86_64", "linux-6.12-x86_64"])
@settings(max_examples=40)
@given(steps=STEPS)
def test_since_6_5_a_call_flushes_once_all_that_was_unmapped_since_the_one_before(
    profile: str, steps: list[tuple[str, int]]
) -> None:
    unmapped: list[list[int]] = [[]]

    def program(kernel: KernelHandle) -> Calls:
        blocks, live = [], list[RamMapping]()
        for order in range(8):
            blocks.append((yield from pages(kernel, order)))
        for what, number in [*steps, ("aliases", 0), ("aliases", 0)]:
            if what == "map":
                live.append((yield from mapped(kernel, blocks[number])))
            elif what == "aliases":
                yield from kernel.vm_unmap_aliases()
                unmapped.append([])
            elif live:
                mapping = live.pop(number % len(live))
                yield from kernel.vm_unmap_ram(mapping)
                unmapped[-1] += [mapping.page, mapping.page + mapping.pages]

    booted = Booted(profile=profile, vmap_block_pages=128).run(program)
    calls = booted.of_kind("vm_unmap_aliases")
    # The last one has nothing to do, whatever the one before it found.
    assert [row["crosscalls"] for row in calls] == [int(bool(found)) for found in unmapped[:-1]]
    spans = (max(found) - min(found) for found in unmapped if found)
    for flush, span in zip(booted.flushes, spans, strict=True):
        assert flush.cause == "purge"
        assert flush.pages >= span
