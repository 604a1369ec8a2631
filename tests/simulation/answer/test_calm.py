"""Verdicts on processes whose truth is known, and on series that were told wrong before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.simulation.answer.calm import Calm, calm, foremost

S = 10**12
RUNS = 20
Rng = np.random.Generator
Instants = npt.NDArray[np.float64]
Process = Callable[[Rng], tuple[Instants, float | None]]


def verdict(instants: Instants, duration: float = 1.0) -> Calm:
    """Judge instants in seconds."""
    starts = np.sort((np.asarray(instants, dtype=float) * S).astype(np.int64))
    end = int(duration * S)
    starts = starts[(starts >= 0) & (starts < end)]
    return calm(starts, end, int(starts[-1]) if len(starts) else 0)


def poisson(rng: Rng, rate: float, start: float = 0.0, end: float = 1.0) -> Instants:
    return rng.uniform(start, end, rng.poisson(rate * (end - start)))


def thinned(rng: Rng, rate: Callable[[Instants], Instants], top: float) -> Instants:
    instants = poisson(rng, top)
    return instants[rng.uniform(0, 1, len(instants)) < rate(instants) / top]


def evenly_spaced(rng: Rng) -> tuple[Instants, None]:
    n = int(rng.integers(100, 2000))
    return (np.arange(n) + rng.uniform()) / n, None


def by_chance(rng: Rng) -> tuple[Instants, None]:
    return poisson(rng, rng.uniform(50, 2000)), None


def in_batches(rng: Rng) -> tuple[Instants, None]:
    instants = poisson(rng, rng.uniform(100, 500))
    return np.repeat(instants, rng.integers(1, 7, len(instants))), None


def on_and_off_by_chance(rng: Rng) -> tuple[Instants, None]:
    instants, switches = poisson(rng, rng.uniform(1000, 4000)), rng.exponential(0.01, 400).cumsum()
    return instants[np.searchsorted(switches, instants) % 2 == 0], None


def stepped(rng: Rng) -> tuple[Instants, float]:
    at, rate = rng.uniform(0.1, 0.85), rng.uniform(200, 800)
    after = rate * rng.choice([0.1, 0.3, 3.0, 5.0])
    return np.concatenate([poisson(rng, rate, 0, at), poisson(rng, after, at)]), at


def decaying_to_a_rate(rng: Rng) -> tuple[Instants, None]:
    time, rate = rng.uniform(0.03, 0.12), rng.uniform(100, 400)
    more = rate * rng.uniform(4, 15)
    return thinned(rng, lambda t: rate + more * np.exp(-t / time), rate + more), None


def decaying_to_nothing(rng: Rng) -> tuple[Instants, None]:
    time, rate = rng.uniform(0.02, 0.08), rng.uniform(500, 3000)
    return thinned(rng, lambda t: rate * np.exp(-t / time), rate), None


def burst(rng: Rng) -> tuple[Instants, None]:
    return rng.uniform(0, rng.uniform(0.001, 0.2), rng.integers(10, 300)), None


def ramp(rng: Rng) -> tuple[Instants, None]:
    low, high = rng.uniform(20, 100), rng.uniform(400, 1500)
    first, last = (low, high) if rng.uniform() < 0.5 else (high, low)
    return thinned(rng, lambda t: first + (last - first) * t, high), None


def rhythm(rng: Rng) -> tuple[Instants, float]:
    period = rng.uniform(0.025, 0.12)
    begins = np.arange(rng.uniform(0, period), 1, period)
    begins = begins + rng.normal(0, period * rng.choice([0.0, 0.05, 0.1]), len(begins))
    return (begins[:, None] + np.arange(rng.integers(1, 6)) * 1e-5).ravel(), period


def sparse(rng: Rng) -> tuple[Instants, None]:
    return rng.uniform(0, 1, rng.integers(0, 10)), None


def growing_ever_faster(rng: Rng) -> tuple[Instants, None]:
    rate = rng.uniform(1000, 4000)
    return thinned(rng, lambda t: rate * t * t, rate), None


def in_a_few_clusters(rng: Rng) -> tuple[Instants, None]:
    begins = rng.uniform(0, 1, int(rng.integers(4, 12)))
    return (begins[:, None] + rng.exponential(1e-5, (len(begins), 10)).cumsum(axis=1)).ravel(), None


def on_and_off_by_the_clock(rng: Rng) -> tuple[Instants, float]:
    period, on = rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.6)
    instants = poisson(rng, rng.uniform(1500, 5000))
    return instants[instants % period < on * period], period


def waves(rng: Rng) -> tuple[Instants, float]:
    period = rng.uniform(0.05, 0.12)
    return thinned(rng, lambda t: 1000 + 800 * np.sin(2 * np.pi * t / period), 1800), period


def two_slow_waves(rng: Rng) -> tuple[Instants, None]:
    height, begin = rng.choice([500, 800, 1000]), rng.uniform(0, 1)
    return thinned(rng, lambda t: 1000 + height * np.sin(2 * np.pi * (2 * t + begin)), 2000), None


def ramp_to_a_rate(rng: Rng) -> tuple[Instants, None]:
    end, rate = rng.uniform(0.2, 0.4), rng.uniform(800, 2000)
    return thinned(rng, lambda t: rate * np.minimum(0.1 + 0.9 * t / end, 1), rate), None


CANNOT_TELL = {"too_few", "still_changing"}
KINDS: list[tuple[Process, str, float]] = [
        (evenly_spaced, "steady_from_start", 0.0),
        (by_chance, "steady_from_start", 0.0),
        (in_batches, "steady_from_start", 0.0),
        (on_and_off_by_chance, "steady_from_start", 0.0),
        (stepped, "steady_from", 0.05),
        (decaying_to_a_rate, "steady_from", 0.0),
        (decaying_to_nothing, "silent_from", 0.0),
        (burst, "silent_from", 0.0),
        (ramp, "still_changing", 0.0),
        (growing_ever_faster, "still_changing", 0.0),
        (in_a_few_clusters, "too_few", 0.0),
        (rhythm, "periodic", 0.05),
        (sparse, "too_few", 0.0),
        (on_and_off_by_the_clock, "periodic", 0.05),
        (waves, "periodic", 0.05),
        (two_slow_waves, "still_changing", 0.0),
        (ramp_to_a_rate, "steady_from", 0.0),
]  # fmt: skip


@cache
def judged(process: Process) -> list[tuple[Calm, float | None]]:
    made = (process(np.random.default_rng([seed, 1997])) for seed in range(RUNS))
    return [(verdict(instants), known) for instants, known in made]


def test_of_all_kinds_together_95_in_100_are_judged_rightly_and_one_wrongly() -> None:
    said = [(one.verdict, truth) for process, truth, _ in KINDS for one, _ in judged(process)]
    right = sum(told == truth for told, truth in said)
    wrong = sum(told not in {truth, *CANNOT_TELL} for told, truth in said)
    assert right >= 0.95 * len(said)
    assert wrong <= 0.01 * len(said)


@pytest.mark.parametrize(("process", "truth", "near"), KINDS)
def test_processes_of_known_truth_are_judged_rightly(
    process: Process, truth: str, near: float
) -> None:
    said: Counter[str] = Counter()
    close = 0
    for found, known in judged(process):
        said[found.verdict] += 1
        if found.verdict == truth and known is not None:
            told = found.period_ps if truth == "periodic" else found.at_ps
            assert told is not None
            close += abs(told / S - known) <= near * (known if truth == "periodic" else 1.0)
    wrong = RUNS - said[truth] - sum(said[one] for one in CANNOT_TELL - {truth})
    assert said[truth] >= 0.85 * RUNS, said
    assert wrong <= 0.1 * RUNS, said
    if near:
        assert close >= 0.8 * said[truth]


@pytest.mark.parametrize("n", [20, 40, 60, 90])
@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_a_rhythm_is_one_however_often_it_is_seen(n: int, jitter: float) -> None:
    # A purge each 20 ms, alone or by threes: a period is a process's property, not a run's.
    period = 0.02
    rng = np.random.default_rng(n)
    purges = (np.arange(8 * n) + 0.5 + rng.uniform(-jitter, jitter, 8 * n)) * period
    for longer in (1, 2, 8):
        for instants in (purges, (purges[:, None] + np.arange(3) * 1e-5).ravel()):
            found = verdict(instants, longer * n * period)
            assert (found.verdict, found.at_ps) == ("periodic", 0)
            assert found.period_ps is not None
            assert abs(found.period_ps / S - period) <= 0.1 * period


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (lambda rng: poisson(rng, 500, 0, 4), "steady_from_start"),
        (lambda rng: np.arange(rng.uniform(), 4000) / 1000, "steady_from_start"),
        (lambda rng: np.concatenate([poisson(rng, 900, 0, 0.3), poisson(rng, 200, 0.3, 4)]),
         "steady_from"),
        (lambda rng: rng.uniform(0, 0.1, 100), "silent_from"),
        (lambda rng: np.sqrt(poisson(rng, 500, 0, 16)), "still_changing"),
        (lambda rng: np.arange(rng.uniform(), 80) / 20, "periodic"),
        (lambda rng: poisson(rng, 2, 0, 4), "too_few"),
    ],
)  # fmt: skip
def test_a_verdict_stays_where_the_run_is_doubled(
    make: Callable[[Rng], Instants], truth: str
) -> None:
    made = [make(np.random.default_rng([seed, 11])) for seed in range(RUNS // 2)]
    said = [[verdict(one, duration).verdict for duration in (1, 2, 4)] for one in made]
    assert sum(told == [truth] * 3 for told in said) >= 0.9 * len(said)


def test_a_steady_rate_is_told_only_where_its_doubling_would_have_been_seen() -> None:
    # The halves of n instants by chance differ by sqrt(n), those of a doubled rate by n / 3: seen
    # with 99 % where 2.33 sqrt(n) < n / 3, from 49 on. Evenly spaced ones differ by nothing.
    def said(n: int) -> Counter[str]:
        rngs = (np.random.default_rng([seed, n]) for seed in range(RUNS))
        return Counter(verdict(rng.uniform(0, 1, n)).verdict for rng in rngs)

    assert said(25)["steady_from_start"] <= 0.1 * RUNS
    assert said(150)["steady_from_start"] >= 0.8 * RUNS


@given(
    st.lists(st.integers(0, S - 1), max_size=60, unique=True),
    st.integers(1, 10**6),
    st.integers(1, 50),
)
def test_the_verdict_does_not_hang_on_the_unit_of_time(
    starts: list[int], factor: int, longer: int
) -> None:
    instants = np.sort(np.array(starts, dtype=np.int64))
    last = int(instants[-1]) if starts else 0
    one = calm(instants, S * 2, last)
    if one.verdict in {"silent_from", "too_few"}:
        assert calm(instants, S * 2 + longer, last).verdict == one.verdict
    scaled = calm(instants * factor, S * 2 * factor, last * factor)
    assert scaled.verdict == one.verdict


def test_a_dozen_to_fourteen_in_each_interval_are_steady() -> None:
    # What piggin-2008 does: 12, 13, 14, 13, ... shootdowns in each of a hundred intervals.
    counts = [12 + i % 3 for i in range(100)]
    instants = np.concatenate([(i + (np.arange(n) + 0.5) / n) / 100 for i, n in enumerate(counts)])
    assert verdict(instants) == {
        "verdict": "steady_from_start", "at_ps": 0, "period_ps": None,
    }  # fmt: skip


def test_five_in_each_interval_from_some_instant_on_are_steady_from_there() -> None:
    # What exhaustion-32bit does: many until 1.9 s, then five in each interval, to 4 s.
    late = np.arange(1.9, 4, 0.004)
    early = np.linspace(0, 1.9, 4000, endpoint=False)
    found = verdict(np.concatenate([early, late]), 4.0)
    assert found.verdict == "steady_from"
    assert found.at_ps is not None
    assert abs(found.at_ps / S - 1.9) < 0.05


@pytest.mark.parametrize("duration", [0.5, 1.0, 2.0])
def test_a_purge_each_102_ms_is_a_rhythm_however_long_the_run_is(duration: float) -> None:
    # What thread-churn does; of half a second only four purges are seen, too few for a rhythm.
    found = verdict(np.arange(0.022, duration, 0.102), duration)
    if duration == 0.5:
        assert found.verdict in {"periodic", "too_few"}
    else:
        assert (found.verdict, found.period_ps) == ("periodic", 102 * S // 1000)


@pytest.mark.parametrize("n", range(5))
def test_of_fewer_than_five_shootdowns_nothing_is_said(n: int) -> None:
    assert verdict(np.arange(n) * 1e-6).verdict == "too_few"


def test_a_silence_counts_from_the_end_of_the_last_shootdown() -> None:
    starts = np.arange(10, dtype=np.int64) * 1_000
    assert calm(starts, 10**6, 9_500).at_ps == 9_500
    # Three times the longest gap, 1,000, from the last end on, and a tenth of the run.
    assert calm(starts, 12_500, 9_500).verdict == "silent_from"
    assert calm(starts, 12_499, 9_500).verdict != "silent_from"


def test_the_verdict_on_most_replications_counts_at_the_median_of_their_instants() -> None:
    found = [Calm("too_few"), *(Calm("steady_from", at) for at in (5, 9, 7))]
    assert foremost(found) == Calm("steady_from", 7)
    assert foremost([Calm("periodic", 0, 4), Calm("too_few")]) == Calm("periodic", 0, 4)
    assert foremost([]) == Calm("too_few")
