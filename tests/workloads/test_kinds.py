"""What each kind of workload does, on a whole machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.units import MS, US
from pmsim.workloads.registry import workload_kinds
from pmsim.workloads.task import MachineInfo
from tests.machines import ROUND_COSTS, scenario

SMALL = {"file_pages": "3 pages", "core_text": "1 page", "core_data": "1 page"}


def run(*workloads: dict[str, Any], **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario(*workloads, **keys))


def kinds(result: pmsim.Result) -> dict[str, int]:
    return {str(k): int(n) for k, n in result.operations["kind"].value_counts().items()}


def policy(**keys: Any) -> dict[str, Any]:
    return {"kind": "policy_load", "allocations": 8, "size": "512B", **keys}


# 8 objects of 512 B fill one page of 4 KiB; 16 fill two.
@pytest.mark.parametrize(
    ("protect", "areas", "protects", "calls"),
    [
        ("end", 2, 1, 2),  # two full areas, one set_memory_ro each
        ("never", 2, 0, 0),
        ({"every": 4}, 4, 5, 4),  # each quarter gives up half a page; the last finds nothing
        ({"every": 5}, 4, 5, 4),  # 5 + 5 + 5 + 1
        ({"every": 100}, 2, 2, 2),
    ],
)
def test_a_policy_is_protected_as_often_as_asked(
    protect: Any, areas: int, protects: int, calls: int
) -> None:
    result = run(policy(allocations=16, protect=protect))
    (pool,) = result.pools.itertuples()
    assert (pool.areas, pool.protects, pool.allocations) == (areas, protects, 16)
    assert len(result.crosscalls) == calls
    assert not pool.destroyed


def test_a_pool_takes_its_refill_and_alignment() -> None:
    keys = {"pool": {"refill": "8KiB", "align_order": 10}}
    (pool,) = run(policy(**keys)).pools.itertuples()
    # 8 objects on boundaries of 1 KiB: 8 KiB, one area of two pages.
    assert (pool.areas, pool.pages, pool.refill, pool.align) == (1, 2, 8192, 1024)


@pytest.mark.parametrize("jitter", ["0ns", {"dist": "uniform", "scale": "1ps"}])
def test_a_trace_computes_in_user_mode_as_anywhere_else(tmp_path: Path, jitter: Any) -> None:
    rows = "0,{op},1000000\n0,flush_kernel,34\n0,{op},5\n1,{op},9000000\n"

    def table(op: str) -> list[dict[str, Any]]:
        file = tmp_path / f"{op}.csv"
        file.write_text("cpu,op,arg\n" + rows.format(op=op))
        trace = {"kind": "trace", "file": str(file), "working_set": 7}
        ipi = {**ROUND_COSTS["ipi"], "jitter": jitter}
        machine = {"topology": {"cores": 2}, "costs": {**ROUND_COSTS, "ipi": ipi}}
        return run(trace, machine=machine).cpus.to_dict("records")

    assert table("user") == table("compute")
    assert [cpu["refill_ps"] for cpu in table("user")] == [70_000, 70_000]


def test_a_policy_that_does_not_fit_is_reported_and_the_run_goes_on() -> None:
    # More than all memory of the kernel profile: vmalloc returns NULL.
    keys = {"size": "1TiB", "allocations": 3}
    result = run(policy(**keys), kernel={"profile": "linux-6.1-x86_64", "memory": "1GiB"})
    (fault,) = result.faults.itertuples()
    assert (fault.kind, fault.workload) == ("pmalloc", "policy_load")
    assert "0 of 3" in fault.detail
    assert result.summary["failures"][0]["count"] == 1
    assert result.tasks["finished"].all()


def test_pools_churn_one_after_the_other_and_are_destroyed() -> None:
    churn = {"kind": "pool_churn", "pools": 3, "allocations": 8, "size": "512B"}
    result = run(churn)
    assert result.pools["destroyed"].tolist() == [True] * 3
    creations = result.operations[result.operations["kind"] == "pmalloc_create_pool"]
    ends = result.operations[result.operations["kind"] == "pmalloc_destroy_pool"]
    assert (creations["start_ps"].to_numpy()[1:] >= ends["end_ps"].to_numpy()[:-1]).all()


def test_pools_come_at_their_arrivals() -> None:
    churn = {
        "kind": "pool_churn", "pools": 3, "allocations": 1, "size": "8B",
        "arrival": {"times": ["1ms", "3ms", "3ms"]},
    }  # fmt: skip
    result = run(churn)
    starts = result.operations[result.operations["kind"] == "pmalloc_create_pool"]["start_ps"]
    assert starts.tolist()[:2] == [1 * MS, 3 * MS]
    assert starts.tolist()[2] > 3 * MS  # the one before was still at work


def test_pools_that_are_not_to_be_destroyed_stay() -> None:
    churn = {"kind": "pool_churn", "pools": 2, "allocations": 1, "size": "8B", "destroy": False}
    assert run(churn).pools["destroyed"].tolist() == [False, False]


def burst(**keys: Any) -> dict[str, Any]:
    return {"kind": "module_burst", "modules": 2, "segments": [SMALL], **keys}


def loads(result: pmsim.Result, kind: str = "load_module") -> list[int]:
    rows = result.operations[result.operations["kind"] == kind].sort_values("start_ps")
    return [int(start) for start in rows["start_ps"]]


def test_modules_are_loaded_at_their_arrivals_and_stay() -> None:
    result = run(burst(arrival={"times": ["1ms", "50ms"]}))
    # The worker that frees init areas has run in between: the CPU switches back.
    assert loads(result) == [1 * MS, 50 * MS + 1 * US]
    assert loads(result, "unload_module") == []


def test_without_arrivals_modules_come_one_right_after_the_other() -> None:
    result = run(burst())
    rows = result.operations[result.operations["kind"] == "load_module"].sort_values("start_ps")
    assert rows["start_ps"].tolist() == [0, rows["end_ps"].tolist()[0]]


def test_a_module_may_be_unloaded_at_once() -> None:
    result = run(burst(unload=True, modules=1))
    assert loads(result, "unload_module") == [
        int(result.operations.query("kind == 'load_module'")["end_ps"].iloc[0])
    ]


def test_a_module_may_be_unloaded_some_time_after_it_was_loaded() -> None:
    result = run(burst(unload={"after": "200ms"}, arrival={"times": ["0ms", "100ms"]}))
    first, second = result.operations.query("kind == 'load_module'")["end_ps"].tolist()
    # Before the first the CPU switches back from the worker that frees init areas.
    assert loads(result, "unload_module") == [first + 200 * MS + 1 * US, second + 200 * MS]


def test_unloads_and_loads_happen_in_the_order_of_their_times() -> None:
    result = run(burst(unload={"after": "40ms"}, arrival={"times": ["0ms", "100ms"]}))
    rows = result.operations[result.operations["kind"].isin(["load_module", "unload_module"])]
    assert rows.sort_values("start_ps")["kind"].tolist() == ["load_module", "unload_module"] * 2


def test_modules_of_the_table_are_loaded_by_name_in_turn() -> None:
    result = run(burst(modules=3, segments=["crc7", "affs"]))
    # Pages of core and init: crc7 then affs then crc7 again.
    pages = result.operations.query("kind == 'load_module'")["pages"].tolist()
    assert pages[0] == pages[2] != pages[1]


def test_a_module_whose_init_fails_is_reported() -> None:
    (fault,) = run(burst(modules=1, segments=["nls_koi8-ru"])).faults.itertuples()
    assert (fault.kind, fault.detail) == ("load_module", "the init function failed")


def test_a_module_for_which_there_is_no_room_is_reported_and_the_next_one_loaded() -> None:
    # The range for modules of the profile is 1 GiB less 16 MiB: 262,144 pages do not fit.
    huge = {"file_pages": "1 page", "core_text": "262144 pages"}
    result = run(burst(modules=2, segments=[huge, SMALL]))
    (fault,) = result.faults.itertuples()
    assert (fault.kind, fault.detail) == ("load_module", "no room for 262145 pages")
    assert result.operations.query("kind == 'do_init_module'")["cpu"].tolist() == [0]


def test_without_segments_modules_are_drawn_from_the_table_by_the_seed() -> None:
    def drawn(seed: int) -> list[int]:
        result = run({"kind": "module_burst", "modules": 6}, seed=seed)
        return result.operations.query("kind == 'load_module'")["pages"].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("workload", "code"),
    [
        (burst(segments=["crc77"]), "unknown-module"),
        (burst(segments=[{"file_pages": "1 page"}]), "bad-segments"),
        (burst(arrival={"times": ["1ms"]}), "too-few-times"),
        (burst(arrival={"every": "1ms", "poisson": "1/s"}), "bad-arrival"),
        (burst(cpu=4), "cpu-out-of-range"),
        (burst(segments=[]), "empty-list"),
        ({"kind": "user_work", "cpus": []}, "empty-list"),
        ({"kind": "user_work", "cpus": [0, 9]}, "cpu-out-of-range"),
        ({"kind": "irq_off_noise", "cpus": [9], "rate": "1/s", "length": "1us"},
         "cpu-out-of-range"),
        ({"kind": "pool_churn", "pools": 2, "arrival": {"times": ["1ms"]}}, "too-few-times"),
        ({"kind": "trace", "file": "/nowhere/program.csv"}, "unreadable"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_are_faults_with_a_code(workload: dict[str, Any], code: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(workload)
    assert [fault.code for fault in caught.value.faults] == [code]


def test_endless_user_work_loses_what_handlers_take_and_refilling_costs() -> None:
    work = {"kind": "user_work", "working_set": 60}
    result = run(policy(), work, cpus=2, duration="1ms")
    victim = result.tasks[result.tasks["workload"] == "user_work"].iloc[0]
    assert victim["cpu"] == 1
    assert not victim["finished"]
    # One full flush: a handler of 200 + 300 + 100 ns, and a debt of 60 entries at 10 ns.
    assert len(result.crosscalls) == 1
    lost = 600_000 + 600_000
    assert victim["end_ps"] - victim["work_ps"] == lost
    (work,) = result.summary["user_work"]
    assert work["slowdown"] == pytest.approx(lost / victim["work_ps"])


def test_user_work_that_shares_its_cpu_is_measured_exactly_too() -> None:
    noise = {"kind": "irq_off_noise", "cpus": [1], "rate": "3000/s", "length": "7us"}
    work = {"kind": "user_work", "cpus": [1], "working_set": 0}
    result = run(noise, work, cpus=2, duration="50ms")
    victim = result.tasks[result.tasks["workload"] == "user_work"].iloc[0]
    cpu = result.cpus.iloc[1]
    windows = int(result.tasks["windows_ps"].sum())
    assert cpu["irqs_off_ps"] == windows > 0
    # The rest of the CPU's time is the work, and switches of 1 us each.
    switches = (cpu["busy_ps"] - victim["work_ps"]) / US
    assert switches == int(switches) > 0


def test_finite_user_work_ends_when_it_is_done() -> None:
    work = {"kind": "user_work", "cpus": [1, 2], "compute": "3ms"}
    result = run(work)
    assert result.summary["duration_ps"] == 3 * MS
    assert result.tasks["work_ps"].tolist() == [3 * MS] * 2
    assert result.tasks["finished"].all()
    assert result.summary["user_work"][0]["slowdown"] == 0


@pytest.mark.parametrize(
    ("cpus", "expected"), [("all", [0, 1, 2, 3]), ("others", [0, 2, 3]), ([2, 0, 2], [0, 2])]
)
def test_a_set_of_cpus_is_all_of_them_those_that_nobody_claims_or_a_list(
    cpus: Any, expected: list[int]
) -> None:
    work = {"kind": "user_work", "cpus": cpus, "compute": "1us"}
    tasks = run(policy(cpu=1), work).tasks
    assert tasks[tasks["workload"] == "user_work"]["cpu"].tolist() == expected


def test_noise_claims_no_cpu() -> None:
    noise = {"kind": "irq_off_noise", "cpus": [1, 2], "rate": "1/s", "length": "1us"}
    tasks = run(noise, {"kind": "user_work"}, policy(cpu=3)).tasks
    assert tasks[tasks["workload"] == "user_work"]["cpu"].tolist() == [0, 1, 2]


def test_noise_makes_windows_at_its_rate_with_its_lengths() -> None:
    noise = {"kind": "irq_off_noise", "cpus": "all", "rate": "1000/s", "length": "10us"}
    result = run(noise, duration="1s")
    windows = result.cpus["irqs_off_ps"].to_numpy() / (10 * US)
    # A Poisson number of mean 1000 on each CPU: six deviations leave one in a billion outside.
    assert (np.abs(windows - 1000) < 6 * 1000**0.5).all()
    assert len(set(windows)) > 1


def test_noise_is_drawn_anew_for_each_cpu_but_not_for_a_larger_machine() -> None:
    noise = {"kind": "irq_off_noise", "cpus": "all", "rate": "1000/s", "length": "1us"}

    def windows(cpus: int) -> list[int]:
        return run(noise, cpus=cpus, duration="100ms").cpus["irqs_off_ps"].tolist()

    assert windows(3) == windows(6)[:3]
    assert len(set(windows(3))) > 1


def test_a_slow_answer_behind_a_window_is_blamed_on_interrupts_off() -> None:
    noise = {"kind": "irq_off_noise", "cpus": [1], "rate": "50000/s", "length": "100us"}
    churn = {"kind": "pool_churn", "arrival": {"times": ["5ms"]}, "allocations": 1}
    result = run(noise, churn, cpus=2)
    assert set(result.crosscalls["slowest_reason"]) == {"irqs_off"}


def test_a_workload_that_is_added_changes_no_draw_of_another() -> None:
    modules = {"kind": "module_burst", "modules": 5, "arrival": {"poisson": "100/s"}, "cpu": 1}
    alone = loads(run(modules))
    beside = run(policy(), {"kind": "user_work", "cpus": [2]}, modules, policy(name="b", cpu=3))
    mine = beside.operations.query("kind == 'load_module'")["start_ps"].tolist()
    # What other CPUs wrote last behind a lock is fetched, so that a load comes a little later.
    assert mine == pytest.approx(alone, abs=5 * US)
    assert mine[0] == alone[0]


@pytest.mark.parametrize("kind", ["policy_load", "module_burst", "pool_churn"])
def test_a_kind_of_one_task_claims_its_cpu(kind: str) -> None:
    required = {"policy_load": {"allocations": 1, "size": "8B"}, "module_burst": {"modules": 1}}
    made = workload_kinds()[kind](cpu=2, **required.get(kind, {}))
    assert made.claims(MachineInfo(4)) == {2}
