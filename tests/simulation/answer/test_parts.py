from __future__ import annotations

import pytest

import pmsim
from tests.machines import scenario

POOLS = {"kind": "pool_churn", "pools": 60, "allocations": 9, "arrival": {"poisson": "20000/s"}}
NOISE = {"kind": "irq_off_noise", "cpus": [1], "rate": "50000/s",
         "length": {"dist": "exponential", "scale": "2us"}}  # fmt: skip
MS = 10**9


@pytest.fixture(scope="module")
def run() -> pmsim.Result:
    measure = {"timeline": "100us", "warmup": "1ms"}
    return pmsim.run(scenario(POOLS, NOISE, duration="4ms", measure=measure, replications=2))


def test_both_parts_together_lost_what_the_whole_run_did(run: pmsim.Result) -> None:
    lost = [
        MS * one["lost_share_before"] + 3 * MS * one["lost_share_after"]
        for one in run.summary["transients"]
    ]
    assert sum(lost) * run.summary["cpus"] == pytest.approx(run.summary["cost"]["lost_ps"])


def test_windows_of_workloads_are_no_loss_in_either_part(run: pmsim.Result) -> None:
    windows = run.timeline["windows_ps"].sum()
    assert windows == run.tasks["windows_ps"].sum() > 2 * run.summary["cost"]["irqs_off_ps"] > 0


def test_calls_belong_to_the_part_that_they_began_in(run: pmsim.Result) -> None:
    for number, one in enumerate(run.summary["transients"]):
        calls = run.crosscalls[run.crosscalls["replication"] == number]
        latency = calls["end_ps"] - calls["start_ps"]
        early = calls["start_ps"] < MS
        assert one["broadcasts_before"] == early.sum() > 10
        assert one["broadcasts_after"] == (~early).sum() > 10
        assert one["per_s_before"] == pytest.approx(early.sum() / 1e-3)
        assert one["per_s_after"] == pytest.approx((~early).sum() / 3e-3)
        assert one["latency_mean_ps_before"] == pytest.approx(latency[early].mean())
        assert one["latency_mean_ps_after"] == pytest.approx(latency[~early].mean())


def test_the_parts_are_metrics_of_each_replication(run: pmsim.Result) -> None:
    for row, one in zip(run.replications.itertuples(), run.summary["transients"], strict=True):
        for part in ("before", "after"):
            assert getattr(row, f"{part}_lost_share") == one[f"lost_share_{part}"] > 0
            assert getattr(row, f"{part}_latency_mean_ps") == one[f"latency_mean_ps_{part}"]


def test_where_nothing_is_steady_no_parts_are_told() -> None:
    # Ever more often until the end, as the square of the time: the rate is a ramp.
    times = [f"{round(4_000_000 * (i / 120) ** (1 / 2))}ns" for i in range(1, 121)]
    more = {**POOLS, "pools": len(times), "arrival": {"times": times}}
    result = pmsim.run(scenario(more, duration="4ms", measure={"timeline": "20us"}))
    assert result.summary.as_dict()["transients"] == [{"end_ps": None, "verdict": "still_changing"}]
    assert "lost_share" in result.replications
    assert "after_lost_share" not in result.replications
    assert "after_lost_share" not in result.summary["intervals"]
