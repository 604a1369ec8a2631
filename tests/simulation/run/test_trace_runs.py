"""A trace workload, from files to tables, against the plain reference of the machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pmsim
from pmsim.errors import DeadlockError, ProgramError, ScenarioError, SimulationError
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocols import PROTOCOLS, calls_of
from pmsim.scenario.costs import as_written
from tests.hardware.strategies import programs
from tests.reference.examples import OWN
from tests.reference.machine import run as run_reference
from tests.reference.program import CallRecord, Program, Step, TaskSpec
from tests.scenario_files import write_scenario

OPS = (
    "compute", "irqs_off", "sleep", "flush_kernel", "invalidate",
    "mutex_lock", "mutex_unlock", "spin_lock", "spin_unlock",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _own_protocols() -> Iterator[None]:
    """Have files know the protocols that random programs bring along."""
    with PROTOCOLS.scoped():
        for one in OWN.values():
            PROTOCOLS.add(one)
        yield


def as_trace(program: Program) -> Program:
    """Return the program in the words of a trace: calls go to all CPUs, nothing jitters.

    A kernel that makes calls repeats no invalidation: that is an option of ``tlbi``.
    """
    tasks = tuple(
        replace(task, working_set=3, steps=tuple(_as_row(step) for step in task.steps))
        for task in program.tasks
    )
    isolated = tuple(cpu for cpu in program.isolated if cpu > 0)  # one is left for housekeeping
    return replace(
        program,
        tasks=tasks,
        jitter=(),
        repeat_sync="none",
        drops_all=False,
        isolated=isolated,
    )


def _as_row(step: Step) -> Step:
    operation, argument = step
    if operation in OPS:
        return step
    pages = max(0, argument[0]) if isinstance(argument, tuple) else 5
    return ("flush_kernel", pages)


def csv_text(tasks: tuple[TaskSpec, ...], seed: int) -> str:
    """Write tasks as a trace; their rows are shuffled, each task's own order kept."""
    waiting = [list(task.steps) for task in tasks]
    draw = random.Random(seed)
    lines = ["cpu,op,arg,task"]
    while any(waiting):
        which = draw.choice([i for i, steps in enumerate(waiting) if steps])
        operation, argument = waiting[which].pop(0)
        lines.append(f"{tasks[which].cpu},{operation},{argument},{tasks[which].number}")
    return "\n".join(lines) + "\n"


def scenario_of(program: Program, files: list[str]) -> dict[str, Any]:
    shape = program.topology
    own = {type(one).__name__: as_written(one) for one in program.costs.own}
    topology: dict[str, Any] = {
        "packages": shape.packages,
        "dies": shape.dies,
        "cores": shape.cores,
        "threads": shape.threads,
    }
    if shape.hops is not None:
        topology["hops"] = [list(row) for row in shape.hops]
    end = {"until": "done"} if program.duration is None else {"duration": f"{program.duration}ps"}
    return {
        "pmsim": 1,
        "machine": {
            "topology": topology,
            "cpus": shape.n_cpus,
            "isolated": list(program.isolated),
            "costs": {**as_written(program.costs), **own},
            "host": as_written(program.host),
        },
        "kernel": {
            "profile": "linux-6.1-x86_64",
            "shootdown": {program.shootdown.protocol.name: dict(program.shootdown.chosen)},
            "crosscall_order": program.order,
            "unsafe": True,
            "ceiling": program.ceiling,
        },
        **end,
        "workloads": [{"kind": "trace", "file": file, "working_set": 3} for file in files],
    }


def run_as_scenario(program: Program, seed: int) -> pmsim.Result:
    with TemporaryDirectory() as folder:
        (Path(folder) / "program.csv").write_text(csv_text(program.tasks, seed))
        path = write_scenario(Path(folder), scenario_of(program, ["program.csv"]))
        return pmsim.run(pmsim.load(path))


def outcome_of_reference(program: Program) -> Any:
    try:
        result = run_reference(program)
    except SimulationError as error:
        return type(error)
    others = program.topology.n_cpus - 1
    calls = [
        (
            c.cpu,
            c.task,
            c.start,
            c.end,
            c.gone,
            *_told(c, _by(program), others),
        )
        for c in result.calls
    ]
    cpus = [
        (a.busy, a.spin, a.irqs_off, a.stolen, a.idle, a.frozen, a.refill, a.handlers)
        for a in result.cpus
    ]
    return result.end, calls, cpus


def _by(program: Program) -> str:
    """Return what the table calls the protocol of a program's flushes."""
    protocol = program.shootdown.protocol
    return protocol.name if protocol.own is not None else calls_of(program.shootdown).protocol.name


def _told(call: CallRecord, protocol: str, others: int) -> tuple[str, int]:
    """Return how the others were told, and how many of them.

    How many the hardware has told in the way of somebody's own code the reference does not say.
    """
    if call.served is not None:
        return "tlbi", others
    return protocol, -1 if protocol in OWN else len(call.acks)


def outcome_of_scenario(program: Program, seed: int) -> Any:
    try:
        result = run_as_scenario(program, seed)
    except SimulationError as error:
        return type(error)
    calls = result.crosscalls.sort_values(["start_ps", "cpu", "task"])
    calls.loc[calls["protocol"].isin(OWN), "targets"] = -1
    calls["gone_ps"] = calls["gone_ps"].astype(object).where(calls["gone_ps"].notna(), None)
    columns = ["cpu", "task", "start_ps", "end_ps", "gone_ps", "protocol", "targets"]
    times = [
        "busy_ps", "spin_ps", "irqs_off_ps", "stolen_ps", "idle_ps", "frozen_ps", "refill_ps",
        "handlers",
    ]  # fmt: skip
    return (
        result.summary["duration_ps"],
        [tuple(row) for row in calls[columns].itertuples(index=False)],
        [tuple(row) for row in result.cpus[times].itertuples(index=False)],
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(programs(), st.integers(0, 2**32))
def test_a_trace_run_from_files_gives_what_the_reference_gives(program: Program, seed: int) -> None:
    program = as_trace(program)
    assert outcome_of_scenario(program, seed) == outcome_of_reference(program)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(programs(), st.integers(0, 3000))
def test_a_trace_run_cut_by_a_duration_gives_what_the_reference_gives(
    program: Program, duration: int
) -> None:
    program = replace(as_trace(program), duration=duration + 1)
    expected = outcome_of_reference(program)
    # Ticks of `latr` go on to the end of a scenario whose tasks wait for each other for ever.
    assume(expected is not DeadlockError or program.shootdown.protocol is not LATR)
    assert outcome_of_scenario(program, 0) == expected


def run_files(tmp_path: Path, *traces: str, **keys: Any) -> pmsim.Result:
    """Run traces on two CPUs whose costs are all round."""
    for number, trace in enumerate(traces):
        (tmp_path / f"{number}.csv").write_text("cpu,op,arg,task\n" + trace)
    return pmsim.run(
        pmsim.load(
            write_scenario(
                tmp_path,
                {
                    "pmsim": 1,
                    "machine": TWO_CPUS,
                    "workloads": [
                        {"kind": "trace", "file": f"{number}.csv"} for number in range(len(traces))
                    ],
                    **keys,
                },
            )
        )
    )


TWO_CPUS: dict[str, Any] = {
    "topology": {"cores": 2},
    "costs": {
        "ipi": {
            "queue": "10ps", "send": "0ps", "delivery": {"core": "100ps"}, "line": {"core": "0ps"},
            "entry": "20ps", "exit": "5ps",
        },
        "tlb": {
            "invlpg": "1ps", "flush_all": "50ps", "walk": "0ps", "entries": 0, "sync_core": "0ps"
        },
        "sched": {"quantum": "1000ps", "context_switch": "0ps", "wakeup": "0ps"},
    },
}  # fmt: skip


def test_at_time_0_the_tasks_of_the_first_trace_queue_before_those_of_the_second(
    tmp_path: Path,
) -> None:
    # Task 5 comes first in spite of its number: it flushes at 0, task 2 after its 7 ps.
    result = run_files(tmp_path, "0,compute,7,5\n", "0,flush_kernel,1,2\n")
    assert result.crosscalls["start_ps"].tolist() == [7]


def test_within_one_trace_the_tasks_of_a_cpu_queue_by_number(tmp_path: Path) -> None:
    result = run_files(tmp_path, "0,compute,7,5\n0,flush_kernel,1,2\n")
    assert result.crosscalls["start_ps"].tolist() == [0]


def test_a_lock_of_one_number_is_the_same_in_two_traces(tmp_path: Path) -> None:
    # The second task asks while the first holds it, and goes on at its release, 100 ps later.
    first = "0,spin_lock,3,0\n0,compute,100,0\n0,spin_unlock,3,0\n"
    result = run_files(tmp_path, first, "1,spin_lock,3,0\n1,spin_unlock,3,0\n")
    assert result.cpus["spin_ps"].tolist() == [0, 100]


def test_mutexes_and_spinlocks_of_one_number_are_different_locks(tmp_path: Path) -> None:
    rows = "{0},{1}_lock,0,0\n{0},compute,100,0\n{0},{1}_unlock,0,0\n"
    result = run_files(tmp_path, rows.format(0, "mutex") + rows.format(1, "spin"))
    assert result.summary["duration_ps"] == 100


def test_a_flush_is_recorded_with_its_pages_its_kind_and_the_cause_trace(tmp_path: Path) -> None:
    result = run_files(tmp_path, "0,flush_kernel,33,4\n0,flush_kernel,34,4\n")
    calls = result.crosscalls[["task", "kind", "pages", "cause", "protocol"]]
    assert calls.to_numpy().tolist() == [
        [4, "range", 33, "trace", "ipi"],
        [4, "full", 34, "trace", "ipi"],
    ]
    assert len(result.operations) == 0


BROADCASTS = {
    **TWO_CPUS,
    "costs": {
        **TWO_CPUS["costs"],
        "tlbi": {
            "operation": "100ps", "everything": "300ps", "barrier": "200ps",
            "round_trip": {"core": "1000ps"}, "share": 0.25,
        },
    },
}  # fmt: skip
"""The same, with an interconnect that serves a page in 100 + 200 ps, everything in 300 + 200."""


def test_an_invalidation_is_recorded_with_its_operations_and_its_pages(tmp_path: Path) -> None:
    result = run_files(tmp_path, "0,invalidate,3,4\n0,invalidate,0,4\n", machine=BROADCASTS)
    calls = result.crosscalls[["task", "kind", "cause", "protocol", "targets", "invalidations"]]
    assert calls.to_numpy().tolist() == [
        [4, "range", "trace", "tlbi", 1, 3],
        [4, "full", "trace", "tlbi", 1, 1],
    ]
    assert result.crosscalls["pages"].isna().tolist() == [False, True]
    assert result.crosscalls["slowest_cpu"].isna().all()
    assert (result.crosscalls["end_ps"] - result.crosscalls["start_ps"]).tolist() == [1500, 1500]


def test_the_timeline_holds_invalidations_and_what_they_take_from_others(tmp_path: Path) -> None:
    # Services end at 500 and 2000, in intervals 0 and 2 of 700 ps: CPU 1 loses 125 each time.
    traces = "0,invalidate,3,0\n0,invalidate,0,0\n1,compute,9000,0\n"
    measure = {"timeline": "700ps"}
    result = run_files(tmp_path, traces, machine=BROADCASTS, measure=measure)
    timeline = result.timeline[["broadcasts", "targets", "range", "full", "stolen_ps", "handlers"]]
    assert timeline[:4].to_numpy().tolist() == [
        [1, 1, 1, 0, 125, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 1, 0, 1, 100, 0],
        [0, 0, 0, 0, 25, 0],
    ]
    assert result.summary["broadcasts"]["targets"] == 2
    assert result.cpus["crosscalls_sent"].tolist() == [2, 0]


def test_an_invalidation_on_a_machine_that_cannot_is_a_fault_of_the_scenario(
    tmp_path: Path,
) -> None:
    with pytest.raises(ScenarioError) as caught:
        run_files(tmp_path, "0,invalidate,3,0\n")
    assert [fault.code for fault in caught.value.faults] == ["no-tlbi"]


def test_a_deadlock_fails_the_run_and_names_each_task_and_its_lock(tmp_path: Path) -> None:
    one = "0,mutex_lock,1,0\n0,compute,10,0\n0,mutex_lock,2,0\n"
    other = "1,mutex_lock,2,7\n1,compute,10,7\n1,mutex_lock,1,7\n"
    with pytest.raises(DeadlockError) as caught:
        run_files(tmp_path, one + other)
    assert "task 0 on CPU 0 waits for mutex 2" in str(caught.value)
    assert "task 7 on CPU 1 waits for mutex 1" in str(caught.value)


def test_a_deadlock_is_found_beside_work_that_never_ends(tmp_path: Path) -> None:
    traces = "0,mutex_lock,1,0\n0,sleep,10,0\n0,mutex_lock,2,0\n"
    traces += "0,mutex_lock,2,7\n0,sleep,10,7\n0,mutex_lock,1,7\n"
    workloads = [{"kind": "trace", "file": "0.csv"}, {"kind": "user_work", "cpus": [1]}]
    with pytest.raises(DeadlockError, match="waits for mutex 2"):
        run_files(tmp_path, traces, workloads=workloads)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,mutex_unlock,1,0\n", "releases mutex 1, which it does not hold"),
        ("0,mutex_lock,1,0\n", "ends while it holds a lock"),
        ("0,spin_lock,1,0\n0,sleep,5,0\n", "sleeps while it holds a spinlock"),
        ("0,spin_lock,1,0\n0,spin_lock,1,0\n", "takes spinlock 1 twice"),
    ],
)
def test_a_misused_lock_fails_the_run_with_its_place(
    tmp_path: Path, rows: str, message: str
) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        run_files(tmp_path, rows)
    assert "trace, task 0 on CPU 0" in str(caught.value)


BY_PROTOCOL: dict[str, tuple[dict[str, Any], str, list[int]]] = {
    # start, end and gone of CPU 0's flush of 9 pages at 100, while CPU 1 is in user mode to 5000
    "coherent": ({"store": "7ps"}, "coherent", [100, 114, 114]),
    "directory": ({"lookup": "7ps", "message": "3ps", "round_trip": "50ps"}, "directory",
                  [100, 160, 160]),
    "rar": ({"payload": "7ps", "queue": "10ps", "delivery": "100ps", "action": "30ps"}, "rar",
            [100, 248, 248]),
    "deferred": ({"check": "3ps", "entry_flush": "40ps"}, "deferred", [100, 112, 5040]),
    "tlbi": ({"operation": "2ps", "barrier": "5ps", "round_trip": "50ps"}, "tlbi",
             [100, 173, 123]),
}  # fmt: skip
"""On two CPUs where a page takes 1 to drop."""


@pytest.mark.parametrize("name", BY_PROTOCOL)
def test_flush_kernel_is_made_by_the_protocol_that_the_kernel_has_chosen(
    tmp_path: Path, name: str
) -> None:
    costs, protocol, instants = BY_PROTOCOL[name]
    machine = {
        **TWO_CPUS,
        "isolated": [1],
        "costs": {**TWO_CPUS["costs"], "tlb": {"invlpg": "1ps"}, name: costs},
    }
    result = run_files(
        tmp_path,
        "0,compute,100,0\n0,flush_kernel,9,0\n1,user,5000,0\n",
        machine=machine,
        kernel={"profile": "linux-6.1-x86_64", "shootdown": name},
    )
    (row,) = result.crosscalls[["start_ps", "end_ps", "gone_ps", "protocol"]].to_dict("records")
    assert [row["start_ps"], row["end_ps"], row["gone_ps"]] == instants
    assert row["protocol"] == protocol
