"""Blocks of pages of the direct map."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MIB, PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]


def test_a_block_is_mapped_already_and_costs_no_flush() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(3)
        assert block.pages == 8
        # Frames are given out from 16 MiB on.
        assert block.address == kernel.kernel.direct_map.start + 16 * MIB
        assert (yield from kernel.write(block.address, 8 * PAGE_SIZE))
        yield from kernel.free_pages(block)
        assert (yield from kernel.alloc_pages(3)) == block

    booted = Booted().run(program)
    assert (booted.flushes, booted.kernel.pagetable.entries_written) == ([], 0)
    assert [row["pages"] for row in booted.of_kind("alloc_pages")] == [8, 8]
    assert [row["pages"] for row in booted.of_kind("free_pages")] == [8]


@pytest.mark.parametrize("order", [-1, 11, 64])
def test_an_order_out_of_range_gives_null(order: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        assert (yield from kernel.alloc_pages(order)) is None
        yield from kernel.free_pages(None)

    booted = Booted().run(program)
    assert [row["pages"] for row in booted.of_kind("alloc_pages")] == [0]
    assert booted.of_kind("free_pages") == []


def test_a_block_is_freed_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.free_pages(block)
        yield from kernel.free_pages(block)

    with pytest.raises(UndefinedBehaviour, match="which are free"):
        Booted().run(program)
