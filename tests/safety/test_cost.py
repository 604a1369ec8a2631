"""What the checker costs: time as a part of a run, and memory on the largest machine."""

from __future__ import annotations

import pytest

from benchmarks.checker import MOST_GIB, share, shares, wanted
from benchmarks.memory import LARGE_RUNS, peak_of


@pytest.mark.parametrize("run", LARGE_RUNS)
def test_four_thousand_cpus_are_watched_in_less_than_two_gibibytes(run: str) -> None:
    assert peak_of(run) < MOST_GIB << 20


@pytest.mark.slow
def test_less_than_a_third_of_a_run_is_the_checkers() -> None:
    for name, pairs in shares().items():
        assert share(pairs) < wanted(name), name
