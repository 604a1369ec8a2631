"""A protocol that is not pmsim's own is held to what it promises, whatever it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.kernel.safety.violations import Hazard
from pmsim.units import US
from tests.reference.examples import documented
from tests.safety import driven
from tests.safety.driven import CPUS, ISOLATED, Driven
from tests.safety.test_broken import AREA, FREED, MODULE, POOL, TABLES

WRITE, USE, TABLE = Hazard.WRITE_AFTER_PROTECT, Hazard.USE_AFTER_FREE, Hazard.TABLE_REUSE

Calls = Sequence[driven.Call]


def found(method: Any, calls: Calls, drops_at: str = "", **kernel: Any) -> set[Hazard]:
    """Return what is found where shootdowns are made by a method, an isolated CPU in user mode."""
    made = type("Mine", (), {"promises": "gone", "drops_at": drops_at, "shootdown": method})
    return found_by(made, calls, **kernel)


def found_by(made: type, calls: Calls, **kernel: Any) -> set[Hazard]:
    machine = Driven(shootdown=Shootdown(record_of("mine", made)), **kernel)
    machine.tell(ISOLATED, driven.user)
    machine.run(5 * US)
    for call in calls:
        machine.tell(0, call)
    return machine.run_all().hazards()


def calls_all(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function)


def calls_all_but_one(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets[1:], flush.function)


def waits_only(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.spin(1000)


def goes_on_at_entry(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, ack="entry")


def goes_on_at_entry_then_waits(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, ack="entry")
    yield from initiator.spin(2 * US)


def goes_on(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)


def goes_on_without_one(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets[1:], flush.function)
    yield from initiator.cross_call(flush.targets[:1], flush.function, wait=False)


def goes_on_then_calls(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)
    yield from initiator.cross_call(flush.targets, flush.function)


def goes_on_then_broadcasts(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)
    yield from initiator.broadcast()


def goes_on_then_waits(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)
    yield from initiator.spin(3 * US)


def goes_on_and_leaves_out(self: Any, initiator: Any, flush: Any) -> Any:
    in_user = [n for n in flush.targets if initiator.cpus[n].mode == "user"]
    yield from initiator.defer(in_user, flush.function, until="kernel_entry")
    called = [number for number in flush.targets if number not in in_user]
    yield from initiator.cross_call(called, flush.function, wait=False)


def goes_on_where_nobody_relies_on_it(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=not flush.purges)


def lets_hardware_drop_it(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.spin(1000, drops=[*flush.targets, initiator.cpu])


def lets_hardware_drop_it_elsewhere(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.spin(1000, drops=flush.targets)


def broadcasts(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.broadcast()


def defers_all(self: Any, initiator: Any, flush: Any) -> Any:
    in_user = [n for n in flush.targets if initiator.cpus[n].mode == "user"]
    yield from initiator.defer(in_user, flush.function, until="kernel_entry")
    left = [number for number in flush.targets if number not in in_user]
    yield from initiator.cross_call(left, flush.function)


def notes_everything(self: Any, initiator: Any, flush: Any) -> Any:
    noted = yield from initiator.defer(flush.targets, flush.function, until="tick")
    yield from initiator.cross_call(() if noted else flush.targets, flush.function)


def notes_frees(self: Any, initiator: Any, flush: Any) -> Any:
    if flush.frees_pages:
        yield from initiator.defer(flush.targets, flush.function, until="tick")
        yield from initiator.cross_call((), flush.function)
    else:
        yield from initiator.cross_call(flush.targets, flush.function)


EVERYTHING = (*POOL, *FREED, *MODULE, *TABLES, driven.munmap(), driven.mprotect, driven.fork)


@pytest.mark.parametrize(
    "method",
    [
        calls_all,
        lets_hardware_drop_it,
        broadcasts,
        goes_on_at_entry_then_waits,
        goes_on_then_calls,
        goes_on_then_broadcasts,
        goes_on_then_waits,
    ],
)
def test_nothing_is_found_where_all_is_gone(method: Any) -> None:
    assert found(method, EVERYTHING) == set()


@pytest.mark.parametrize(
    ("method", "calls", "hazard"),
    [
        (calls_all_but_one, AREA, WRITE),
        (calls_all_but_one, FREED, USE),
        (calls_all_but_one, TABLES, TABLE),
        (calls_all_but_one, (driven.mprotect,), WRITE),
        (waits_only, POOL, WRITE),
        (goes_on_at_entry, AREA, WRITE),
        (goes_on_at_entry, (driven.munmap(),), USE),
        (lets_hardware_drop_it_elsewhere, AREA, WRITE),
        (goes_on, AREA, WRITE),
        (goes_on, POOL, WRITE),
        (goes_on, FREED, USE),
        (goes_on, (driven.munmap(),), USE),
        (goes_on, (driven.mprotect,), WRITE),
        (goes_on, TABLES, TABLE),
        (goes_on_without_one, AREA, WRITE),
        (goes_on_without_one, TABLES, TABLE),
        # A purge gives addresses out again, and nothing keeps kernel code from the old translation.
        (goes_on_where_nobody_relies_on_it, TABLES, USE),
    ],
)
def test_what_is_not_gone_is_found(method: Any, calls: Calls, hazard: Hazard) -> None:
    assert hazard in found(method, calls)


def test_whom_nobody_waits_for_is_named_until_it_has_run_the_function() -> None:
    made = type("Mine", (), {"promises": "gone", "shootdown": goes_on_without_one})
    machine = Driven(shootdown=Shootdown(record_of("mine", made)))
    for call in AREA:
        machine.tell(0, call)
    (one,) = machine.run_all().found()
    (row,) = [row for row in machine.rows if row[CROSSCALL_COLUMNS.index("kind")] < 2]
    end, gone = (row[CROSSCALL_COLUMNS.index(name)] for name in ("end_ps", "gone_ps"))
    assert (one.hazard, one.cpu, one.from_ps, one.to_ps) == (WRITE, 1, end, gone)
    assert end < gone


def test_what_nobody_waits_for_is_found_beside_cpus_that_are_left_out() -> None:
    made = type(
        "Mine",
        (),
        {"promises": "gone", "drops_at": "kernel_entry", "shootdown": goes_on_and_leaves_out},
    )
    machine = Driven(shootdown=Shootdown(record_of("mine", made)))
    machine.tell(ISOLATED, driven.user)
    machine.run(5 * US)
    for call in AREA:
        machine.tell(0, call)
    assert {one.cpu for one in machine.run_all().found()} == set(range(1, CPUS))


def test_what_the_kernel_waits_for_may_be_told_so_that_all_else_goes_on() -> None:
    calls = (*AREA, *POOL, driven.munmap(), driven.mprotect)
    assert found(goes_on_where_nobody_relies_on_it, calls) == set()


def test_page_tables_are_freed_when_all_are_done_however_calls_are_acknowledged() -> None:
    assert found(goes_on_at_entry, TABLES) == set()


@pytest.mark.parametrize(("calls", "hazard"), [(POOL, WRITE), (MODULE, USE), (TABLES, TABLE)])
def test_deferral_of_what_is_relied_on_is_found(calls: Calls, hazard: Hazard) -> None:
    assert hazard in found(defers_all, calls, "kernel_entry")


def test_the_hole_that_the_page_leaves_is_found_and_the_mended_one_has_none() -> None:
    built = documented()
    assert list(built) == ["step 1", "step 2", "early"]
    assert WRITE in found_by(built["step 2"], POOL)
    assert found_by(built["early"], EVERYTHING) == set()


def test_what_kernel_code_may_use_until_a_tick_is_found() -> None:
    assert WRITE in found(notes_everything, AREA, "tick")
    assert USE in found(notes_everything, FREED, "tick")


def test_pages_of_a_process_wait_for_the_ticks_that_a_note_is_for() -> None:
    frees = (driven.munmap(), driven.madvise, driven.madvise)
    assert found(notes_frees, frees, "tick") == set()


def test_each_cpu_that_was_forgotten_is_named() -> None:
    made = type("Mine", (), {"promises": "gone", "shootdown": waits_only})
    machine = Driven(shootdown=Shootdown(record_of("mine", made)))
    for call in AREA:
        machine.tell(0, call)
    assert {one.cpu for one in machine.run_all().found()} == set(range(CPUS))
