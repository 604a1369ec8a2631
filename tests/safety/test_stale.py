"""Which pages and CPUs are stale: generations, no sets."""

from __future__ import annotations

import numpy as np
import pytest

from pmsim.kernel.safety.stale import StalePages


@pytest.mark.parametrize("shootdowns", [1, 2, 63, 64, 65, 130])
def test_a_cpu_has_dropped_all_up_to_the_last_shootdown_that_told_it(shootdowns: int) -> None:
    stale = StalePages(3)
    for number in range(1, shootdowns + 1):
        assert stale.mark(number, 1) == number
        stale.dropped_everything(number, np.array([0, number % 2, 1], np.uint8))
    even = shootdowns // 2 * 2
    assert [stale.current_on(cpu) for cpu in range(3)] == [shootdowns, even, 0]
    assert stale.stale_on(shootdowns).tolist() == [False, even < shootdowns, True]
    stale.dropped_everything(shootdowns)
    assert not stale.stale_on(shootdowns).any()
