"""No protocol takes much longer to simulate than calls by interrupts; see `make bench`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.clock import in_turn
from benchmarks.machines import HUGE
from benchmarks.protocols import ALL, ONE, TWO, WAYS, WAYS_TO_CALL, WAYS_TO_FREE, Way, seconds
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.topology import Topology

LARGE = Topology(packages=8, cores=28, threads=2)
ROUNDS = 5
MOST = 2.0
"""Times as long: a look at each target where none is needed takes five times as long on 448 CPUs,
and `make bench` asks for 1.0. The noise of the fastest of five rounds is far below."""


def fastest(
    ways: Mapping[str, Way],
    initiators: int,
    calls: int,
    pages: int,
    *,
    topology: Topology = LARGE,
    frees: bool = False,
) -> dict[str, float]:
    """Return the seconds that so many shootdowns take on 448 CPUs or others, each way."""
    runs = [
        lambda way=way: seconds(way, topology, initiators, calls, pages, frees=frees)
        for way in ways.values()
    ]
    return {
        name: min(times) for name, times in zip(ways, in_turn(*runs, rounds=ROUNDS), strict=True)
    }


@pytest.mark.parametrize("pages", [ONE, ALL])
def test_shootdowns_while_nothing_else_goes_on_take_as_long_as_calls_on_two_cpus(
    pages: int,
) -> None:
    calls = 1000
    way = Way(Shootdown(IPI))
    (on_two,) = in_turn(lambda: seconds(way, TWO, 1, calls, pages), rounds=ROUNDS)
    for name, taken in fastest(WAYS, 1, calls, pages).items():
        assert taken < MOST * min(on_two), name


@pytest.mark.parametrize("initiators", [2, 4])
def test_shootdowns_that_meet_take_as_long_as_calls_that_do(initiators: int) -> None:
    times = fastest(WAYS, initiators, 150, ONE)
    for name, taken in times.items():
        assert taken < MOST * times[IPI.name], name


def test_a_free_that_is_noted_takes_as_long_as_one_that_is_told_at_once() -> None:
    times = fastest(WAYS_TO_FREE, 1, 300, ONE, frees=True)
    assert times["latr"] < MOST * times[IPI.name]


@pytest.mark.parametrize("pages", [ONE, ALL])
def test_a_call_on_cpus_that_tick_takes_as_long_as_on_others(pages: int) -> None:
    # Every other tick meets a call here. Where each CPU was looked at it took fifty times as long.
    ipi, ticking = fastest(WAYS_TO_CALL, 1, 4000, pages, topology=HUGE).values()
    assert ticking < MOST * ipi


def test_calls_that_meet_on_cpus_that_tick_take_as_long_as_on_others() -> None:
    ipi, ticking = fastest(WAYS_TO_CALL, 2, 150, ONE).values()
    assert ticking < MOST * ipi
