from __future__ import annotations

import pytest

from pmsim.simulation.words.mean_run import time_of, times


@pytest.mark.parametrize(
    ("part_ps", "whole_ps", "runs", "said"),
    [
        (8_610_000, 15_400_000, 1, "8.61 µs of 15.4 µs"),
        (8_610_000, 15_400_000, 2, "4.3 µs of 7.7 µs"),
        (101_920_000, 102_040_000, 1, "102 µs"),  # no 102 of 102
    ],
)
def test_a_part_that_reads_as_the_whole_is_not_told_beside_it(
    part_ps: int, whole_ps: int, runs: int, said: str
) -> None:
    assert time_of(part_ps, whole_ps, runs) == said


@pytest.mark.parametrize(
    ("count", "runs", "said"), [(1, 1, "once"), (3, 1, "3 times"), (1, 5, "0.2 times a run")]
)
def test_what_happened_once_among_several_runs_is_not_told_as_never(
    count: int, runs: int, said: str
) -> None:
    assert times(count, runs) == said
