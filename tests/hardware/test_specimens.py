"""What the fabric keeps of a call is what the reference says happened, and it keeps the right ones.

The instants are checked with the formulas of the machine-model page, sections 3 and 4.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from pmsim.errors import DeadlockError, ProgramError
from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.passes import layout, specimens
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import number_of
from pmsim.hardware.shootdown.sbi import SBI
from pmsim.hardware.specimens import WholeCalls
from tests.hardware.adapters import kept_of
from tests.hardware.machines import EVERYTHING, call, compute, irqs_off, on, program
from tests.hardware.strategies import programs
from tests.reference.machine import ReferenceMachine
from tests.reference.program import Program


def latency(kept: WholeCalls) -> int:
    return int((kept.row["end_ps"] - kept.row["start_ps"]).item())


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs())
def test_a_kept_call_is_one_of_the_reference_with_its_acknowledgements(program: Program) -> None:
    reference = ReferenceMachine(program)
    try:
        reference.run()
    except (ProgramError, DeadlockError):
        assume(False)
    # Of calls that nobody waits for those are kept that all targets have run.
    calls = [
        (one, acks)
        for one, call in reference.made
        if (acks := call.acknowledged()) and acks.keys() == set(call.targets)
    ]
    kept = kept_of(program)
    assert set(kept) == ({"median", "p99", "slowest"} if calls else set())
    for specimen in kept.values():
        row = specimen.row
        acks = dict(zip(specimen.cpu.tolist(), specimen.ack.tolist(), strict=True))
        assert any(
            (one.cpu, one.start, one.end) == (row["cpu"], row["start_ps"], row["end_ps"])
            and theirs == acks
            for one, theirs in calls
        )
        check_instants(program, specimen)
    if calls:
        assert latency(kept["slowest"]) == max(one.end - one.start for one, _ in calls)


def check_instants(program: Program, kept: WholeCalls) -> None:
    """Compare with the formulas: queues, the visit, and the order of what happens at a target."""
    row = {name: int(values.item()) for name, values in kept.row.items()}
    costs = program.call_costs
    trap = getattr(costs, "trap", 0)
    n = len(kept.cpu)
    assert n == row["targets"]
    runs = program.turns(row["cpu"])
    # checks and slots may stand between queues, and drops
    deferring = bool(program.isolated and program.drops_on_entry)
    plain = not deferring and program.shootdown.protocol.drops_at != "runs"
    plain &= kept.begun == row["start_ps"]  # nor has it waited for data of the one before
    if plain and program.shootdown.protocol.name != "rar" and not program.host.pv_flush:
        queues = row["start_ps"] + trap + costs.queue * (1 + np.arange(n))
        queues = [runs.run(row["start_ps"], int(q) - row["start_ps"]) for q in queues]
        assert kept.queued.tolist() == queues
        assert kept.told == queues[-1]
    check_visit(program, kept)
    rides = kept.reason == SlowestReason.RIDE
    there = [program.turns(cpu) for cpu in kept.cpu.tolist()]
    entries = np.array(
        [
            one.run_by(taken) - one.run_by(handler) - program.entry
            for one, taken, handler in zip(
                there, kept.taken.tolist(), kept.handler.tolist(), strict=True
            )
        ]
    )
    allowed = {0, program.costs.deferred.entry_flush} if deferring else {0}
    assert set(entries.tolist()) <= allowed
    assert (kept.queued <= kept.taken).all()
    assert (kept.arrives <= kept.handler)[~rides].all()
    assert (kept.taken <= kept.runs).all()
    assert (kept.runs <= kept.ack).all()
    if program.host.freezes:
        return
    ended = kept.exit - getattr(costs, "exit", 0)  # an action has none
    # Code of somebody's own chooses the acknowledgement call by call.
    if program.shootdown.value("ack") == "entry" or program.shootdown.protocol.own is not None:
        assert ((kept.ack == kept.runs) | (kept.ack == ended)).all()
    else:
        assert (kept.ack == ended).all()
    assert (kept.runs <= ended).all()
    assert (kept.done == ended).all()


def check_visit(program: Program, kept: WholeCalls) -> None:
    """Compare with the formula when the initiator goes on from target to target, if it does."""
    if kept.seen[0] == layout.NONE:
        nobody = kept.looks.item(), kept.visited.item(), *kept.seen.tolist()
        assert set(nobody) == {layout.NONE}
        assert program.shootdown.protocol.goes_on
        return
    initiator, runs = kept.row["cpu"].item(), program.turns(kept.row["cpu"].item())
    at = kept.looks
    for cpu, ack, seen in zip(
        kept.cpu.tolist(), kept.ack.tolist(), kept.seen.tolist(), strict=True
    ):
        at = runs.run(max(at, ack), program.topology.cost(program.call_costs.line, initiator, cpu))
        assert runs.run_by(seen) == runs.run_by(at)
    assert runs.run_by(kept.visited.item()) == runs.run_by(at)


def test_the_instants_of_a_call_follow_from_its_costs() -> None:
    steps = (compute(2000), call(1, 2, pages=3))
    kept = kept_of(
        program(on(0, *steps), on(1, irqs_off(9000)), on(2, compute(9000)), send=7, line=11)
    )["slowest"]
    assert (kept.told, kept.sent, kept.looks) == (2200, 2214, 2244)
    assert (kept.own_start, kept.own_end) == (2214, 2244)
    assert kept.cpu.tolist() == [1, 2]
    assert kept.queued.tolist() == [2100, 2200]
    assert kept.sent_to.tolist() == [2207, 2214]
    assert kept.arrives.tolist() == [3207, 3214]
    assert kept.reason.tolist() == [SlowestReason.IRQS_OFF, SlowestReason.DISTANCE]
    assert kept.handler.tolist() == [9000, 3214]
    assert kept.runs.tolist() == [9050, 3264]
    assert kept.ack.tolist() == [9080, 3294]
    assert kept.exit.tolist() == [9130, 3344]
    assert kept.seen.tolist() == [9091, 9102]


def test_in_the_serial_order_the_function_comes_after_the_visit() -> None:
    kept = kept_of(program(on(0, call(1, pages=3)), on(1, compute(9000)), order="serial"))[
        "slowest"
    ]
    assert (kept.own_start, kept.own_end) == (kept.visited, kept.visited + 30)
    assert kept.own_end == kept.row["end_ps"]


def test_quantiles_are_those_of_all_calls_up_to_a_32nd() -> None:
    lengths = [37 * k * k for k in range(1, 61)]
    steps = [call(1, pages=pages) for pages in lengths]
    kept = kept_of(program(on(0, *steps), on(1, compute(10**9)), ceiling=10**9))
    latencies = sorted(1150 + 10 * pages for pages in lengths)
    # the ranks 30 and 60 of 60
    assert abs(latency(kept["median"]) - latencies[29]) < latencies[29] / 32
    assert abs(latency(kept["p99"]) - latencies[59]) < latencies[59] / 32
    assert latency(kept["slowest"]) == latencies[59]


def test_neither_invalidations_nor_calls_without_targets_are_kept() -> None:
    assert kept_of(program(on(0, EVERYTHING, call()), on(1, compute(9000)))) == {}


def test_a_call_through_the_firmware_is_kept_with_its_protocol() -> None:
    kept = kept_of(program(on(0, call(1)), on(1, compute(9000)), shootdown=Shootdown(SBI)))[
        "median"
    ]
    assert kept.row["protocol"] == number_of(SBI)
    assert kept.queued.tolist() == [500 + 100]


@pytest.mark.parametrize("sub_bits", [3, 5])
def test_buckets_are_in_the_order_of_latencies_and_as_narrow_as_said(sub_bits: int) -> None:
    bucket = getattr(specimens.bucket, "py_func", specimens.bucket)
    state = np.zeros(layout.HEADER, dtype=np.int64)
    state[layout.SUB_BITS] = sub_bits
    edges = sorted({(1 << k) + d for k in range(62) for d in (-1, 0, 1, (1 << k) // 3)})
    found = [int(bucket(state, value)) for value in edges]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] < layout.buckets(sub_bits)
    for value in edges:
        width = max(1, value >> sub_bits)
        assert bucket(state, value + width + 1) > bucket(state, value)
