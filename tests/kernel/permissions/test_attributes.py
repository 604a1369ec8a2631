"""Cache attributes and encryption: as many flushes as ``change_page_attr_set_clr`` makes."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.kernel.handle import KernelHandle
from tests.kernel.booted import Booted, Flush, full, ranged
from tests.kernel.pool_programs import Calls
from tests.kernel.steps import flushes_by_step


def changes(profile: str, *calls: str, order: int = 2, **overrides: Any) -> list[list[Flush]]:
    """Make calls one after the other on a block of pages; return the flushes of each."""
    booted = Booted(4, profile=profile, **overrides)
    blocks: list[Any] = []

    def take(kernel: KernelHandle) -> Calls:
        blocks.append((yield from kernel.alloc_pages(order)))

    def step(call: str) -> Any:
        name, *guest = call.split()

        def make(kernel: KernelHandle) -> Calls:
            call = getattr(kernel, f"set_memory_{name}")
            assert (yield from call(blocks[0].address, blocks[0].pages, *guest)) == 0

        return make

    return flushes_by_step(booted, take, *map(step, calls))[1:]


ATTRIBUTES = "attributes"


@pytest.mark.parametrize(
    ("profile", "flush"),
    [
        ("linux-4.16-x86_64", full(ATTRIBUTES)),
        ("linux-5.15-x86_64", ranged(ATTRIBUTES, 4)),
        ("linux-6.1-x86_64", ranged(ATTRIBUTES, 4)),
        ("linux-6.12-x86_64", ranged(ATTRIBUTES, 4)),
    ],
)
def test_uncached_is_one_change_write_combining_two_and_cached_again_one(
    profile: str, flush: Flush
) -> None:
    found = changes(profile, "uc", "wb", "wc", "wb", "decrypted", "encrypted")
    assert found == [[flush], [flush], [flush] * 2, [flush], [flush] * 2, [flush] * 2]


def test_more_pages_than_the_ceiling_are_flushed_with_everything() -> None:
    assert changes("linux-6.1-x86_64", "uc", order=6) == [[full(ATTRIBUTES)]]


def test_memory_that_is_so_already_is_not_flushed() -> None:
    assert changes("linux-6.1-x86_64", "uc", "uc", "wb", "wb")[1::2] == [[], []]


def test_the_first_change_splits_a_large_leaf_of_the_direct_map() -> None:
    found = changes("linux-6.1-x86_64", "uc", "wb", direct_map_leaf="2MiB")
    assert found == [[full("split"), ranged(ATTRIBUTES, 4)], [ranged(ATTRIBUTES, 4)]]


def test_a_guest_of_intels_flushes_once_on_the_way_back() -> None:
    found = changes("linux-6.1-x86_64", "decrypted tdx", "encrypted tdx")
    assert [len(flushes) for flushes in found] == [2, 1]


def test_only_the_initiator_drops_the_pages_from_caches() -> None:
    booted = Booted(2)

    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(3)
        yield from kernel.set_memory_uc(block.address, block.pages)
        yield from kernel.set_memory_wb(block.address, block.pages)

    booted.run(program)
    costs = booted.kernel.costs
    uncached, cached = (booted.of_kind(f"set_memory_{name}")[0]["run_ps"] for name in ("uc", "wb"))
    assert uncached - cached == 8 * costs.clflush_page


def test_other_architectures_and_older_kernels_are_refused() -> None:
    with pytest.raises(ProgramError, match="set_memory_uc is there on x86 only"):
        changes("linux-6.1-arm64", "uc")
    with pytest.raises(ProgramError, match="a guest that this kernel cannot be"):
        changes("linux-5.15-x86_64", "decrypted tdx")
