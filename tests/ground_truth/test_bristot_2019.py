"""Bristot 2019: a static key is patched site by site, and in a batch.

Daniel Bristot de Oliveira turned a key with 56 sites on a two-socket Xeon with 24 CPUs that
compiled a kernel, two jobs each: 168 calls of all CPUs in 57 ms before Linux 5.3, 3 calls in 1.4 ms
since. The numbers of calls follow from the code, and are predicted exactly. What is missing in the
times, the experiment's file says.
"""

from __future__ import annotations

from functools import cache

import pytest

import pmsim


@cache
def points() -> dict[str, dict[str, float]]:
    found = pmsim.reproduce("bristot-2019", "bristot-2019-calls", workers=1).points
    return {
        column: dict(zip(found["experiment"] + " " + found["point"], found[column], strict=True))
        for column in ("raw", "measured")
    }


def ratio(column: str, experiment: str) -> float:
    return (
        points()[column][f"{experiment} site by site"]
        / (points()[column][f"{experiment} in a batch"])
    )


def test_the_numbers_of_calls_are_those_that_were_published() -> None:
    for way in ("site by site", "in a batch"):
        name = f"bristot-2019-calls {way}"
        assert points()["raw"][name] == points()["measured"][name]


def test_the_ratio_of_times_lies_below_that_of_counts() -> None:
    # With T for a call and w for writing to a site the times are 168 (T + w) and 3 T + 168 w, so
    # that any machine's ratio lies between 1 and 56.
    assert ratio("measured", "bristot-2019-calls") == 56
    assert 1 < ratio("raw", "bristot-2019") < 56
    assert 1 < ratio("measured", "bristot-2019") < 56


def test_the_measured_times_are_those_of_slow_calls() -> None:
    one, batch = (
        1000 * points()["measured"][f"bristot-2019 {way}"] for way in ("site by site", "in a batch")
    )
    call = (one - batch) / 165
    assert (call, one / 168 - call) == pytest.approx((337, 2.3), rel=0.02)
