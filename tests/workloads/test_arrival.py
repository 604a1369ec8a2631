from __future__ import annotations

from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

import pmsim
from pmsim.errors import ProgramError
from pmsim.kernel.costs import KernelCosts
from pmsim.units import MS, S
from pmsim.workloads.arrival import Arrival, Burst
from pmsim.workloads.timed import MOST_AT_ONCE
from tests.machines import scenario


def first(arrival: Arrival, n: int, seed: int = 1) -> list[int]:
    return list(islice(arrival.instants(np.random.default_rng(seed)), n))


def test_every_starts_at_zero_and_keeps_its_distance() -> None:
    assert first(Arrival(every="500ms"), 3) == [0, 500 * MS, 1000 * MS]


def test_a_burst_comes_at_one_instant_again_and_again() -> None:
    arrival = Arrival(burst=Burst(size=2, every="10s"))
    assert first(arrival, 5) == [0, 0, 10 * S, 10 * S, 20 * S]


def test_times_are_taken_as_they_are_and_end() -> None:
    assert first(Arrival(times=("1ms", "1ms", "3ms")), 10) == [MS, MS, 3 * MS]


def test_times_must_ascend() -> None:
    with pytest.raises(ValidationError, match="entry 3 of times is before"):
        Arrival(times=("1ms", "2ms", "1ms"))


@pytest.mark.parametrize("given", [{}, {"every": "1s", "poisson": "1/s"}])
def test_an_arrival_has_exactly_one_of_its_keys(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Arrival(**given)


def test_poisson_gaps_have_the_mean_and_deviation_of_their_rate() -> None:
    # Exponential gaps of mean m: the mean of n has a deviation of m / sqrt(n), so six of them
    # leave one seed in a billion outside.
    n, mean = 10_000, S // 2
    gaps = np.diff([0, *first(Arrival(poisson="2/s"), n)])
    assert abs(gaps.mean() - mean) < 6 * mean / n**0.5
    assert abs(gaps.std() - mean) < 6 * mean * (2 / n) ** 0.5
    assert gaps.min() >= 0


def test_poisson_arrivals_depend_on_the_stream_alone() -> None:
    arrival = Arrival(poisson="2/s")
    assert first(arrival, 5, seed=7) == first(arrival, 5, seed=7)
    assert first(arrival, 5, seed=7) != first(arrival, 5, seed=8)


def test_fewer_times_than_wanted_are_refused() -> None:
    arrival = Arrival(times=("1ms", "2ms"))
    arrival.check_count(2, "modules")
    with pytest.raises(ValueError, match="3 modules cannot arrive at 2 times"):
        arrival.check_count(3, "modules")


FREE = {
    "topology": {"cores": 2},
    "costs": {
        "ipi": {"queue": "1ps", "entry": "1ps"},
        "kernel": dict.fromkeys((one.name for one in fields(KernelCosts)), "0ps"),
    },
}
"""A machine on which the kernel's work takes no time."""


def test_a_task_that_does_things_without_end_in_no_time_fails_the_run() -> None:
    churn = {"kind": "user_munmap", "pages": 1}
    free = scenario(churn, duration="1ms").with_(machine=FREE)
    with pytest.raises(ProgramError, match="has done 100,000 changes in no time at all"):
        pmsim.run(free)


def test_so_many_things_in_no_time_are_no_fault_where_they_have_an_end() -> None:
    churn = {"kind": "user_munmap", "pages": 1, "changes": MOST_AT_ONCE}
    result = pmsim.run(scenario(churn, duration="1ms").with_(machine=FREE))
    assert bool(result.tasks["finished"].all())


def test_changes_of_a_pool_that_holds_nothing_end_at_once() -> None:
    writes = {"kind": "rare_writes", "size": "1TiB", "pool": {"mode": "wr"}}
    kernel = {"profile": "linux-6.1-x86_64", "pmalloc": "prmem"}
    result = pmsim.run(scenario(writes, duration="1ms", kernel=kernel))
    assert bool(result.tasks["finished"].all())
    assert result.faults["kind"].tolist() == ["pmalloc"]


def test_a_cpu_does_nothing_more_often_than_each_nanosecond() -> None:
    burst = {"size": 1, "every": "1ps"}
    for given in ({"every": "999ps"}, {"poisson": "1.1e9/s"}, {"burst": burst}):
        with pytest.raises(ValidationError, match=r"is too (little|much) here"):
            Arrival(**given)
    assert first(Arrival(every="1ns"), 2) == [0, 1000]
