"""Isolated CPUs on the round machine: a handler is entry 200 ns, full flush 300 ns, exit 100 ns."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import pmsim
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.words.sentences import sentences
from pmsim.units import MS
from tests.machines import machine, scenario
from tests.summaries import told_of, transient

DAEMON = {"kind": "kernel_flush", "name": "daemon", "pages": "all", "flushes": 10}
EVERY = {**DAEMON, "arrival": {"every": "1ms"}}
WORK = {"kind": "user_work", "name": "dpdk", "cpus": "isolated"}


def run(*workloads: Any, isolated: str = "2-3", **keys: Any) -> pmsim.Result:
    where = machine() | {"isolated": isolated}
    return pmsim.run(scenario(*workloads, machine=where, **{"duration": "20ms", **keys}))


def budget(**limits: str) -> dict[str, Any]:
    return {"budget": {"isolated": limits}}


@pytest.fixture(scope="module")
def flushed() -> pmsim.Result:
    return run(EVERY, WORK)


def test_each_flush_interrupts_each_isolated_cpu_for_one_handler(flushed: pmsim.Result) -> None:
    found = flushed.summary.isolated
    assert found is not None
    assert (found.cpus, found.interrupts) == (2, 20)
    assert (found.fewest, found.most) == (10, 10)
    assert found.per_s == pytest.approx(10 / 0.020)
    assert found.per_day == pytest.approx(500 * 86_400)
    assert found.length_ps.p50 == found.length_ps.max == found.length_ps.mean == 600_000
    assert found.length_ps.p99 is None  # fewer than a hundred
    assert found.interrupted_ps == 20 * 600_000
    assert found.stalled_ps == 0
    assert found.own_share == pytest.approx(1 - 10 * 600e-9 / 20e-3)
    (by,) = found.by
    assert (by.workload, by.protocol, by.interrupts, by.longest_ps) == (
        "daemon",
        "ipi",
        20,
        600_000,
    )
    assert by.call == flushed.operations["kind"].iloc[0]
    assert found.violations == ()


def test_what_is_noted_is_what_the_cpus_account_for(flushed: pmsim.Result) -> None:
    cpus = flushed.cpus.set_index("cpu").loc[[2, 3]]
    rows = flushed.interruptions
    assert int(rows["opened"].sum()) == cpus["handlers"].sum()
    assert (rows["end_ps"] - rows["from_ps"]).sum() == cpus["stolen_ps"].sum()


def test_watching_changes_nothing_else(flushed: pmsim.Result) -> None:
    blind = pmsim.run(scenario(EVERY, {**WORK, "cpus": "2-3"}, duration="20ms"))
    assert blind.interruptions.empty
    assert blind.summary.isolated is None
    for name in set(TABLES) - {"interruptions"}:
        pd.testing.assert_frame_equal(blind.table(name), flushed.table(name))


def test_calls_that_one_handler_serves_are_one_interruption() -> None:
    # Both are in the queue of CPU 2 when the handler, 500 ns after the sending, takes them.
    at_once = {"flushes": 1, "arrival": {"times": ["1ms"]}}
    result = run(EVERY | at_once, EVERY | at_once | {"name": "other", "cpus": 1}, WORK)
    assert len(result.interruptions) == 4
    found = result.summary.isolated
    assert found is not None
    assert found.interrupts == 2
    assert found.length_ps.max == 200_000 + 2 * 300_000 + 100_000


def test_waking_up_for_a_handler_is_a_part_of_the_interruption() -> None:
    idle = machine() | {"isolated": "2"}
    idle["costs"] = {**idle["costs"], "idle": [{"name": "C1", "residency": "0ns", "exit": "5us"}]}
    found = pmsim.run(scenario(EVERY, machine=idle, duration="20ms")).summary.isolated
    assert found is not None
    assert found.length_ps.max == 5_600_000


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"interrupts": "0/s"}, ["interrupts"]),
        ({"interrupts": "499/s"}, ["interrupts"]),
        ({"interrupts": "500/s", "longest": "600ns"}, []),
        ({"longest": "599ns"}, ["longest"]),
        ({"interrupts": "1/s", "longest": "1ns"}, ["interrupts", "longest"]),
    ],
)
def test_a_limit_that_is_not_kept_is_named(limits: dict[str, str], broken: list[str]) -> None:
    summary = run(EVERY, WORK, measure=budget(**limits)).summary
    assert summary.isolated is not None
    assert [one.limit for one in summary.isolated.violations] == broken
    assert sum("Over budget" in one for one in sentences(summary)) == len(broken)
    for one in summary.isolated.violations:
        assert (one.cpus, one.replication) == (2, 0)
        assert one.by.startswith("daemon")
    assert Summary.from_dict(summary.as_dict()) == summary


def test_handlers_of_a_call_that_has_not_ended_with_the_run_are_interruptions() -> None:
    # CPU 1 answers after the run's end: its window with interrupts off is longer than the run.
    window = {"kind": "irq_off_noise", "cpus": [1], "rate": "100/ms", "length": "50ms"}
    once = {**DAEMON, "flushes": 1, "arrival": {"times": ["1ms"]}}
    result = run(once, WORK, window, measure=budget(interrupts="0/s"))
    found = result.summary.isolated
    assert found is not None
    assert result.cpus["handlers"].tolist() == [0, 0, 1, 1]
    assert result.cpus["stolen_ps"].tolist() == [0, 0, 600_000, 600_000]
    assert (len(result.crosscalls), found.interrupts, found.stalled_ps) == (0, 2, 0)
    assert (found.fewest, found.most, found.interrupted_ps) == (1, 1, 2 * 600_000)
    (over,) = found.violations
    assert (over.limit, over.cpus, over.by) == ("interrupts", 2, "daemon (request)")
    rows = result.interruptions
    assert rows["cpu"].tolist() == [2, 3]
    assert rows["initiator"].tolist() == [0, 0]
    assert (rows["end_ps"] - rows["from_ps"]).tolist() == [600_000, 600_000]
    assert not any("stalls" in one for one in sentences(result.summary))


@pytest.mark.parametrize(
    ("ends", "interrupted"), [(570, []), (571, [2]), (590, [2]), (591, [2, 3])]
)
def test_a_handler_that_has_not_begun_by_the_end_of_the_run_interrupts_nobody(
    ends: int, interrupted: list[int]
) -> None:
    # Three CPUs are queued by 30 ns after 1 ms. What is sent to CPU 2 by 70, and to CPU 3 by 90,
    # arrives 500 later.
    once = {**DAEMON, "flushes": 1, "arrival": {"times": ["1ms"]}}
    result = run(once, WORK, duration=f"{1_000_000 + ends}ns")
    assert result.interruptions["cpu"].tolist() == interrupted
    assert result.summary.isolated is not None
    assert result.summary.isolated.interrupts == len(interrupted)


def test_cpus_that_nothing_reaches_are_never_interrupted() -> None:
    summary = run(WORK, measure=budget(interrupts="0/s")).summary
    assert summary.isolated is not None
    assert (summary.isolated.interrupts, summary.isolated.own_share) == (0, 1.0)
    assert summary.isolated.violations == ()
    assert any("never interrupted" in one for one in sentences(summary))


def isolated_sentence(summary: Summary) -> str:
    (said,) = (one for one in sentences(summary) if "isolated CPUs was" in one)
    return said


def test_interruptions_that_stop_for_good_are_counted_and_no_day_is_made_of_them() -> None:
    summary = run(EVERY, WORK).summary  # ten in each CPU
    stopped = told_of(summary, transient(10 * MS, broadcasts_after=0))
    assert "was interrupted 10 times, 100 % of it by" in isolated_sentence(stopped)
    assert "in a day" not in isolated_sentence(stopped)
    goes_on = told_of(summary, transient(0))
    assert "was interrupted 500 times a second" in isolated_sentence(goes_on)
    assert "in a day 43,200,000 times, 25.9 s in all" in isolated_sentence(goes_on)


def test_where_one_cpu_is_spared_the_mean_of_all_is_not_told_as_what_each_had() -> None:
    calls = {"kind": "cross_call", "calls": 10, "targets": [3], "arrival": {"every": "1ms"}}
    result = run(calls, WORK, replications=2)
    summary = result.summary
    found = summary.isolated
    assert found is not None
    assert result.cpus["handlers"][result.cpus["cpu"].isin([2, 3])].tolist() == [0, 10, 0, 10]
    assert (found.interrupts, found.fewest, found.most) == (20, 0, 10)
    stopped = told_of(summary, *[transient(10 * MS, broadcasts_after=0)] * 2)
    assert "was interrupted 5 times on average (one never, another 10 times), 100 % of it" in (
        isolated_sentence(stopped)
    )
    assert "on average" not in isolated_sentence(run(EVERY, WORK).summary)


def test_each_replication_measures_it_by_itself() -> None:
    result = run(EVERY, WORK, replications=2, measure=budget(interrupts="0/s"))
    rows = result.replications
    assert rows["isolated_interrupts_per_s"].tolist() == [500.0, 500.0]
    assert rows["isolated_longest_ps"].tolist() == [600_000.0, 600_000.0]
    assert rows["over_budget"].tolist() == [1.0, 1.0]
