from __future__ import annotations

import numpy as np
import pytest

import pmsim
from pmsim.confidence import mean_interval
from pmsim.simulation.answer.estimates import estimate, over_replications
from tests.machines import scenario

POOLS = {"kind": "pool_churn", "pools": 4, "allocations": 9, "arrival": {"poisson": "2000/s"}}
NOISE = {"kind": "irq_off_noise", "cpus": [1], "rate": "50000/s",
         "length": {"dist": "exponential", "scale": "2us"}}  # fmt: skip


def test_means_get_t_and_quantiles_and_extremes_a_bootstrap() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 6.0]
    assert estimate("latency_mean_ps", values, seed=0) == mean_interval(values)
    assert estimate("latency_p99_ps", values, seed=0).method == "bootstrap"
    assert estimate("operation_max_ps[vfree]", values, seed=0).method == "bootstrap"


def test_bootstraps_go_by_the_seed_and_the_metric_alone() -> None:
    values = np.random.default_rng(1).exponential(size=20)
    first = estimate("latency_p99_ps", values, seed=1)
    assert estimate("latency_p99_ps", values, seed=1) == first
    assert estimate("latency_p99_ps", values, seed=2) != first
    assert estimate("latency_p50_ps", values, seed=1) != first


def test_a_count_that_some_replications_do_not_mention_is_zero_there() -> None:
    rows = [{"operation_count[vfree]": 10.0}, {}, {}, {}, {"operation_mean_ps[vfree]": 3.0}]
    found = over_replications(rows, seed=0)
    assert (found["operation_count[vfree]"]["mean"], found["operation_count[vfree]"]["n"]) == (2, 5)
    assert found["operation_mean_ps[vfree]"]["method"] == "not enough data"
    assert found["operation_mean_ps[vfree]"]["n"] == 1


def test_every_mean_of_a_result_with_replications_has_its_interval() -> None:
    summary = pmsim.run(scenario(POOLS, NOISE, replications=6)).summary
    found = summary["intervals"]
    for kind in (one["kind"] for one in summary["operations"]):
        one = found[f"operation_mean_ps[{kind}]"]
        assert one["low"] <= one["mean"] <= one["high"]
        assert one["n"] == 6
    assert found["latency_mean_ps"]["method"] == "t"
    assert found["lost_share"]["low"] < found["lost_share"]["high"]


def test_fewer_than_five_replications_are_not_enough_data() -> None:
    found = pmsim.run(scenario(POOLS, NOISE, replications=4)).summary["intervals"]
    assert {one["method"] for one in found.values()} == {"not enough data"}
    assert {one["low"] for one in found.values()} == {None}


def test_a_single_run_tells_by_batch_means_from_the_end_of_its_transient() -> None:
    many = {**POOLS, "pools": 2000}
    run = pmsim.run(
        scenario(many, NOISE, duration="400ms", measure={"timeline": "1ms", "warmup": "50ms"})
    )
    found = run.summary["intervals"]
    steady = {name: one for name, one in found.items() if one["method"] == "batch means"}
    assert set(steady) == {"after_per_s", "after_lost_share", "after_latency_mean_ps"}
    late = run.crosscalls[run.crosscalls["start_ps"] >= 50 * 10**9]
    assert steady["after_latency_mean_ps"]["n"] == len(late)
    mean = (late["end_ps"] - late["start_ps"]).mean()
    assert steady["after_latency_mean_ps"]["mean"] == pytest.approx(mean)
    assert steady["after_per_s"]["n"] == 350
    assert steady["after_per_s"]["mean"] == pytest.approx(len(late) / 0.35, rel=0.01)
    (after,) = run.summary["transients"]
    assert steady["after_lost_share"]["mean"] == pytest.approx(after["lost_share_after"])


def test_a_single_run_knows_no_mean_of_the_whole_of_it() -> None:
    run = pmsim.run(scenario(POOLS, NOISE))
    found = run.summary["intervals"]
    whole = {name: one for name, one in found.items() if not name.startswith("after_")}
    assert {one["method"] for one in whole.values()} == {"not enough data"}
    assert found["lost_share"]["mean"] == run.summary["cost"]["share"] > 0
    assert found["lost_share"]["n"] == 1


def test_a_run_that_falls_silent_has_no_steady_part_to_know_means_of() -> None:
    policy = {"kind": "policy_load", "allocations": 64, "size": "512B"}
    found = pmsim.run(scenario(policy, duration="10ms")).summary["intervals"]
    assert {one["n"] for one in found.values()} == {1}
