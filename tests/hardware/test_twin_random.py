"""The two implementations of the machine agree on random programs, to the picosecond.

Compared are the end of the run, every call's start, end and acknowledgements, every CPU's account
and number of handlers, every task's end, and where a program is in error, which error it is.
``python -m tests.reference.fuzz`` does the same for as long as one likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pmsim.hardware import costs, host
from pmsim.hardware.host import BARE_METAL
from pmsim.hardware.shootdown import protocols
from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.shootdown.sbi import SBI
from tests.hardware.adapters import run_fabric
from tests.hardware.strategies import cuts, programs
from tests.reference import program as programs_module
from tests.reference.examples import OWN
from tests.reference.fuzz import Seeded, differences, outcome, pasted, programs_of, smaller
from tests.reference.generate import NEVER, random_program
from tests.reference.machine import run as run_reference
from tests.reference.program import CallRecord, Program, Result, Step

large_programs_allowed = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def assert_the_twins_agree(program: Program) -> None:
    assert differences(program, run_fabric) == []


@large_programs_allowed
@given(programs())
def test_the_twins_agree_on_tiny_machines(program: Program) -> None:
    assert_the_twins_agree(program)


@large_programs_allowed
@given(programs(), st.data())
def test_the_twins_agree_wherever_a_run_is_cut(program: Program, data: st.DataObject) -> None:
    result = outcome(run_reference, program)
    if isinstance(result, Result):
        assert_the_twins_agree(cuts(data, program, result))


@pytest.mark.parametrize("seed", range(4))
def test_the_twins_agree_on_seeded_programs_and_their_cuts(seed: int) -> None:
    for number in range(100):
        for program in programs_of(seed, number, max_cpus=5):
            assert_the_twins_agree(program)


@pytest.mark.parametrize("number", range(8))
def test_the_twins_agree_on_machines_of_up_to_130_cpus(number: int) -> None:
    for program in programs_of(1000, number, max_cpus=130):
        assert_the_twins_agree(program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_the_twins_agree_on_thousands_of_seeded_programs(seed: int) -> None:
    for number in range(1000):
        for program in programs_of(seed, number, max_cpus=5):
            assert_the_twins_agree(program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 204))
def test_the_twins_agree_on_many_machines_of_up_to_130_cpus(seed: int) -> None:
    for number in range(50):
        for program in programs_of(seed, number, max_cpus=130):
            assert_the_twins_agree(program)


def test_the_comparison_sees_a_difference_of_one_picosecond() -> None:
    program = random_program(Seeded([1, 0]))

    def late(program: Program) -> Result:
        result = run_reference(program)
        return Result(result.end + 1, result.calls, result.cpus, result.task_ends)

    assert len(differences(program, late)) == 3


def deaf(program: Program) -> Result:
    """Run a program on a machine that does not hear which options were chosen."""
    plain = Shootdown(program.shootdown.protocol)
    return run_reference(replace(program, shootdown=plain))


def hasty(program: Program) -> Result:
    """Run a program on a machine that does not heed that page tables are freed."""
    tasks = tuple(replace(task, steps=_without_frees(task.steps)) for task in program.tasks)
    return run_reference(replace(program, tasks=tasks))


def sleepy(program: Program) -> Result:
    """Run a program on a machine where nobody spins for a mutex."""
    sched = replace(program.costs.sched, mutex="sleeping")
    return run_reference(replace(program, costs=replace(program.costs, sched=sched)))


def preemptive(program: Program) -> Result:
    """Run a program on a machine where preemption is always on."""
    tasks = tuple(replace(task, steps=_always_preempted(task.steps)) for task in program.tasks)
    return run_reference(replace(program, tasks=tasks))


def _always_preempted(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    nothing: Step = "irqs_off", 0
    return tuple(nothing if step[0].startswith("preempt") else step for step in steps)


def _without_frees(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(("flush_kernel" if op == "free_tables" else op, arg) for op, arg in steps)


@pytest.mark.parametrize("wrong", [deaf, hasty, sleepy, preemptive])
def test_random_programs_find_a_machine_that_ignores_an_option_or_what_it_spares(
    wrong: Callable[[Program], Result],
) -> None:
    found = [
        number for number in range(100) if differences(random_program(Seeded([0, number])), wrong)
    ]
    assert found


def test_a_program_that_differs_can_be_pasted_and_made_smaller() -> None:
    for number in range(20):
        program = random_program(Seeded([7, number]))
        names = {**vars(costs), **vars(host), **vars(protocols), **vars(programs_module)}
        names |= {"OWN": OWN, **{name: one.costs for name, one in OWN.items()}}
        assert eval(pasted(program), names) == program
        bare = replace(program, costs=replace(program.costs, tlbi=None, sbi=None))
        assert all(isinstance(one, Program) for one in smaller(bare))


def test_random_programs_meet_everything_that_the_page_speaks_of() -> None:
    met: Counter[str] = Counter()
    for number in range(400):
        program = random_program(Seeded([0, number]))
        met.update(_features(program, outcome(run_reference, program)))
    rare = {feature: met[feature] for feature in FEATURES if met[feature] < FEATURES[feature]}
    assert rare == {}


FEATURES = {
    "ProgramError": 10,
    "DeadlockError": 1,
    "coalesced": 50,
    "two initiators": 100,
    "every CPU an initiator": 20,
    "serial": 50,
    "jitter": 50,
    "hops": 30,
    "idle states": 100,
    "refill": 50,
    "several tasks on a CPU": 100,
    "waking for an interrupt": 50,
    "call under a lock": 30,
    "spinlock": 50,
    "preemption off": 50,
    "mutex": 50,
    "semaphore": 25,
    "invalidations": 80,
    "invalidations that queue": 20,
    "calls and invalidations": 30,
    "invalidations and a cut quantum": 10,
    "acknowledged at entry": 40,
    "acknowledged at entry, and not where tables are freed": 6,
    "one write to all others": 30,
    "one write to all others, and groups for some": 10,
    "guest": 50,
    "guest of a machine with firmware": 15,
    "frozen": 60,
    "frozen, and paravirtual flushes": 20,
    "firmware": 45,
    "firmware and windows": 15,
    "remote actions": 40,
    "hardware that knows the holders": 10,
    "somebody is left out": 3,
    "protocols that are not pmsim's own": 15,
    "the documentation's own example": 2,
    "calls that nobody waits for": 4,
    "calls that wait for data in use": 2,
    "notes": 7,
    "notes that nobody drops": 2,
    "the kernel refills": 10,
    "user space flushed beside kernel work": 20,
    "functions that take longer on targets": 20,
}
"""What at least so many of 400 programs have to contain."""


def served_by_nobody(result: Result) -> list[CallRecord]:
    """Return the calls, without the invalidations."""
    return [call for call in result.calls if call.served is None]


def _features(program: Program, result: Result | str) -> set[str]:
    if isinstance(result, str):
        return {result.split()[0]}
    initiators = {call.cpu for call in result.calls}
    operations = {operation for task in program.tasks for operation, _ in task.steps}
    cpus = [task.cpu for task in program.tasks]
    costs = program.costs
    takes = program.entry + program.exit
    told = sum(len(call.acks) for call in result.calls)
    at_entry = program.shootdown.value("ack") == "entry"
    at_once = program.has_shorthand and program.topology.n_cpus > 2
    everyone = [call for call in result.calls if len(call.acks) == program.topology.n_cpus - 1]
    served = [call for call in result.calls if call.served is not None]
    seen = {
        "coalesced": sum(cpu.handlers for cpu in result.cpus) < told,
        "two initiators": len(initiators) > 1,
        "every CPU an initiator": len(initiators) == program.topology.n_cpus > 1,
        "serial": program.order == "serial",
        "jitter": any(program.jitter),
        "hops": program.topology.hops is not None,
        "idle states": bool(costs.idle),
        "refill": any(cpu.refill for cpu in result.cpus),
        "several tasks on a CPU": len(set(cpus)) < len(cpus),
        "waking for an interrupt": bool(costs.idle)
        and any(cpu.stolen > cpu.handlers * takes for cpu in result.cpus),
        "call under a lock": any(_calls_under_a_lock(task.steps) for task in program.tasks),
        "spinlock": "spin_lock" in operations,
        "preemption off": "preempt_off" in operations,
        "mutex": "mutex_lock" in operations,
        "semaphore": "read_lock" in operations and "write_lock" in operations,
        "invalidations": bool(served),
        "invalidations that queue": any(
            a.start < b.start < a.served for a in served for b in served if a.served is not None
        ),
        "calls and invalidations": bool(served) and told > 0,
        "invalidations and a cut quantum": bool(served) and costs.sched.quantum < NEVER,
        "acknowledged at entry": at_entry and told > 0,
        "acknowledged at entry, and not where tables are freed": at_entry
        and "free_tables" in operations,
        "one write to all others": at_once and bool(everyone),
        "one write to all others, and groups for some": at_once
        and bool(everyone)
        and any(0 < len(call.acks) < program.topology.n_cpus - 1 for call in result.calls),
        "guest": program.host != BARE_METAL and told > 0,
        "guest of a machine with firmware": program.host != BARE_METAL
        and program.shootdown.protocol is SBI
        and told > 0,
        "frozen": any(cpu.frozen for cpu in result.cpus) and told > 0,
        "frozen, and paravirtual flushes": program.host.pv_flush
        and any(len(call.acks) < program.topology.n_cpus - 1 for call in served_by_nobody(result)),
        "firmware": program.shootdown.protocol is SBI and told > 0,
        "firmware and windows": program.shootdown.protocol is SBI and "irqs_off" in operations,
        "remote actions": program.shootdown.protocol is RAR and told > 0,
        "hardware that knows the holders": bool(operations & {"coherent", "directory"}),
        "somebody is left out": program.shootdown.protocol is DEFERRED
        and "call" not in operations
        and any(
            call.served is None and len(call.acks) < program.topology.n_cpus - 1
            for call in result.calls
        ),
        "protocols that are not pmsim's own": program.shootdown.protocol.own is not None
        and bool(result.calls),
        "the documentation's own example": program.shootdown.protocol is OWN["early"]
        and bool(result.calls),
        "calls that nobody waits for": program.shootdown.protocol.goes_on and told > 0,
        "calls that wait for data in use": program.shootdown.protocol.goes_on
        and any(
            a.cpu == b.cpu and a.start < b.start < at
            for a in result.calls
            for b in result.calls
            for at in (a.acks[cpu] for cpu in a.acks.keys() & b.acks.keys())
        ),
        "notes": program.ticks is not None and "free" in operations,
        "notes that nobody drops": program.ticks is not None
        and any(call.gone is None and not call.acks for call in result.calls)
        and "free" in operations,
        "the kernel refills": all(
            (costs.tlb.kernel_entries, costs.tlb.entries, costs.tlb.walk, "kernel" in operations)
        )
        and not operations.isdisjoint(("flush_kernel", "free_tables", "invalidate")),
        "user space flushed beside kernel work": "kernel" in operations
        and not operations.isdisjoint(("flush_user", "flush_own")),
        "functions that take longer on targets": "flush_cold" in operations and told > 0,
    }
    return {feature for feature, present in seen.items() if present}


def _calls_under_a_lock(steps: tuple[tuple[str, object], ...]) -> bool:
    held = 0
    for operation, _ in steps:
        held += operation.endswith("_lock") - operation.endswith("_unlock")
        if held > 0 and operation in ("flush_kernel", "call", "sync_core", "empty"):
            return True
    return False
