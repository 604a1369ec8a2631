from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pmsim
from pmsim.hardware.fabric import CROSSCALL_COLUMNS, SlowestReason
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.tlbflush import Cause
from pmsim.simulation.answer.summarize import summarize
from pmsim.simulation.answer.summary import Calls, Failures, Parts, Summary
from pmsim.simulation.run.recorder import Recorder
from pmsim.simulation.tables.columns import CPUS, TASKS
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.store import TableStore
from pmsim.simulation.words.calm import come_every
from pmsim.simulation.words.sentences import sentences
from pmsim.units import MS, S
from tests.machines import scenario
from tests.summaries import told_of, transient

DURATION = 1000


def calls(latencies: list[int], cpu: int = 0, kind: int = CallKind.FULL) -> np.ndarray:
    rows = np.zeros((len(latencies), len(CROSSCALL_COLUMNS)), dtype=np.int64)
    place = CROSSCALL_COLUMNS.index
    rows[:, place("cpu")] = cpu
    rows[:, place("end_ps")] = latencies
    rows[:, place("kind")] = kind
    rows[:, place("cause")] = Cause.PURGE
    rows[:, place("targets")] = 1
    return rows


def cpu_rows(*rows: dict[str, int]) -> dict[str, list[int]]:
    names = [name for name in CPUS.names if name != "replication"]
    return {n: [row.get(n, i if n == "cpu" else 0) for i, row in enumerate(rows)] for n in names}


def task(**values: Any) -> dict[str, Any]:
    row = dict.fromkeys(TASKS.names[1:], 0)
    return row | {"workload": "w", "kind": "k", "finished": True, "work_ps": None} | values


def made(tmp_path: Path, *chunks: np.ndarray, **tables: Any) -> Summary:
    """Return the summary of a run of 1,000 ps on two CPUs."""
    with TableStore(tmp_path) as store:
        recorder = Recorder(store, 0, None)
        for chunk in chunks:
            recorder.crosscalls(chunk)
        store.add("cpus", tables.get("cpus", cpu_rows({}, {})), 0)
        store.add_rows("tasks", tables.get("tasks", [task()]), 0)
        store.add_rows("faults", tables.get("faults", []), 0)
        store.add_rows("locks", tables.get("locks", []), 0)
    return summarize(TableFiles(tmp_path), [DURATION], tables.get("warmup"))


BEFORE = {"broadcasts_before": 9, "per_s_before": 12_345.0, "lost_share_before": 0.4}
AFTER = {"broadcasts_after": 5, "per_s_after": 50.0, "lost_share_after": 0.0125}


def test_every_key_of_a_summary_is_described() -> None:
    summary = pmsim.run(scenario({"kind": "user_work", "compute": "1us"})).summary
    written = json.loads(json.dumps(summary.as_dict()))
    assert Summary.from_dict(written) == summary
    assert all(meaning.endswith(".") for _path, meaning in Summary.meanings())
    told = {re.split(r"\W", path)[0] for path, _meaning in Summary.meanings()}
    assert told == set(written) == set(summary)


def test_calls_are_counted_by_kind_and_cause(tmp_path: Path) -> None:
    broadcasts = made(tmp_path, calls([5, 5]), calls([7], kind=CallKind.RANGE))["broadcasts"]
    assert broadcasts["total"] == 3
    assert broadcasts["by_kind"] == {"full": 2, "range": 1}
    assert broadcasts["by_cause"] == {"purge": 3}
    assert broadcasts["targets"] == 3
    assert broadcasts["per_s"] == 3 * 10**12 / DURATION


@pytest.mark.parametrize(
    ("protocols", "said"),
    [
        ([0], "There was 1 shootdown (1 full); w waited 5 ps for it."),
        ([1], "(1 full), all of them TLB broadcasts (tlbi), which interrupt nobody;"),
        ([0, 1, 1], "2 of them TLB broadcasts (tlbi), which interrupt nobody;"),
        ([2], "(1 full), all of them firmware calls (sbi);"),
    ],
)
def test_how_cpus_were_told_is_counted_and_said(
    tmp_path: Path, protocols: list[int], said: str
) -> None:
    rows = calls([5] * len(protocols))
    rows[:, CROSSCALL_COLUMNS.index("protocol")] = protocols
    summary = made(tmp_path, rows)
    assert sum(summary["broadcasts"]["by_protocol"].values()) == len(protocols)
    assert any(said in sentence for sentence in sentences(summary))


def one_slow_call(reason: SlowestReason, slowest_cpu: int) -> np.ndarray:
    """Return 99 calls of 1 ps, and one of 500 ps on CPU 1 at 300 ps."""
    rows = calls([1] * 99 + [500])
    place = CROSSCALL_COLUMNS.index
    rows[-1, [place("start_ps"), place("end_ps"), place("cpu")]] = (300, 800, 1)
    rows[-1, [place("slowest_cpu"), place("slowest_reason")]] = (slowest_cpu, reason)
    return rows


def test_the_slowest_broadcast_is_told_with_the_cpu_that_it_waited_for(tmp_path: Path) -> None:
    rows = one_slow_call(SlowestReason.IRQS_OFF, 0)
    summary = made(tmp_path, rows, tasks=[task(cpu=1, workload="drm")])
    assert summary["slowest"] == {
        "at_ps": 300, "latency_ps": 500, "cpu": 1, "workload": "drm", "cause": "purge",
        "protocol": "ipi", "slowest_cpu": 0, "slowest_reason": "irqs_off",
    }  # fmt: skip
    assert (
        "The slowest shootdown (purge) was made by drm on CPU 1, from 300 ps on: it waited for CPU"
        " 0, which had interrupts off."
    ) in sentences(summary)


def test_a_slowest_broadcast_that_waited_for_no_cpu_names_none(tmp_path: Path) -> None:
    summary = made(tmp_path, one_slow_call(SlowestReason.LOCAL, -1))
    assert summary["slowest"]["slowest_cpu"] is None
    assert (
        "The slowest shootdown (purge) was made by kernel worker on CPU 1, from 300 ps on."
        in sentences(summary)
    )


def test_a_slowest_broadcast_that_is_like_the_others_is_not_worth_a_sentence(
    tmp_path: Path,
) -> None:
    summary = made(tmp_path, calls([5, 6]))
    assert summary["slowest"]["latency_ps"] == 6
    assert not any("The slowest shootdown" in said for said in sentences(summary))


def test_equal_latencies_are_said_once(tmp_path: Path) -> None:
    assert "Shootdowns took 7 ps each." in sentences(made(tmp_path, calls([7] * 100)))


@pytest.mark.parametrize(("per_s", "bursts"), [(500, ""), (5_000, " in bursts")])
def test_several_shootdowns_in_a_period_are_a_burst(per_s: int, bursts: str) -> None:
    assert come_every(2 * MS, per_s) == f"Shootdowns come{bursts} every 2 ms"


def test_without_calls_there_is_no_slowest(tmp_path: Path) -> None:
    assert made(tmp_path)["slowest"] is None


def test_latency_quantiles_are_values_that_occurred(tmp_path: Path) -> None:
    # 1 to 1,000: half of the calls took at most 500, 990 of them at most 990.
    latency = made(tmp_path, calls(list(range(1000, 0, -1))))["latency_ps"]
    assert latency == {
        "mean": 500, "p50": 500, "p99": 990, "p99_9": 999, "max": 1000,
        "above_p99": 10, "above_p99_share": sum(range(991, 1001)) / sum(range(1001)),
    }  # fmt: skip


def test_a_mean_above_the_p99_is_said_to_come_from_few(tmp_path: Path) -> None:
    said = sentences(made(tmp_path, calls([10] * 997 + [1000, 1000, 2000])))
    latency = next(one for one in said if one.startswith("A shootdown took"))
    assert latency == (
        "A shootdown took 14 ps on average: half within 10 ps, p99 10 ps, p99.9 1 ns, the slowest"
        " 2 ns. The mean is above the p99 because of a few: the slowest 3 (0.3 %) took 28.6 % of"
        " all that time."
    )
    # The same mean, and a p99 that is not below it.
    said = sentences(made(tmp_path, calls([10] * 990 + [20] * 6 + [900, 900, 900, 1200])))
    assert any("p99 10 ps" in one and "because of a few" in one for one in said)
    said = sentences(made(tmp_path, calls([10] * 900 + [20] * 96 + [900, 900, 900, 1200])))
    assert any("p99 20 ps" in one for one in said)
    assert not any("because of a few" in one for one in said)


@pytest.mark.parametrize(("n", "known"), [(1, []), (2, ["p50"]), (100, ["p50", "p99"])])
def test_a_quantile_is_known_only_where_a_call_lies_beyond_it(
    tmp_path: Path, n: int, known: list[str]
) -> None:
    latency = made(tmp_path, calls([7] * n))["latency_ps"]
    names = [name for name in ("p50", "p99", "p99_9") if latency[name] is not None]
    assert names == known


def test_without_calls_no_latency_is_known(tmp_path: Path) -> None:
    assert set(made(tmp_path)["latency_ps"].values()) == {None}


def test_the_cost_is_what_handlers_waits_starts_and_refills_took(tmp_path: Path) -> None:
    cpus = cpu_rows(
        {"stolen_ps": 10, "spin_ps": 20, "lock_spin_ps": 12, "irqs_off_ps": 40, "refill_ps": 80},
        {"stolen_ps": 5, "awake_ps": 4, "woken": 1},
    )
    cost = made(tmp_path, calls([30]), cpus=cpus, tasks=[task(windows_ps=15)])["cost"]
    assert cost == {
        "initiators_ps": 30,
        "stolen_ps": 15,
        "awake_ps": 4,
        "woken": 1,
        "spin_ps": 20,
        "lock_spin_ps": 12,
        "irqs_off_ps": 25,  # the windows are not synchronization
        "refill_ps": 80,
        "lost_ps": 136,  # an idle CPU that is woken costs no task anything
        "share": 136 / (2 * DURATION),
        "waking_ps": 0,
    }
    assert sum(cost.parts.values()) == cost.lost_ps


def test_what_initiators_waited_for_waking_and_whom_they_left_out_are_added_up(
    tmp_path: Path,
) -> None:
    place = CROSSCALL_COLUMNS.index
    purges, woken = calls([30, 40]), calls([50], cpu=1)
    purges[:, place("left_out")] = 3, 4
    woken[:, place("cause")] = Cause.ATTRIBUTES
    woken[:, place("idle_exit_ps")] = 45
    found = made(tmp_path, purges, woken)
    assert found["cost"]["waking_ps"] == 45
    assert found["broadcasts"]["left_out"] == {"purge": 7}


def test_who_paid_most_comes_first(tmp_path: Path) -> None:
    # What was stolen while nobody was there, and windows that were asked for, are no loss.
    cpus = cpu_rows({"stolen_ps": 9, "awake_ps": 8, "irqs_off_ps": 70}, {"spin_ps": 9})
    tasks = [task(cpu=0, workload="selinux", windows_ps=70)]
    paid = made(tmp_path, calls([5]), calls([50], cpu=1), cpus=cpus, tasks=tasks)["paid"]
    assert [(one["cpu"], one["lost_ps"]) for one in paid["cpus"]] == [(1, 9), (0, 1)]
    assert [(one["workload"], one["waited_ps"]) for one in paid["initiators"]] == [
        ("kernel worker", 50),
        ("selinux", 5),
    ]


def test_user_work_is_as_much_slower_as_it_took_longer(tmp_path: Path) -> None:
    tasks = [task(work_ps=800, end_ps=1000), task(cpu=1, work_ps=1000, end_ps=1000)]
    (work,) = made(tmp_path, tasks=tasks)["user_work"]
    assert (work["tasks"], work["work_ps"], work["elapsed_ps"]) == (2, 1800, 2000)
    assert work["slowdown"] == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("work_ps", "said"),
    [(800, "took 25 % longer;"), (500, "took 2 times as long;"), (68, "took 14.7 times as long;")],
)
def test_user_work_that_takes_twice_as_long_or_more_is_told_by_how_many_times(
    tmp_path: Path, work_ps: int, said: str
) -> None:
    summary = made(tmp_path, calls([5]), tasks=[task(cpu=1, work_ps=work_ps, end_ps=1000)])
    assert any(said in sentence for sentence in sentences(summary))


def test_user_work_is_told_with_the_interrupts_of_its_cpus_alone(tmp_path: Path) -> None:
    cpus = cpu_rows({"handlers": 7}, {"handlers": 4}, {"handlers": 1})
    tasks = [task(cpu=cpu, work_ps=500, end_ps=1000) for cpu in (1, 1, 2)]
    summary = made(tmp_path, calls([5]), cpus=cpus, tasks=tasks)
    (work,) = summary["user_work"]
    assert (work["cpus"], work["interrupts"]) == (2, 5)
    assert (work["fewest"], work["most"]) == (1, 4)
    # Five in 1,000 ps on two CPUs: one in 400 ps on average, of which one CPU has but one in 1,000.
    said = (
        "its CPUs were interrupted 5 times, each 2,500,000,000 times a second on average"
        " (one 1,000,000,000 times a second, another 4,000,000,000 times a second)."
    )
    assert any(sentence.endswith(said) for sentence in sentences(summary))


def test_interrupts_a_second_are_those_of_one_run_among_several(tmp_path: Path) -> None:
    with TableStore(tmp_path) as store:
        for replication, handlers in enumerate((3, 5, 4)):
            recorder = Recorder(store, replication, None)
            recorder.crosscalls(calls([5]))
            store.add("cpus", cpu_rows({}, {"handlers": handlers}), replication)
            store.add_rows("tasks", [task(cpu=1, work_ps=500, end_ps=1000)], replication)
            store.add_rows("faults", [], replication)
    summary = summarize(TableFiles(tmp_path), [DURATION] * 3, None)
    # Four in 1,000 ps, in the mean of three runs.
    said = "its CPUs were interrupted 4 times a run, each 4,000,000,000 times a second."
    assert any(sentence.endswith(said) for sentence in sentences(summary))


def test_user_work_on_cpus_that_nobody_interrupted_says_so(tmp_path: Path) -> None:
    tasks = [task(cpu=1, work_ps=1000, end_ps=1000)]
    said = sentences(made(tmp_path, calls([5]), tasks=tasks))
    assert "User work (w, 1 task) took 0 % longer; its CPUs were never interrupted." in said


def test_user_work_that_got_nothing_done_has_no_slowdown(tmp_path: Path) -> None:
    summary = made(tmp_path, calls([5]), tasks=[task(work_ps=0, end_ps=1000)])
    assert summary["user_work"][0]["slowdown"] is None
    assert "User work (w) got nothing done." in sentences(summary)


def test_failures_are_counted_by_kind_with_the_first(tmp_path: Path) -> None:
    fault = {"at_ps": 5, "workload": "w", "cpu": 0, "task": 0, "address": None}
    faults = [fault | {"kind": "write", "detail": "one"}, fault | {"kind": "write", "detail": "2"}]
    summary = made(tmp_path, faults=faults)
    assert summary.failures == (Failures("write", 2, 5, "w", "one"),)
    assert sentences(summary)[0] == "write failed 2 times, first at 5 ps, for w: one."


def test_a_warm_up_that_is_given_is_taken(tmp_path: Path) -> None:
    (found,) = made(tmp_path, calls([5]), warmup=400)["transients"]
    assert (found["end_ps"], found["verdict"]) == (400, "given")


def test_a_burst_in_peace_ends_with_its_last_broadcast() -> None:
    policy = {"kind": "policy_load", "allocations": 64, "size": "512B"}
    result = pmsim.run(scenario(policy, duration="10ms"))
    (found,) = result.summary["transients"]
    assert found["end_ps"] == result.crosscalls["end_ps"].max()
    assert (found["broadcasts_before"], found["broadcasts_after"]) == (len(result.crosscalls), 0)
    assert any("no shootdown comes after it" in said for said in sentences(result.summary))


def test_a_run_without_broadcasts_says_so() -> None:
    result = pmsim.run(scenario({"kind": "user_work"}, duration="1ms"))
    assert sentences(result.summary) == [
        "No CPU had to be told anything: there was no shootdown.",
    ]
    assert result.summary.calm.verdict == "too_few"


def test_operations_are_summed_by_kind_the_costliest_first() -> None:
    result = pmsim.run(scenario({"kind": "policy_load", "allocations": 64, "size": "512B"}))
    rows = result.operations
    for one in result.summary["operations"]:
        mine = rows[rows["kind"] == one["kind"]]
        assert one["count"] == len(mine)
        assert one["total_ps"] == (mine["end_ps"] - mine["start_ps"]).sum()
        assert one["crosscalls"] == mine["crosscalls"].sum()
        assert one["median_ps"] in (mine["end_ps"] - mine["start_ps"]).tolist()
        assert one["delay_ps"] == mine["delay_ps"].sum()
    costs = [one["total_ps"] - one["delay_ps"] for one in result.summary["operations"]]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            transient(None),
            "Shootdowns still become more or fewer when the run ends: no part of it is steady.",
        ),
        (
            transient(0, broadcasts_after=5, per_s_after=50.0, lost_share_after=0.02),
            "There is no transient: 50 shootdowns/s, 2 % of all CPU time lost, from the start.",
        ),
        (
            transient(2_000_000, **BEFORE, **AFTER),
            "The transient ends at 2 µs: 12,300 shootdowns/s, 40 % of all CPU time lost; after it:"
            " 50 shootdowns/s, 1.25 % of all CPU time lost.",
        ),
    ],
)  # fmt: skip
def test_how_the_transient_ends_is_said_in_a_sentence(
    tmp_path: Path, found: Parts, said: str
) -> None:
    assert said in sentences(told_of(made(tmp_path, calls([5])), found))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            (transient(None), transient(None)),
            "Shootdowns still become more or fewer when the run ends: no part of it is steady.",
        ),
        (
            (transient(1_000, **BEFORE, **AFTER), transient(3_000, **BEFORE, **AFTER)),
            "The transient ends at 2 ns (means of 2 runs): 12,300 shootdowns/s, 40 % of all CPU"
            " time lost; after it: 50 shootdowns/s, 1.25 % of all CPU time lost.",
        ),
        (
            (transient(300, **BEFORE, **AFTER | {"broadcasts_after": 0}), transient(None)),
            "In 1 of 2 runs: The transient ends at 300 ps: no shootdown comes after it.",
        ),
    ],
)
def test_of_several_runs_the_mean_end_is_said_and_how_many_have_none(
    tmp_path: Path, found: tuple[Parts, ...], said: str
) -> None:
    assert said in sentences(told_of(made(tmp_path, calls([5])), *found))


def test_a_summary_answers_what_it_cost_who_paid_and_when_the_transient_ended() -> None:
    policy = {"kind": "policy_load", "name": "selinux", "allocations": 64, "size": "512B"}
    work = {"kind": "user_work", "name": "victims", "cpus": [1, 2]}
    result = pmsim.run(scenario(policy, work, duration="10ms", replications=2))
    text = "\n".join(sentences(result.summary))
    assert text.startswith("Tasks lost ")
    assert "of 4 CPUs in 10 ms (means of 2 runs): " in text
    assert "shootdowns a run (" in text
    assert "; selinux waited" in text
    assert "The transient ends at" in text
    assert "User work (victims, 2 tasks) took" in text


def test_calls_are_those_that_workloads_made_and_none_inside_of_them() -> None:
    churn = {"kind": "pool_churn", "pools": 5, "allocations": 4, "arrival": {"every": "1ms"}}
    result = pmsim.run(scenario(churn))
    outermost = result.operations[result.operations["parent"].isna()]
    found = {one["kind"]: one for one in result.summary["calls"]}
    assert set(found) == set(outermost["kind"].astype(str))
    protect = found["pmalloc_protect_pool"]
    rows = outermost[outermost["kind"] == "pmalloc_protect_pool"]
    lengths = rows["end_ps"] - rows["start_ps"]
    assert (protect["workload"], protect["count"]) == ("pool_churn", 5)
    assert protect["broadcasts"] == rows["crosscalls"].sum()
    assert (protect["total_ps"], protect["longest_ps"]) == (lengths.sum(), lengths.max())
    assert protect["longest_at_ps"] == rows["start_ps"].to_numpy()[lengths.argmax()]
    assert protect["per_s"] == pytest.approx(5 * S / result.summary["duration_ps"])


def test_calls_of_the_kernels_own_tasks_are_put_together() -> None:
    load = {"kind": "module_burst", "modules": 2, "segments": ["nls_utf8"]}
    found = pmsim.run(scenario(load)).summary["calls"]
    assert {(one["workload"], one["kind"]) for one in found} == {
        ("module_burst", "load_module"),
        ("kernel worker", "do_free_init"),
    }


CALL = Calls(
    workload="drm", kind="vfree", count=100, per_s=1234.5, mean_ps=2_000, median_ps=1_000,
    total_ps=200_000, delay_ps=0, broadcasts=1, lock_wait_ps=0, longest_ps=90_000, longest_at_ps=5,
)  # fmt: skip


def test_the_costliest_calls_are_told_with_how_often_and_how_long(tmp_path: Path) -> None:
    rare = replace(CALL, kind="vmalloc", count=1, total_ps=50_000, broadcasts=3)
    said = sentences(replace(made(tmp_path), calls=(CALL, rare)))
    assert said[1:] == [
        "drm called vfree 100 times (1,230/s): 2 ns each, once 90 ns, 1 shootdown in all.",
        "drm called vmalloc once: 50 ns, 3 shootdowns.",
    ]


def test_every_workload_has_its_costliest_calls_told_and_not_its_trifles(tmp_path: Path) -> None:
    kinds = ("vfree", "vmap", "vmalloc", "vunmap")
    rows = [
        replace(CALL, kind=kind, total_ps=100 - place, longest_ps=1)
        for place, kind in enumerate(kinds)
    ]
    trifle = replace(CALL, workload="pools", kind="pmalloc", total_ps=1)
    own = replace(CALL, workload="pools", kind="destroy", total_ps=20)
    said = sentences(replace(made(tmp_path), calls=(*rows, own, trifle)))
    told = [sentence.split(" 100 times")[0] for sentence in said[1:]]
    assert told == ["drm called vfree", "drm called vmap", "pools called destroy"]


def test_what_a_call_slept_is_said_and_makes_it_no_costly_one(tmp_path: Path) -> None:
    sleeper = replace(CALL, kind="do_free_init", delay_ps=198_000)
    said = sentences(replace(made(tmp_path), calls=(replace(CALL, total_ps=10_000), sleeper)))
    assert said[-1].endswith(
        "2 ns each (99 % of that asleep or off the CPU), once 90 ns, 1 shootdown in all."
    )


def test_a_mean_that_one_call_makes_gives_way_to_the_median_and_that_call(tmp_path: Path) -> None:
    slow = replace(CALL, total_ps=150_000)
    assert sentences(replace(made(tmp_path), calls=(slow,)))[-1] == (
        "drm called vfree 100 times (1,230/s): half within 1 ns, once 90 ns, 1 shootdown in all."
    )
    said = sentences(made(tmp_path, calls([3] * 9 + [30])))
    assert (
        "A shootdown took: half within 3 ps, the slowest 30 ps, as long as all others together."
        in said
    )


def test_what_cost_most_comes_first(tmp_path: Path) -> None:
    cpus = cpu_rows(
        {"spin_ps": 500, "lock_spin_ps": 450, "stolen_ps": 60, "awake_ps": 60, "woken": 3},
        {"stolen_ps": 20},
    )
    said = sentences(made(tmp_path, calls([50]), cpus=cpus))
    assert said[:2] == [
        "Tasks lost 26 % of all CPU time: 520 ps of 2 CPUs in 1 ns: 450 ps spinning for locks"
        " (86.5 %), 50 ps waiting for shootdowns, 20 ps to handlers.",
        "Idle CPUs were woken 3 times, and awake for 60 ps: no task lost that time.",
    ]


def test_where_locks_cost_most_the_calls_that_waited_for_them_are_named(tmp_path: Path) -> None:
    asked = (
        replace(CALL, kind="vmalloc", lock_wait_ps=30),
        replace(CALL, kind="vfree", lock_wait_ps=60),
        replace(CALL, kind="purge", lock_wait_ps=10),
    )
    for spun, told in ((450, True), (200, True), (100, False)):
        cpus = cpu_rows({"spin_ps": 500, "lock_spin_ps": spun})
        said = sentences(replace(made(tmp_path, calls([50]), cpus=cpus), calls=asked))
        locks = "Locks were waited for in vfree (60 %) and vmalloc (30 %)."
        assert (locks in said) is told


LOCK = {
    "lock": "pgd_lock", "waits": 3, "waited_ps": 90, "longest_wait_ps": 50, "waiter": "burst",
    "waiter_cpu": 1, "waiter_ps": 60, "frozen_ps": 0, "held_ps": 0, "holder": None,
    "holder_cpu": None, "doing": None, "held_from_ps": 0,
}  # fmt: skip
HELD = {"holder": "pools", "holder_cpu": 0, "doing": "vfree", "held_from_ps": 7}


def test_locks_are_told_by_name_with_who_waited_and_who_held_them(tmp_path: Path) -> None:
    purge = LOCK | HELD | {"lock": "vmap_purge_lock", "waits": 1, "waited_ps": 360, "held_ps": 200}
    cpus = cpu_rows({"spin_ps": 500, "lock_spin_ps": 450})
    summary = made(tmp_path, calls([50]), cpus=cpus, locks=[LOCK, purge])
    assert [one["lock"] for one in summary["locks"]] == ["vmap_purge_lock", "pgd_lock"]
    said = sentences(summary)
    assert said[1:3] == [
        "vmap_purge_lock was waited for once, 360 ps in all (80 % of all waits), by burst on"
        " CPU 1; pools on CPU 0 in vfree held it longest while others waited, 200 ps.",
        "pgd_lock was waited for 3 times, 90 ps in all (20 % of all waits), longest by burst on"
        " CPU 1.",
    ]


def test_locks_are_told_where_calls_mostly_wait_for_them_asleep(tmp_path: Path) -> None:
    summary = made(tmp_path, calls([50]), locks=[LOCK])
    for waited, told in ((60, True), (40, False)):
        asked = (replace(CALL, total_ps=100, lock_wait_ps=waited),)
        said = sentences(replace(summary, calls=asked))
        assert any(one.startswith("pgd_lock was waited for") for one in said) is told


def test_shootdowns_that_interrupt_nobody_are_said_to(tmp_path: Path) -> None:
    rows = calls([5, 5])
    said = "for which nobody had to be interrupted"
    assert not any(said in one for one in sentences(made(tmp_path, rows)))
    rows[:, CROSSCALL_COLUMNS.index("targets")] = 0
    (tmp_path / "alone").mkdir()
    assert any(said in one for one in sentences(made(tmp_path / "alone", rows)))


def test_a_cpu_that_lost_far_more_than_the_others_is_named(tmp_path: Path) -> None:
    cpus = cpu_rows({"spin_ps": 900}, {"stolen_ps": 20}, {"stolen_ps": 20})
    said = sentences(made(tmp_path, calls([50]), cpus=cpus))
    assert said[0].endswith(". CPU 0 lost most, 900 ps, by spinning.")


@pytest.mark.parametrize(
    ("pages", "said"), [(33, "(2 range);"), (456_713, "(2 range of 456,713 pages each);")]
)
def test_ranged_flushes_tell_their_pages_where_these_are_many(
    tmp_path: Path, pages: int, said: str
) -> None:
    rows = calls([5, 5], kind=CallKind.RANGE)
    rows[:, CROSSCALL_COLUMNS.index("pages")] = pages
    summary = made(tmp_path, rows)
    assert summary.broadcasts.pages_p50 == pages
    assert any(said in sentence for sentence in sentences(summary))


def test_the_warm_up_that_a_scenario_gives_is_no_transient_that_was_found(tmp_path: Path) -> None:
    said = sentences(made(tmp_path, calls([5]), warmup=400))
    assert any(one.startswith("In the warm-up of 400 ps that the scenario gives: ") for one in said)


def test_stalls_and_handlers_are_named_by_how_the_cpus_were_told(tmp_path: Path) -> None:
    def told(place: Path, *protocols: int) -> str:
        place.mkdir()
        rows = calls([5] * len(protocols))
        rows[:, CROSSCALL_COLUMNS.index("protocol")] = protocols
        return sentences(made(place, rows, cpus=cpu_rows({"stolen_ps": 20}, {})))[0]

    assert " 20 ps to handlers (100 %)" in told(tmp_path / "ipi", 0)
    assert " 20 ps to stalls by TLB broadcasts (100 %)" in told(tmp_path / "tlbi", 1)
    assert " 20 ps to stalls by TLB broadcasts and handlers (100 %)" in told(
        tmp_path / "both", 0, 1
    )
