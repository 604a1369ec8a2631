from __future__ import annotations

import gc
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pmsim
from pmsim.errors import OutputError, ProgramError
from pmsim.simulation.run.observer import Progress
from pmsim.simulation.tables.columns import CPU_TIMES, LATENCY_PARTS, TABLES
from pmsim.units import MS
from tests.machines import scenario
from tests.scenario_files import write_scenario

POLICY = {"kind": "policy_load", "allocations": 64, "size": "512B"}
MODULES = {"kind": "module_burst", "modules": 4, "cpu": 1, "arrival": {"poisson": "200/s"}}
WORK = {"kind": "user_work"}


@pytest.fixture(scope="module")
def result() -> pmsim.Result:
    """A run with a bit of everything."""
    return pmsim.run(scenario(POLICY, MODULES, WORK, replications=2, seed=3))


def test_the_times_of_each_cpu_add_up_to_the_duration(result: pmsim.Result) -> None:
    durations = result.manifest["durations_ps"]
    for replication, cpus in result.cpus.groupby("replication"):
        sums = cpus[[column.name for column in CPU_TIMES]].sum(axis=1)
        assert set(sums) == {durations[replication]}


def test_both_timelines_add_up_to_the_accounts_of_the_cpus(result: pmsim.Result) -> None:
    for column in CPU_TIMES:
        total = result.cpus.groupby("replication")[column.name].sum().tolist()
        for table in (result.timeline, result.cpu_timeline):
            assert table.groupby("replication")[column.name].sum().tolist() == total
    assert result.timeline["broadcasts"].sum() == len(result.crosscalls)
    assert result.timeline["handlers"].sum() == result.cpus["handlers"].sum()


def test_the_parts_of_each_latency_add_up(result: pmsim.Result) -> None:
    calls = result.crosscalls
    parts = calls[[part.name for part in LATENCY_PARTS]].sum(axis=1)
    assert (parts == calls["end_ps"] - calls["start_ps"]).all()


def test_the_parts_of_each_operation_s_time_add_up(result: pmsim.Result) -> None:
    rows = result.operations
    parts = rows[["run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps"]].sum(axis=1)
    assert (parts == rows["end_ps"] - rows["start_ps"]).all()


def test_each_call_names_the_operation_that_made_it_and_each_operation_counts_its_calls(
    result: pmsim.Result,
) -> None:
    calls = result.crosscalls.merge(
        result.operations, left_on=["replication", "operation"], right_on=["replication", "id"]
    )
    assert len(calls) == len(result.crosscalls) > 0
    assert (calls["start_ps_x"] >= calls["start_ps_y"]).all()
    assert (calls["end_ps_x"] <= calls["end_ps_y"]).all()
    roots = result.operations[result.operations["parent"].isna()]
    assert roots["crosscalls"].sum() == len(result.crosscalls)


def test_each_parent_is_an_operation_around_its_child(result: pmsim.Result) -> None:
    rows = result.operations
    pairs = rows.merge(rows, left_on=["replication", "parent"], right_on=["replication", "id"])
    assert len(pairs) == rows["parent"].notna().sum() > 0
    assert (pairs["start_ps_x"] >= pairs["start_ps_y"]).all()
    assert (pairs["end_ps_x"] <= pairs["end_ps_y"]).all()


def test_the_same_scenario_and_seed_give_the_same_tables_bit_for_bit(result: pmsim.Result) -> None:
    again = pmsim.run(scenario(POLICY, MODULES, WORK, replications=2, seed=3))
    for name in TABLES:
        assert again.table(name).equals(result.table(name)), name
    assert again.summary == result.summary


def test_another_seed_gives_other_arrivals(result: pmsim.Result) -> None:
    other = pmsim.run(scenario(POLICY, MODULES, WORK, replications=2, seed=4))
    loads = [r.operations.query("kind == 'load_module'")["start_ps"] for r in (result, other)]
    assert loads[0].tolist() != loads[1].tolist()


def test_replications_draw_anew_and_are_the_same_alone(result: pmsim.Result) -> None:
    loads = result.operations.query("kind == 'load_module'")
    first, second = (loads[loads["replication"] == r]["start_ps"].tolist() for r in (0, 1))
    assert first != second
    alone = pmsim.run(scenario(POLICY, MODULES, WORK, seed=3)).operations
    assert alone.query("kind == 'load_module'")["start_ps"].tolist() == first


def test_a_run_cut_by_a_duration_ends_there() -> None:
    result = pmsim.run(scenario(WORK, duration="5ms"))
    assert result.manifest["durations_ps"] == [5 * MS]
    assert result.tasks["end_ps"].unique().tolist() == [5 * MS]


def test_a_scenario_may_be_given_by_its_path(tmp_path: Path) -> None:
    data = scenario(POLICY).as_dict()
    path = write_scenario(tmp_path, data)
    for given in (path, str(path)):
        assert len(pmsim.run(given).pools) == 1


def test_the_manifest_says_where_the_result_comes_from(tmp_path: Path) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg\n0,flush_kernel,1\n")
    one = scenario({"kind": "trace", "file": str(program)}, seed=11)
    manifest = pmsim.run(one).manifest
    assert manifest["seed"] == 11
    assert manifest["scenario"] == json.loads(json.dumps(one.resolve().as_dict()))
    assert manifest["inputs"] == {str(program): hashlib.sha256(program.read_bytes()).hexdigest()}
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["rows"]["crosscalls"] == 1


def test_the_scenario_of_a_manifest_runs_to_the_same_tables(result: pmsim.Result) -> None:
    again = pmsim.run(pmsim.Scenario.from_dict(result.manifest["scenario"]))
    assert again.crosscalls.equals(result.crosscalls)
    assert again.manifest["scenario_sha256"] == result.manifest["scenario_sha256"]


def test_progress_is_reported_from_the_start_to_the_end() -> None:
    seen: list[Progress] = []
    pmsim.run(scenario(POLICY, WORK, duration="20ms", replications=2), progress=seen.append)
    assert (seen[0].now_ps, seen[-1].now_ps) == (0, 20 * MS)
    assert {(p.replication, p.replications) for p in seen} == {(0, 2), (1, 2)}
    assert {p.end_ps for p in seen} == {20 * MS}
    assert seen[-1].crosscalls > 0
    assert len(seen) > 20


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.now_ps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pmsim.run(scenario(POLICY, WORK), tmp_path / "result", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg\n0,mutex_unlock,1\n")
    with pytest.raises(ProgramError):
        pmsim.run(scenario({"kind": "trace", "file": str(program)}), tmp_path / "result")
    assert list(tmp_path.iterdir()) == [program]


def test_an_existing_result_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    reports: list[Progress] = []
    with pytest.raises(OutputError):
        pmsim.run(scenario(POLICY), tmp_path / "result", progress=reports.append)
    assert reports == []


def test_what_finish_writes_appears_with_the_result(tmp_path: Path) -> None:
    def finish(result: pmsim.Result) -> None:
        assert not (tmp_path / "result").exists()
        (result.path / "note.txt").write_text(str(len(result.crosscalls)))

    result = pmsim.run(scenario(POLICY), tmp_path / "result", finish=finish)
    assert (tmp_path / "result" / "note.txt").read_text() == str(len(result.crosscalls))


def test_a_result_without_a_place_disappears_with_its_object() -> None:
    result = pmsim.run(scenario(POLICY))
    path = result.path
    assert path.is_dir()
    del result
    gc.collect()
    assert not path.exists()


def test_a_user_s_own_workload_runs_as_documented(scoped_kinds: None) -> None:
    @pmsim.workload("guarded_table")
    class GuardedTable:
        entries: int = 1000

        def run(self, kernel: Any, cpu: Any) -> Any:
            pool = yield from kernel.pmalloc_create_pool(refill="4KiB", align_order=3)
            for _ in range(self.entries):
                yield from kernel.pmalloc(pool, "24B")
            yield from kernel.pmalloc_protect_pool(pool)
            yield from kernel.pmalloc_destroy_pool(pool)
            area = yield from kernel.vmalloc("16KiB")
            yield from kernel.set_memory_ro(area.address, area.pages)
            allowed = yield from kernel.write(area.address, "8B")
            assert not allowed
            yield from kernel.vfree(area)
            yield from cpu.compute("10us")
            yield from cpu.irqs_off("1us")
            yield from cpu.sleep("1us")

    result = pmsim.run(scenario({"kind": "guarded_table", "entries": 340}))
    (pool,) = result.pools.itertuples()
    assert (pool.allocations, pool.areas, pool.destroyed) == (340, 2, True)
    (fault,) = result.faults.itertuples()
    assert (fault.kind, fault.workload, fault.cpu) == ("write", "guarded_table", 0)
    assert fault.address.startswith("0xffffc9")
    assert "read only" in fault.detail


def test_an_error_in_a_workload_s_own_code_is_told_with_its_place(scoped_kinds: None) -> None:
    @pmsim.workload("buggy")
    class Buggy:
        def run(self, kernel: Any, cpu: Any) -> Any:
            yield from cpu.compute("5ns")
            yield from kernel.no_such_call()

    with pytest.raises(ProgramError, match="AttributeError") as caught:
        pmsim.run(scenario({"kind": "buggy", "cpu": 2}))
    assert "buggy, task 0 on CPU 2" in str(caught.value)
    assert caught.value.at_ps == 5000


def test_tasks_get_the_lowest_numbers_that_traces_leave_free(tmp_path: Path) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg,task\n1,compute,5,0\n1,compute,5,2\n")
    one = {"kind": "user_work", "cpus": [0, 1], "compute": "1us"}
    tasks = pmsim.run(
        scenario(one, {"kind": "trace", "file": str(program)}, {**one, "name": "second"})
    ).tasks
    numbers = {
        (str(row.workload), int(row.cpu)): int(row.task)
        for row in tasks.itertuples()
        if row.workload != "trace"
    }
    assert numbers == {
        ("user_work", 0): 0,
        ("second", 0): 1,
        ("user_work", 1): 1,
        ("second", 1): 3,
    }
    assert sorted(tasks[tasks["workload"] == "trace"]["task"]) == [0, 2]


def test_a_guest_is_the_machine_whose_sends_and_handlers_take_longer_by_what_its_host_adds() -> (
    None
):
    bare = {"platform": "skylake-sp-2s", "cpus": 4}
    ipi = {"send": "1080ns", "entry": "2150ns"}  # of 80 and 150 ns
    machines = ({**bare, "host": {"exit": "1us", "inject": "2us"}}, {**bare, "costs": {"ipi": ipi}})
    guest, slow = (
        pmsim.run(scenario(POLICY, WORK, machine=machine, seed=3)) for machine in machines
    )
    pd.testing.assert_frame_equal(guest.crosscalls, slow.crosscalls)
    pd.testing.assert_frame_equal(guest.cpus, slow.cpus)
    assert guest.manifest["scenario"]["machine"]["host"]["inject"] == "2us"
