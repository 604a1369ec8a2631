"""No protocol takes much longer to simulate than calls by interrupts; see `make bench`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.clock import in_turn
from benchmarks.machines import HUGE
from benchmarks.protocols import ALL, ONE, TICKING, TWO, WAYS, Load, Way, seconds
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.topology import Topology

LARGE = Topology(packages=8, cores=28, threads=2)
ROUNDS = 5
MOST = 1.3
"""Times as long, of the fastest of some rounds; `make bench` asks for 1.0, and takes longer."""
BY_TICKS = {"ipi": Way(Shootdown(IPI)), "latr": Way(Shootdown(LATR))}


def fastest(
    ways: Mapping[str, Way], load: Load, calls: int, topology: Topology = LARGE
) -> dict[str, float]:
    """Return the seconds that so many shootdowns take on 448 CPUs or others, each way."""
    runs = [lambda way=way: seconds(way, topology, load, calls) for way in ways.values()]
    return {
        name: min(times) for name, times in zip(ways, in_turn(*runs, rounds=ROUNDS), strict=True)
    }


@pytest.mark.parametrize("pages", [ONE, ALL])
def test_shootdowns_while_nothing_else_goes_on_take_as_long_as_calls_on_two_cpus(
    pages: int,
) -> None:
    calls, load = 1000, Load(1, pages)
    way = Way(Shootdown(IPI))
    (on_two,) = in_turn(lambda: seconds(way, TWO, load, calls), rounds=ROUNDS)
    for name, taken in fastest(WAYS, load, calls).items():
        assert taken < MOST * min(on_two), name


@pytest.mark.parametrize("initiators", [2, 4])
def test_shootdowns_that_meet_take_as_long_as_calls_that_do(initiators: int) -> None:
    times = fastest(WAYS, Load(initiators), 150)
    for name, taken in times.items():
        assert taken < MOST * times[IPI.name], name


CALLS = {1: 4000, 2: 100}
"""So many that calls are few that are kept whole: ticks make them of many lengths."""


@pytest.mark.parametrize("name", [name for name, load in TICKING.items() if not load.frees])
def test_calls_on_cpus_that_tick_take_as_long_as_on_others(name: str) -> None:
    load = TICKING[name]
    ipi, ticking = fastest(BY_TICKS, load, CALLS[load.initiators], HUGE).values()
    assert ticking < MOST * ipi


@pytest.mark.parametrize("name", [name for name, load in TICKING.items() if load.frees])
def test_a_free_that_is_noted_takes_as_long_as_one_that_is_told_at_once(name: str) -> None:
    load = TICKING[name]
    ipi, ticking = fastest(BY_TICKS, load, 300, TWO if load.is_full else LARGE).values()
    assert ticking < MOST * ipi
