"""Section 15 of the machine-model page: shootdowns made by code that is not pmsim's own.

On the plain machine a call of CPU 0 at *t* on one CPU is in its queue at t + 100, arrives there at
t + 1100 and is taken at t + 1150; dropping two pages takes 20. Each program runs on both
implementations.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pmsim.hardware.host import Host
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from pmsim.hardware.shootdown.protocols import number_of
from tests.hardware import machines
from tests.hardware.adapters import rows_of
from tests.hardware.machines import compute, flush_kernel, on, sleep
from tests.reference.examples import OWN
from tests.reference.program import Program


def program(name: str, *tasks: Any, options: dict[str, str] | None = None, **more: Any) -> Program:
    """Return a program on a machine of this protocol; its costs are among ``more``."""
    record = OWN[name]
    given = {key: more.pop(key) for key in list(more) if key in record.costs.__dataclass_fields__}
    changes = {"isolated": (1, 2, 3), "own": (record.costs(**given),), **more}
    return machines.program(*tasks, shootdown=with_options(record, options or {}), **changes)


def user(ps: int) -> tuple[str, object]:
    return "user", ps


def the_call(result: Any) -> tuple[int, int, int | None]:
    (one,) = result.calls
    return one.start, one.end, one.gone


DEFERRING = partial(
    program,
    "early",
    on(0, compute(1), flush_kernel(2)),
    on(1, user(5000), compute(10)),
    on(2, compute(9)),
    mark=5,
)
"""CPU 1 is left out (5), CPU 2 is called at 6."""


def test_the_documented_one_leaves_a_cpu_out_and_goes_on_when_the_other_has_begun(run):
    result = run(DEFERRING())
    assert result.calls[0].acks == {2: 6 + 1150}
    assert the_call(result) == (1, 6 + 1150, 5000 + 70)
    assert (result.cpus[1].handlers, result.cpus[1].irqs_off) == (0, 70)


def test_its_shootdown_is_one_row_whose_parts_add_up():
    ((row, acks),) = rows_of(DEFERRING())
    assert row["protocol"] == number_of(OWN["early"])
    assert (row["targets"], row["left_out"], row["slowest_cpu"], acks) == (1, 1, 2, {2: 1156})
    parts = {name: ps for name, ps in row.items() if name.endswith("_ps") and ps}
    assert parts == {
        "start_ps": 1, "end_ps": 1156, "gone_ps": 5070,
        "local_ps": 5, "queue_ps": 100, "delivery_ps": 1000, "entry_ps": 50,
    }  # fmt: skip


def test_a_cpu_that_is_not_in_user_mode_is_called_like_any_other(run):
    result = run(program("early", on(0, compute(1), flush_kernel(2)), on(1, compute(5000))))
    assert the_call(result) == (1, 1151, 1171)


def test_what_nobody_may_put_off_is_acknowledged_when_it_is_done(run):
    result = run(program("early", on(0, compute(1), ("call", (2, (1,)))), on(1, user(5000))))
    assert the_call(result) == (1, 1 + 1150 + 70 + 20, 1 + 1150 + 70 + 20)


def test_two_calls_and_a_wait_between_them_are_one_shootdown(run):
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, compute(9000)), on(2, compute(9000)))
    result = run(program("entry", *tasks, options={"once": "false"}, note=30))
    assert result.calls[0].acks == {1: 1 + 1170, 2: 1171 + 30 + 1170}
    assert the_call(result) == (1, 2371, 2371)
    assert result.cpus[0].irqs_off == 2 * 120


def test_a_task_is_not_preempted_within_a_shootdown(run):
    first = on(0, compute(60), flush_kernel(2), compute(1))
    tasks = (first, on(0, compute(50)), on(1, compute(9000)), on(2, compute(9000)))
    result = run(program("entry", *tasks, options={"once": "false"}, quantum=60, note=0))
    assert the_call(result) == (110, 110 + 2 * 1170, 110 + 2 * 1170)


def test_a_note_is_dropped_at_the_next_tick_and_the_others_are_called(run):
    free = ("free", (2, (1, 2)))
    tasks = (on(0, compute(1), free, sleep(30_000)), on(1, compute(20_000)), on(2, compute(20_000)))
    result = run(program("tick", *tasks, work=4, isolated=()))
    # The note takes 7, then work of 4, then CPU 1 is called; CPU 2 looks at 10,000.
    at = 1 + 7 + 4
    assert result.calls[0].acks == {1: at + 1170}
    assert the_call(result) == (1, at + 1170, 10_000 + 50 + 3 * 3 + 11)


def test_a_frozen_cpu_drops_everything_when_it_runs_again(run):
    host = Host(overcommit=2, slice=1000, phases=(0, 1000))
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, compute(5000)))
    result = run(program("runs", *tasks, host=host))
    assert the_call(result) == (1, 1 + 20, 1000 + 70)


def test_hardware_drops_it_on_idle_cpus_and_a_call_without_targets_here(run):
    result = run(program("runs", on(0, compute(1), flush_kernel(2)), cpus=2, lookup=40))
    assert the_call(result) == (1, 1 + 40 + 20, 61)
    assert result.cpus[0].spin == 40


def test_a_broadcast_takes_what_it_takes_of_the_machine(run):
    result = run(program("broadcast", on(0, compute(1), flush_kernel(4)), cpus=2))
    assert the_call(result) == (1, 1 + 4 * 100 + 200 + 1000, 1 + 600)


def test_it_is_gone_when_a_function_ends_that_was_acknowledged_before(run):
    # CPU 1 runs the function from 1151 to 1171; the hardware has dropped it there at 1156.
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, compute(5000)))
    assert the_call(run(program("begun", *tasks, cpus=2, wait=5))) == (1, 1156, 1171)
    assert the_call(run(program("begun", *tasks, cpus=2, wait=30))) == (1, 1181, 1181)


def test_who_is_left_out_twice_is_so_from_the_first_time(run):
    # The first entry ends at 70, before the second time.
    steps = user(0), sleep(200), user(0)
    tasks = (on(0, compute(1), flush_kernel(2), compute(500)), on(1, *steps))
    assert the_call(run(program("always", *tasks, cpus=2, isolated=(1,), work=100))) == (1, 201, 70)


def test_who_is_left_out_as_it_runs_again_after_an_entry_keeps_it_until_the_next(run):
    # CPU 1's entry ends at 1000, as it freezes; CPU 0 leaves it out at 2000, before its next step.
    host = Host(overcommit=2, slice=1000, phases=(0, 0))
    steps = user(930), sleep(0), user(10)
    tasks = (on(0, compute(1000), flush_kernel(2)), on(1, *steps))
    result = run(program("always", *tasks, cpus=2, isolated=(1,), host=host))
    assert the_call(result) == (2000, 2000, 2000 + 10 + 70)


@pytest.mark.parametrize("operation", ["sync_core", "empty"])
def test_what_drops_nothing_is_a_call_as_ever(run, operation):
    step = (operation, 20 if operation == "empty" else None)
    plain = machines.program(on(0, step), on(1, compute(5000)), sync_core=20)
    own = program("early", on(0, step), on(1, compute(5000)), sync_core=20)
    assert run(own) == run(plain)


def test_a_task_goes_the_way_of_its_machines_protocol_alone():
    rows = rows_of(machines.program(on(0, flush_kernel(2)), on(1, compute(5000))))
    assert [row["protocol"] for row, _ in rows] == [0]
    assert Shootdown(OWN["early"]).at_return.name == "GONE"
