"""A cross-call's row says which CPU was waited for and why, and its parts add up to the latency.

What is expected follows from the acknowledgements, which the reference confirms elsewhere, by the
formulas of the machine model: the visit leaves c at ``max(before, ack) + line``.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.passes.layout import LOG_COLUMNS
from pmsim.hardware.shootdown.holders import COHERENT, DIRECTORY
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocols import calls_of, number_of
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.shootdown.tlbi import TLBI
from pmsim.hardware.tlb import CallKind
from tests.hardware.adapters import rows_of
from tests.hardware.machines import call, compute, flush_kernel, irqs_off, on, program, sleep
from tests.hardware.strategies import programs
from tests.reference.fuzz import outcome
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result

PARTS = LOG_COLUMNS[LOG_COLUMNS.index("queue_ps") : LOG_COLUMNS.index("resume_ps") + 1]
WAITS = {"irqs_off_ps": "IRQS_OFF", "idle_exit_ps": "IDLE_EXIT", "busy_handler_ps": "BUSY_HANDLER"}


def parts_of(row: dict[str, int]) -> dict[str, int]:
    """Return the parts that are not zero."""
    return {name: row[name] for name in PARTS if row[name]}


def the_row(program: Program) -> dict[str, int]:
    """Return the row of CPU 0's call, the first."""
    return next(row for row, _ in rows_of(program) if row["cpu"] == 0)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs())
def test_the_parts_of_every_call_follow_from_its_acknowledgements(program: Program) -> None:
    assume(isinstance(outcome(run_reference, program), Result))
    check_rows(program)


def check_rows(program: Program) -> None:
    """Compare the parts of every row with the formulas."""
    rows = rows_of(program)
    broadcasts = [row for row, _ in rows if row["protocol"] == number_of(TLBI)]
    for row, acks in rows:
        assert sum(row[name] for name in PARTS) == row["end_ps"] - row["start_ps"]
        assert all(row[name] >= 0 for name in PARTS)
        frozen = row["slowest_reason"] == SlowestReason.FROZEN
        assert frozen == (row["frozen_ps"] > 0)
        assert program.host.freezes or not frozen
        if program.host.freezes:
            continue  # the twins' times hold these
        own = program.shootdown.protocol.own is not None
        if own and row["protocol"] == number_of(program.shootdown.protocol):
            continue  # its code's primitives, put together
        if row["protocol"] == number_of(TLBI):
            check_invalidation(program, row, broadcasts)
        elif row["protocol"] in map(number_of, (COHERENT, DIRECTORY)):
            assert {row[name] for name in PARTS} == {
                0, row["function_ps"], row["delivery_ps"], row["resume_ps"],
            }  # fmt: skip
        elif row["protocol"] == number_of(LATR):
            assert {row[name] for name in PARTS} <= {0, row["local_ps"], row["resume_ps"]}
            assert (row["targets"], row["left_out"] > 0, acks) == (0, True, {})
        else:
            check_slowest(program, row, acks)


def check_invalidation(
    program: Program, row: dict[str, int], broadcasts: list[dict[str, int]]
) -> None:
    """Compare the parts with the formulas; when the service ends is what the twins agree on."""
    tlbi, topology = program.costs.tlbi, program.topology
    assert tlbi is not None
    operations, each = row["invalidations"], tlbi.operation
    repeats = program.repeat_sync
    if repeats == "per_sync":
        operations -= 1
    if repeats == "per_operation":
        assert operations % 2 == 0
        operations //= 2
    if row["kind"] == CallKind.FULL:
        assert operations == 1
        each = tlbi.everything
    others = [cpu for cpu in range(topology.n_cpus) if cpu != row["cpu"]]
    barrier = tlbi.barrier + len(others) * tlbi.answer
    served, beside = (0, barrier) if tlbi.own_barrier else (barrier, 0)
    service, trips = operations * each + served, 1
    if repeats == "per_operation":
        service, trips = service + operations * (each + served), operations + 1
    if repeats == "per_sync":
        service, trips = service + tlbi.operation + served, 2
    trip = beside + max(
        (topology.cost(tlbi.round_trip, row["cpu"], cpu) for cpu in others), default=0
    )
    assert row["delivery_ps"] == trips * trip
    if tlbi.contention == 0:
        assert row["function_ps"] == service
    elif repeats != "per_sync":
        begin = row["start_ps"] + row["queue_ps"]
        ahead = sum(row["start_ps"] < served_at(one) <= begin for one in broadcasts if one != row)
        assert row["function_ps"] == service + ahead * tlbi.contention
    assert (row["targets"], row["slowest_cpu"]) == (len(others), -1)
    expected = SlowestReason.DISTANCE if others else SlowestReason.LOCAL
    if row["queue_ps"] > 0:
        expected = SlowestReason.BUSY_SERVER
    assert SlowestReason(row["slowest_reason"]) is expected


def served_at(row: dict[str, int]) -> int:
    """Return when the service of an invalidation ended."""
    return row["start_ps"] + row["queue_ps"] + row["function_ps"]


def check_slowest(program: Program, row: dict[str, int], acks: dict[int, int]) -> None:
    """Compare the CPU that was waited for, and its parts, with the formulas."""
    assert row["protocol"] == number_of(calls_of(program.shootdown).protocol)
    if program.isolated and program.shootdown.protocol.name == "deferred":
        return  # checks stand between queues: the twins' times hold these calls
    topology, initiator, n = program.topology, row["cpu"], len(acks)
    costs = program.call_costs
    trap, fanout = getattr(costs, "trap", 0), program.reached_by_a_write(n)
    trap += getattr(costs, "payload", 0)
    if program.shootdown.protocol is RAR and n:
        rides = row["slowest_reason"] == SlowestReason.RIDE
        told = sorted(acks).index(row["slowest_cpu"]) + 1 if rides else n
        waited = row["queue_ps"] - (trap + told * costs.queue)
        assert waited >= 0
        trap += waited
    lines, total = {}, 0
    for cpu in sorted(acks):
        lines[cpu] = total
        total += topology.cost(costs.line, initiator, cpu)
    groups = sorted({cpu // fanout for cpu in acks})
    sent = (
        row["start_ps"]
        + trap
        + n * costs.queue
        + len(groups) * program.send
        + n * program.host.kick
    )
    if row["slowest_cpu"] < 0:
        assert SlowestReason(row["slowest_reason"]) is SlowestReason.LOCAL
        serial = program.order == "serial" and program.shootdown.protocol is not RAR
        local = 0 if serial and n else row["local_ps"]
        if n:
            assert row["queue_ps"] == trap + n * costs.queue
        assert all(ack - lines[cpu] <= sent + local for cpu, ack in acks.items())
        assert row["visit_ps"] == total
        return
    slowest = row["slowest_cpu"]
    latest = max(ack - lines[cpu] for cpu, ack in acks.items())
    assert slowest == min(cpu for cpu, ack in acks.items() if ack - lines[cpu] == latest)
    assert latest > sent
    assert row["visit_ps"] == total - lines[slowest]
    reason = SlowestReason(row["slowest_reason"])
    if reason is SlowestReason.RIDE:
        position = sorted(acks).index(slowest)
        assert row["queue_ps"] == trap + (position + 1) * costs.queue
        return
    assert row["ride_ps"] == 0
    assert row["queue_ps"] == trap + n * costs.queue
    kicks = (sorted(acks).index(slowest) + 1) * program.host.kick
    assert row["send_ps"] == (groups.index(slowest // fanout) + 1) * program.send + kicks
    delivery = topology.cost(costs.delivery, initiator, slowest)
    assert row["delivery_ps"] >= delivery if program.jitters else row["delivery_ps"] == delivery
    assert row["entry_ps"] == program.entry
    for column, name in WAITS.items():
        assert (row[column] > 0) == (reason is SlowestReason[name])


# queue 100, delivery 1000, entry 50: a lone call of 0 by CPU 0 on CPU 1 arrives at 1100.
LONE = {"queue_ps": 100, "delivery_ps": 1000, "entry_ps": 50}
REASONS = {
    # CPU 1 computes: nothing holds the handler up.
    "distance": ((on(1, compute(9000)),), (), {}),
    # The window that began at 0 ends at 3000: 1900 after the arrival.
    "irqs_off": ((on(1, irqs_off(3000)),), (), {"irqs_off_ps": 1900}),
    # Idle from 0, 1100 at the arrival: the state of residency 500 takes 40 to leave.
    "idle_exit": ((), ((500, 40),), {"idle_exit_ps": 40}),
    # Its task is woken by a timer at 1090 and the CPU with it, until 1130: 30 after the arrival.
    "waking": ((on(1, sleep(1090), compute(10)),), ((0, 40),), {"idle_exit_ps": 30}),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_row_says_what_held_the_handler_up_and_for_how_long(name: str) -> None:
    others, idle, wait = REASONS[name]
    row = the_row(program(on(0, call(1)), *others, cpus=2, idle=idle))
    expected = "idle_exit" if name == "waking" else name
    assert SlowestReason(row["slowest_reason"]).name.lower() == expected
    assert row["slowest_cpu"] == 1
    assert parts_of(row) == {**LONE, **wait}


def test_a_handler_behind_another_one_is_blamed_on_that() -> None:
    # CPU 1's call on CPU 2: queued at 100, arrives at 1100, taken at 1150; its 300 pages' 3000 and
    # the exit of 50 last until 4200. CPU 0's, made at 1100, is queued at 1200: too late for the
    # take. It arrives at 2200 and starts at 4200.
    busy = program(
        on(0, compute(1100), call(2)), on(1, call(2, pages=300)), on(2, compute(9000)), ceiling=999
    )
    row = the_row(busy)
    assert SlowestReason(row["slowest_reason"]) is SlowestReason.BUSY_HANDLER
    assert parts_of(row) == {**LONE, "busy_handler_ps": 2000}


def test_a_call_that_rides_along_waits_for_the_take_of_the_other() -> None:
    # CPU 1's call is taken on CPU 2 at 1150. CPU 0's, made at 500, is queued at 600 and rides; its
    # function follows the other's 30 pages: 300.
    riding = program(on(0, compute(500), call(2)), on(1, call(2, pages=30)), on(2, compute(9000)))
    row = the_row(riding)
    assert SlowestReason(row["slowest_reason"]) is SlowestReason.RIDE
    assert parts_of(row) == {"queue_ps": 100, "ride_ps": 550, "function_ps": 300}


def test_nobody_is_waited_for_where_the_initiator_is_the_slowest() -> None:
    # Queued at 100 and 200, sent at 250 and 300, acknowledged at 250 + 1 + 40 and 300 + 1 + 40. The
    # initiator is done with sending and its own function at 300 + 40, and passes each for 50.
    row = the_row(
        program(on(0, flush_kernel(4)), cpus=3, delivery=0, entry=1, exit=0, send=50, line=50)
    )
    assert SlowestReason(row["slowest_reason"]) is SlowestReason.LOCAL
    assert row["slowest_cpu"] == -1
    assert parts_of(row) == {"queue_ps": 200, "send_ps": 100, "local_ps": 40, "visit_ps": 100}


def test_of_two_that_are_equally_late_the_lower_cpu_is_named() -> None:
    # Arrivals at 1200 on both, acknowledged at 1250.
    row = the_row(program(on(0, flush_kernel(0)), cpus=3))
    assert row["slowest_cpu"] == 1


def test_a_call_without_targets_is_local_and_nothing_else() -> None:
    row = the_row(program(on(0, call(pages=7)), cpus=2))
    assert SlowestReason(row["slowest_reason"]) is SlowestReason.LOCAL
    assert row["slowest_cpu"] == -1
    assert parts_of(row) == {"local_ps": 70}


def test_the_local_function_of_the_serial_order_comes_after_the_visit() -> None:
    row = the_row(program(on(0, call(1, pages=3)), on(1, compute(9000)), order="serial", line=7))
    assert parts_of(row) == {**LONE, "function_ps": 30, "visit_ps": 7, "local_ps": 30}


def test_a_handler_on_the_initiator_holds_up_its_return() -> None:
    # Both call at 0. Interrupts are off on CPU 0 until 100; CPU 1's arrives at 1100, like its own
    # on CPU 1: acknowledged at 1150 on both sides, but the handler on CPU 0 runs until 1200.
    row = the_row(program(on(0, call(1)), on(1, call(0))))
    assert parts_of(row) == {**LONE, "resume_ps": 50}
