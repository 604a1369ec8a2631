"""Predictions with constants from their ranges."""

from __future__ import annotations

from dataclasses import replace

import pytest

import pmsim
from pmsim.reproduction.experiment import load_experiment
from pmsim.reproduction.ranges import DRAWS, LEVEL, other_constants
from pmsim.reproduction.scores import coverage


def test_of_nine_draws_a_tenth_lies_between_with_four_fifths() -> None:
    assert (DRAWS, LEVEL) == (9, 0.8)


def test_a_draw_gives_a_constant_one_value_in_all_experiments_and_the_next_another() -> None:
    first, second = load_experiment("amit-2019-before"), load_experiment("amit-2019-after")
    draws = [dict(other_constants(first, first.points[0], draw)) for draw in (0, 1)]
    path = "machine.costs.ipi.entry"
    assert dict(other_constants(second, second.points[0], 0))[path] == draws[0][path]
    assert draws[0][path] != draws[1][path]


def test_intervals_hold_what_lies_between_the_least_and_the_largest_prediction() -> None:
    found = pmsim.reproduce("amit-2019-before", workers=1, intervals=True)
    (counted,) = [one for one in found.scores if one.counted]
    assert counted.between is not None
    low, high = counted.between
    assert low < high
    held = found.coverage
    assert held is not None
    assert (held.points, held.held) == (1, int(low <= counted.measured <= high))
    outside = replace(counted, measured=2 * high)
    inside = replace(counted, measured=(low + high) / 2)
    both = coverage([outside, inside])
    assert both is not None
    assert (both.points, both.held) == (2, 1)
    assert pmsim.reproduce("amit-2019-before", workers=1).coverage is None


@pytest.mark.parametrize("draw", range(DRAWS))
def test_what_a_point_gives_itself_is_not_drawn(draw: int) -> None:
    experiment = load_experiment("amit-2019-after")
    point = experiment.points[0]
    name = next(iter(point.runs))
    given = replace(point, runs={name: (*point.runs[name], *other_constants(experiment, point, 0))})
    assert other_constants(experiment, given, draw) == ()
