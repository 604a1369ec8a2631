"""Sizes and alignments of pmalloc, up to where they overflow."""

from __future__ import annotations

from typing import cast

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.pmalloc.sizes import Sizes

SIZES = Sizes()
SIZE_MAX = 2**64 - 1
NO_TASK = cast(Task, None)
"""Nobody is to blame in these tests."""


def test_the_largest_size_is_that_of_the_word() -> None:
    assert SIZES.largest == SIZE_MAX
    assert Sizes(word_bits=32).largest == 2**32 - 1


def test_a_32_bit_kernel_overflows_sooner() -> None:
    small = Sizes(word_bits=32, minalign=64)
    assert small.product(1 << 16, 1 << 16) is None
    assert small.product((1 << 16) - 1, 1 << 16) == 2**32 - 2**16
    assert small.rounded_refill(2**32 - 4094) == 0
    assert small.alignment(NO_TASK, -1) == 64


@pytest.mark.parametrize(
    ("refill", "rounded"),
    [
        (0, 4096),
        (1, 4096),
        (4096, 4096),
        (4097, 8192),
        (1 << 40, 1 << 40),
        # One page below the top is still a multiple; above it the sum wraps to less than a page.
        (SIZE_MAX - 4095, SIZE_MAX - 4095),
        (SIZE_MAX - 4094, 0),
        (SIZE_MAX, 0),
    ],
)
def test_refill_is_rounded_up_to_pages_in_a_size_t(refill: int, rounded: int) -> None:
    assert SIZES.rounded_refill(refill) == rounded


@pytest.mark.parametrize(("order", "align"), [(-1, 8), (-7, 8), (0, 1), (3, 8), (12, 4096)])
def test_a_negative_order_asks_for_the_alignment_of_the_architecture(
    order: int, align: int
) -> None:
    assert SIZES.alignment(NO_TASK, order) == align


def test_an_array_of_no_elements_is_null_but_elements_of_no_size_pass() -> None:
    assert SIZES.product(0, 24) is None
    assert SIZES.product(7, 0) == 0


def test_an_array_that_overflows_a_size_t_is_null() -> None:
    assert SIZES.product(1 << 32, (1 << 32) - 1) == SIZE_MAX + 1 - (1 << 32)
    assert SIZES.product(1 << 32, 1 << 32) is None
