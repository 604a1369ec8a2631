from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import pmsim
from pmsim.errors import ResultError
from pmsim.experiments import comparison
from pmsim.experiments.arms import Arm, arms_of
from pmsim.experiments.comparison import Comparison, Difference, compare
from pmsim.simulation.result.manifest import made_by
from tests.experiments.small import entry, small
from tests.machines import scenario

DEAR = {"machine.costs.ipi.entry": "2us"}


def arm(name: str, values: Sequence[float], *, seed: int = 1, metric: str = "lost_share") -> Arm:
    rows = pd.DataFrame({metric: values}, index=pd.RangeIndex(len(values), name="replication"))
    return Arm(name, seed, rows, made_by())


def difference(base: Sequence[float], other: Sequence[float], **keys: object) -> Difference:
    """Compare two arms that share their draws unless one has another seed."""
    metric = str(keys.pop("metric", "lost_share"))
    found = comparison._difference(
        arm("A", base, metric=metric), arm("B", other, metric=metric, **keys), metric, 0.95
    )
    assert found is not None
    return found


def test_pairs_are_compared_one_by_one() -> None:
    # Differences 1, 2, 3, 4, 5: mean 3, half width 2.776 x sqrt(2.5 / 5) = 1.963.
    found = difference([10, 40, 20, 50, 30], [11, 42, 23, 54, 35])
    assert found.paired
    assert found.difference.mean == pytest.approx(3)
    assert found.difference.low == pytest.approx(3 - 1.963, rel=1e-3)
    assert found.difference.high == pytest.approx(3 + 1.963, rel=1e-3)
    assert found.certain
    assert (found.base, found.other, found.relative) == (30, 33, pytest.approx(0.1))


def test_without_pairing_the_same_numbers_say_nothing() -> None:
    found = difference([10, 40, 20, 50, 30], [11, 42, 23, 54, 35], seed=2)
    assert not found.paired
    assert not found.certain
    # Welch: variances 250 and 280, both of 5; the standard error is sqrt(50 + 56) = 10.3, and t
    # for nearly 8 degrees of freedom is 2.306.
    half = (found.difference.high - found.difference.low) / 2
    assert half == pytest.approx(2.306 * 106**0.5, rel=0.01)


def test_only_replications_that_both_have_are_paired() -> None:
    found = difference([1, 2, 3, 4, 5, 6, 7], [2, 3, np.nan, 5, 6, 8])
    assert found.difference.n == 5
    assert found.base == np.mean([1, 2, 4, 5, 6])


def test_the_effect_is_cohen_s_d() -> None:
    # Both arms have variance 2.5; means differ by 3.
    found = difference([1, 2, 3, 4, 5], [4, 5, 6, 7, 8])
    assert found.effect == pytest.approx(3 / 2.5**0.5)
    assert difference([1] * 5, [2] * 5).effect is None
    assert difference([1], [2]).effect is None
    thirds = [sum([0.1] * 3), 0.3, 0.1 + 0.2, 0.3, 0.3]  # three tenths, but for rounding
    assert difference(thirds, [0.7] * 5).effect is None


@pytest.mark.parametrize(
    ("base", "other", "sentence"),
    [
        (
            [0.010, 0.011, 0.012, 0.013, 0.014], [0.015, 0.0165, 0.018, 0.0195, 0.021],
            "CPU time lost rises by 50 %, from 1.2 % in A to 1.8 % in B (95 % interval of the"
            " difference +0.502 to +0.698 points, 5 pairs).",
        ),
        (
            [0.02] * 5, [0.01, 0.01, 0.01, 0.01, 0.01],
            "CPU time lost falls by 50 %, from 2 % in A to 1 % in B (95 % interval of the"
            " difference -1 points, 5 pairs).",
        ),
        (
            [0.01, 0.02, 0.01, 0.02, 0.01], [0.02, 0.01, 0.01, 0.02, 0.01],
            "CPU time lost does not change measurably: 1.4 % in A, 1.4 % in B (95 % interval of the"
            " difference -0.878 to +0.878 points, 5 pairs).",
        ),
        ([0.01] * 5, [0.01] * 5, "CPU time lost stays exactly the same: 1 % in A and in B."),
        (
            [0.01] * 4, [0.02] * 4,
            "CPU time lost: 1 % in A, 2 % in B (4 pairs, no interval).",
        ),
    ],
)  # fmt: skip
def test_a_sentence_can_be_quoted(
    base: Sequence[float], other: Sequence[float], sentence: str
) -> None:
    assert str(difference(base, other)) == sentence


def test_a_rise_from_nothing_has_no_per_cent() -> None:
    text = str(difference([0.0] * 5, [1.0] * 5, metric="failures"))
    assert "failures rise, from 0 in A to 1 in B" in text


def test_a_labelled_metric_names_its_label() -> None:
    text = str(difference([1e6] * 5, [2e6] * 5, metric="operation_mean_ps[vfree]"))
    assert text.startswith(
        "mean time of an operation (vfree) rises by 100 %, from 1 µs in A to 2 µs"
    )


@pytest.fixture(scope="module")
def compared() -> Comparison:
    results = [
        pmsim.run(one) for one in (small(replications=6), small(replications=6).with_(**DEAR))
    ]
    return pmsim.compare(*results)


def test_dearer_handlers_are_found_to_cost_more(compared: Comparison) -> None:
    (lost,) = compared.frame.query("metric == 'stolen_share'").itertuples()
    assert 0 < lost.low < lost.difference < lost.high
    assert lost.paired
    assert any(
        "shootdowns stay exactly the same" in text for text in compared.sentences("broadcasts")
    )


def test_pairing_makes_small_differences_visible() -> None:
    def stolen(seed: int) -> Difference:
        slightly = small(replications=6, seed=seed).with_(**{"machine.costs.ipi.entry": "220ns"})
        found = pmsim.compare(pmsim.run(small(replications=6)), pmsim.run(slightly))
        return next(one for one in found.differences if one.metric == "stolen_share")

    together, apart = stolen(seed=5), stolen(seed=77)
    assert together.paired
    assert together.certain
    assert not apart.paired
    assert not apart.certain


def test_headlines_are_spoken_of_unless_others_are_asked_for(compared: Comparison) -> None:
    assert 1 <= len(compared.sentences()) <= 4
    assert len(compared.sentences("failures", "duration_ps")) == 2
    assert compared.sentences()[0] in compared._repr_html_().replace("&#x27;", "'")


def test_each_cell_of_a_sweep_is_an_arm(tmp_path) -> None:
    sweep = pmsim.sweep(small(), entry("1us", "2us", "3us"), tmp_path, replications=5, workers=1)
    found = compare(sweep)
    assert found.base == "machine.costs.ipi.entry=1us"
    assert found.frame["arm"].unique().tolist() == [
        "machine.costs.ipi.entry=2us", "machine.costs.ipi.entry=3us"
    ]  # fmt: skip
    assert found.frame["paired"].all()
    assert compare(str(tmp_path)).frame.equals(found.frame)


def test_cells_of_other_seeds_are_not_paired(tmp_path) -> None:
    sweep = pmsim.sweep(small(), {"seed": [1, 2]}, tmp_path, replications=5, workers=1)
    assert not compare(sweep).frame["paired"].any()


def test_scenarios_are_run(tmp_path) -> None:
    found = compare(small(), small().with_(**DEAR), replications=5, workers=1)
    whole = found.frame[~found.frame["metric"].str.startswith(("before_", "after_", "transient"))]
    assert set(whole["n"]) <= {5}
    assert found.base == "test (1)"


def test_results_are_found_by_their_directory(tmp_path) -> None:
    for name in ("a", "b"):
        pmsim.run(small(replications=2), tmp_path / name)
    names = [one.name for one in arms_of([tmp_path / "a", str(tmp_path / "b")])]
    assert names == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_one_side_alone_is_no_comparison() -> None:
    with pytest.raises(ResultError, match="two sides or more"):
        compare(pmsim.run(small()))


def test_what_is_nothing_is_told(tmp_path) -> None:
    with pytest.raises(ResultError, match="no result, no sweep and no scenario 'nowhere'"):
        compare("nowhere", "elsewhere")


def test_a_metric_that_one_side_does_not_know_is_left_out() -> None:
    silent = pmsim.run(scenario({"kind": "user_work", "compute": "1ms"}, replications=2))
    loud = pmsim.run(small(replications=2))
    metrics = set(compare(loud, silent).frame["metric"])
    assert "lost_share" in metrics
    assert "latency_mean_ps" not in metrics


def test_arms_of_other_programs_are_told_apart() -> None:
    base, same = arm("A", [1] * 5), arm("B", [2] * 5)
    other = replace(same, name="C", program={**made_by(), "code_sha256": "another"})
    older = replace(same, name="D", program={"versions": {**made_by()["versions"], "numpy": "1"}})
    assert list(comparison._doubts(base, [same])) == []
    code, version = comparison._doubts(base, [same, other, older])
    assert code.startswith("A was made by another program than C (two states of pmsim's own code)")
    assert version.startswith("A was made by another program than D (numpy ")
