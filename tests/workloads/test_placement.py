from __future__ import annotations

from pathlib import Path

import pytest

from pmsim.workloads.kinds.irq_off_noise import IrqOffNoise
from pmsim.workloads.kinds.policy_load import PolicyLoad
from pmsim.workloads.kinds.trace import Trace
from pmsim.workloads.kinds.user_work import UserWork
from pmsim.workloads.placement import with_claims, with_names, workload_faults
from pmsim.workloads.task import MachineInfo


def policy(**keys: object) -> PolicyLoad:
    return PolicyLoad(**{"allocations": 1, "size": "8B", **keys})


def trace(folder: Path, name: str, rows: str) -> Trace:
    path = folder / f"{name}.csv"
    path.write_text("cpu,op,arg,task\n" + rows)
    return Trace(file=str(path))


def test_workloads_without_names_are_called_by_their_kind_numbered_from_the_second_on() -> None:
    named = with_names([policy(), policy(), UserWork(), policy()])
    assert [one.name for one in named] == [
        "policy_load", "policy_load-2", "user_work", "policy_load-3",
    ]  # fmt: skip


def test_a_name_that_is_given_is_kept_and_not_given_twice() -> None:
    named = with_names([policy(), policy(name="policy_load"), policy(name="mine")])
    assert [one.name for one in named] == ["policy_load-2", "policy_load", "mine"]


def test_the_cpus_that_workloads_name_are_claimed() -> None:
    noise = IrqOffNoise(cpus=[3], rate="1/s", length="1us")
    info = with_claims(MachineInfo(5), [policy(cpu=1), UserWork(), UserWork(cpus=[2]), noise])
    assert info.claimed == {1, 2}
    assert info.others == (0, 3, 4)


def test_two_workloads_of_one_name_are_a_fault_of_the_second() -> None:
    ((index, fault),) = workload_faults(
        [policy(name="a"), policy(name="b"), policy(name="a")], MachineInfo(4)
    )
    assert (index, fault.code, fault.path) == (2, "duplicate-name", ("name",))


def test_the_same_task_in_two_traces_is_a_fault_of_the_second(tmp_path: Path) -> None:
    one = trace(tmp_path, "one", "0,compute,1,0\n1,compute,1,7\n")
    two = trace(tmp_path, "two", "0,compute,1,1\n1,compute,1,7\n")
    ((index, fault),) = workload_faults([one, two], MachineInfo(2))
    assert (index, fault.code) == (1, "duplicate-task")
    assert "task 7 of CPU 1 is in workload 1 as well" in fault.message


def test_different_tasks_of_a_cpu_in_two_traces_are_none(tmp_path: Path) -> None:
    one = trace(tmp_path, "one", "0,compute,1,0\n")
    two = trace(tmp_path, "two", "0,compute,1,1\n")
    assert workload_faults([one, two], MachineInfo(2)) == []


def test_the_same_trace_twice_is_a_fault(tmp_path: Path) -> None:
    one = trace(tmp_path, "one", "0,compute,1,0\n")
    assert [fault.code for _, fault in workload_faults([one, one], MachineInfo(2))] == [
        "duplicate-task"
    ]


def test_a_trace_with_bad_rows_is_reported_by_its_file_beside_other_faults(tmp_path: Path) -> None:
    bad = trace(tmp_path, "bad", "9,compute,1,0\n")
    faults = workload_faults([bad, policy(cpu=8)], MachineInfo(2))
    assert [(index, fault.code) for index, fault in faults] == [
        (0, "cpu-out-of-range"),
        (1, "cpu-out-of-range"),
    ]
    assert faults[0][1].file == str(tmp_path / "bad.csv")  # type: ignore[union-attr]


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_others_may_be_none_at_all(cpus: int) -> None:
    info = with_claims(MachineInfo(cpus), [policy(), UserWork()])
    assert len(UserWork().tasks(info)) == cpus - 1


def test_isolated_and_housekeeping_cpus_are_named_and_claimed() -> None:
    machine = MachineInfo(6, isolated=(2, 3, 5))
    isolated, housekeeping = UserWork(cpus="isolated"), UserWork(cpus="housekeeping")
    assert isolated.chosen_cpus(machine) == (2, 3, 5)
    assert housekeeping.chosen_cpus(machine) == (0, 1, 4)
    assert with_claims(machine, [isolated, UserWork()]).others == (0, 1, 4)
