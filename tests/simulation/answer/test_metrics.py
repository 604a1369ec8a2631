from __future__ import annotations

import math
import re

import numpy as np
import pytest

import pmsim
from pmsim.simulation.answer.metrics import (
    HEADLINES,
    METRICS,
    absent,
    column,
    is_metric,
    measure,
    metric_of,
    ordered,
)
from pmsim.simulation.tables.columns import CPU_TIMES
from pmsim.simulation.tables.files import TableFiles
from tests.machines import scenario

MANY = {"kind": "pool_churn", "name": "many", "pools": 120, "allocations": 1, "destroy": False}
POOLS = {"kind": "pool_churn", "name": "pools", "cpu": 1, "pools": 2, "allocations": 9}
WORK = {"kind": "user_work", "name": "victims"}


@pytest.fixture(scope="module")
def result() -> pmsim.Result:
    return pmsim.run(scenario(MANY, POOLS, WORK, duration="20ms", measure={"timeline": "1ms"}))


@pytest.fixture(scope="module")
def values(result: pmsim.Result) -> dict[str, float]:
    return measure(TableFiles(result.path), result.summary)


def test_every_metric_says_its_unit_and_what_it_means() -> None:
    for metric in METRICS.values():
        assert metric.unit in ("ps", "1/s", "1", "B", "B s", "pages")
        assert metric.sentence[:3] == "p99" or metric.sentence[0].isupper()
        assert metric.sentence.endswith(".")
        assert re.fullmatch(r"[a-z0-9][a-z0-9_]*", metric.name)
        assert metric.label
    assert len({metric.sentence for metric in METRICS.values()}) == len(METRICS)


def test_headlines_are_shares_rates_and_latencies() -> None:
    assert HEADLINES == ("lost_share", "broadcasts_per_s", "latency_mean_ps", "latency_p99_ps")


def test_shares_are_those_of_the_accounts(result: pmsim.Result, values: dict[str, float]) -> None:
    cpus = result.cpus
    everything = cpus[[part.name for part in CPU_TIMES]].to_numpy().sum()
    assert values["stolen_share"] == pytest.approx(cpus["stolen_ps"].sum() / everything)
    parts = [values[f"{name}_share"] for name in ("stolen", "spin", "irqs_off", "refill")]
    assert values["awake_share"] == pytest.approx(cpus["awake_ps"].sum() / everything)
    assert values["lost_share"] == pytest.approx(sum(parts) - values["awake_share"])
    assert values["handlers"] == cpus["handlers"].sum()


def test_latencies_and_rates_are_those_of_the_calls(
    result: pmsim.Result, values: dict[str, float]
) -> None:
    latency = result.crosscalls["end_ps"] - result.crosscalls["start_ps"]
    assert values["broadcasts"] == len(latency) > 100
    assert values["broadcasts_per_s"] == pytest.approx(len(latency) / 0.02)
    assert values["latency_mean_ps"] == pytest.approx(latency.mean())
    assert values["latency_max_ps"] == latency.max()
    assert (latency <= values["latency_p99_ps"]).mean() >= 0.99
    causes = result.crosscalls["cause"].astype(str).value_counts().to_dict()
    assert {name: values[column("broadcasts_by_cause", name)] for name in causes} == causes


def test_operations_are_measured_kind_by_kind(
    result: pmsim.Result, values: dict[str, float]
) -> None:
    rows = result.operations
    times = (rows["end_ps"] - rows["start_ps"])[rows["kind"] == "pmalloc_protect_pool"]
    assert values["operation_count[pmalloc_protect_pool]"] == len(times) > 100
    assert values["operation_mean_ps[pmalloc_protect_pool]"] == pytest.approx(times.mean())
    assert values["operation_max_ps[pmalloc_protect_pool]"] == times.max()
    # The smallest value that at least 99 % of them do not exceed.
    assert (
        values["operation_p99_ps[pmalloc_protect_pool]"]
        == np.sort(times)[math.ceil(0.99 * len(times)) - 1]
    )
    assert values["operation_count[pmalloc_destroy_pool]"] == 2
    assert "operation_p99_ps[pmalloc_destroy_pool]" not in values


def test_pools_are_added_up(result: pmsim.Result, values: dict[str, float]) -> None:
    pools = result.pools
    assert values["pool_pages"] == pools["pages"].sum() > 0
    lost = pools["slack"] + pools["wasted"] + pools["relinquished"]
    assert values["pool_lost_bytes"] == lost.sum()


def test_slowdown_is_told_by_workload(result: pmsim.Result, values: dict[str, float]) -> None:
    (work,) = result.summary["user_work"]
    assert values["slowdown[victims]"] == work["slowdown"] > 0


def test_what_a_run_does_not_tell_is_left_out() -> None:
    run = pmsim.run(scenario({"kind": "user_work", "compute": "1ms"}))
    values = measure(TableFiles(run.path), run.summary)
    assert (values["broadcasts"], values["lost_share"], values["failures"]) == (0, 0, 0)
    assert not {"latency_mean_ps", "latency_p99_ps", "pool_pages"} & set(values)


def test_a_later_replication_is_measured_like_the_first() -> None:
    run = pmsim.run(scenario(MANY, replications=3, duration="5ms"))
    measured = [one for name, one in run.summary["intervals"].items() if name == "broadcasts"]
    assert measured[0]["n"] == 3
    transient = [one["broadcasts_after"] for one in run.summary["transients"]]
    assert transient[0] == transient[1] == transient[2]  # nothing is random here


def test_columns_name_their_metric_and_label() -> None:
    assert column("slowdown", "a[b]") == "slowdown[a[b]]"
    assert metric_of("slowdown[a[b]]") == (METRICS["slowdown"], "a[b]")
    assert metric_of("lost_share") == (METRICS["lost_share"], "")
    assert not is_metric("replication")
    with pytest.raises(KeyError):
        metric_of("machine.cpus")


def test_columns_stand_in_the_order_of_declaration() -> None:
    names = {"failures", "operation_mean_ps[b]", "lost_share", "operation_mean_ps[a]"}
    assert ordered(names) == [
        "lost_share", "operation_mean_ps[a]", "operation_mean_ps[b]", "failures"
    ]  # fmt: skip


def test_a_count_that_is_not_mentioned_is_zero_all_else_is_unknown() -> None:
    assert absent("operation_count[vfree]") == 0
    assert absent("broadcasts_by_cause[purge]") == 0
    assert math.isnan(absent("operation_mean_ps[vfree]"))
    assert math.isnan(absent("transient_end_ps"))
