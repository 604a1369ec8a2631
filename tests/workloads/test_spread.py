from __future__ import annotations

import math

import numpy as np
import pytest

from pmsim.workloads.spread import Spread, draw_length

N = 4000


def draws(spread: Spread) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.array([draw_length(spread, rng) for _ in range(N)])


# Quantiles of each distribution in closed form or from tables, for a scale of 10 us.
@pytest.mark.parametrize(
    ("dist", "share", "quantile"),
    [
        ("exponential", 0.5, 1e7 * math.log(2)),
        ("exponential", 0.9, 1e7 * math.log(10)),
        ("half-normal", 0.5, 1e7 * 0.67449),
        ("half-normal", 0.9, 1e7 * 1.64485),
        ("uniform", 0.5, 0.5e7),
        ("uniform", 0.9, 0.9e7),
        ("lognormal", 0.5, 1e7),
        ("lognormal", 0.9, 1e7 * math.exp(1.28155)),
    ],
)
def test_draws_have_the_quantiles_of_the_distribution_that_is_named(
    dist: str, share: float, quantile: float
) -> None:
    # A count of draws is binomial; six deviations leave one seed in a billion outside.
    below = (draws(Spread(dist=dist, scale="10us")) < quantile).mean()
    assert abs(below - share) < 6 * (share * (1 - share) / N) ** 0.5


def test_longer_draws_are_cut() -> None:
    lengths = draws(Spread(dist="exponential", scale="10us", at_most="12us"))
    assert lengths.max() == 12_000_000
    assert (lengths < 12_000_000).any()


def test_a_fixed_length_draws_nothing() -> None:
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    assert draw_length(5000, rng) == 5000
    assert rng.bit_generator.state == before
