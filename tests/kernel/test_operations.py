"""The log of operations: nesting, and where the time went."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.tlbi import invalidate_all, invalidate_pages
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import empty_call, full_flush
from pmsim.kernel.locks import KernelMutex, KernelSpinlock
from pmsim.kernel.operation_rows import OPERATION_COLUMNS
from pmsim.kernel.operations import NO_OPERATION, OperationLog
from pmsim.kernel.profiles import load_profile
from pmsim.units import NS, US
from tests.kernel.booted import TLBI, small_machine

Steps = Generator[Any, Any, None]


class Logged:
    """A machine with a log, and the rows that left it."""

    def __init__(self, cpus: int = 2, chunk: int = 100) -> None:
        self.machine = small_machine(cpus)
        self.chunks: list[list[dict[str, Any]]] = []
        self.log = OperationLog(self._take, chunk)

    def _take(self, columns: Any) -> None:
        assert tuple(columns) == OPERATION_COLUMNS
        rows = zip(*columns.values(), strict=True)
        self.chunks.append([dict(zip(OPERATION_COLUMNS, row, strict=True)) for row in rows])

    def run(self) -> list[dict[str, Any]]:
        self.machine.run()
        self.log.flush()
        return [row for chunk in self.chunks for row in chunk]


def times(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return row["run_ps"], row["lock_wait_ps"], row["crosscall_ps"], row["delay_ps"]


def test_an_operation_knows_when_where_and_by_whom_it_was_done() -> None:
    logged = Logged()

    def body(task: Task) -> Steps:
        yield from task.compute(5 * US)
        operation = logged.log.begin(task, "vmalloc", 3)
        yield from logged.log.compute(task, 2 * US)
        logged.log.end(operation)

    logged.machine.spawn(1, body, name="loader", number=7)
    (row,) = logged.run()
    assert (row["id"], row["parent"], row["kind"], row["pages"]) == (0, NO_OPERATION, "vmalloc", 3)
    assert (row["workload"], row["cpu"], row["task"]) == ("loader", 1, 7)
    assert (row["start_ps"], row["end_ps"]) == (5 * US, 7 * US)
    assert times(row) == (2 * US, 0, 0, 0)


def test_a_nested_operation_counts_for_those_around_it() -> None:
    logged = Logged()

    def body(task: Task) -> Steps:
        outer = logged.log.begin(task, "outer")
        yield from logged.log.compute(task, US)
        for _ in range(2):
            inner = logged.log.begin(task, "inner")
            assert logged.log.current(task) is inner
            yield from logged.log.compute(task, US)
            yield from logged.log.cross_call(task, empty_call(), 4)
            logged.log.end(inner)
        logged.log.end(outer)
        assert logged.log.current(task) is None

    logged.machine.spawn(0, body)
    first, second, outer = logged.run()
    assert [row["id"] for row in (outer, first, second)] == [0, 1, 2]
    assert first["parent"] == second["parent"] == outer["id"]
    assert (first["crosscalls"], outer["crosscalls"]) == (1, 2)
    assert outer["run_ps"] == 3 * US
    assert outer["crosscall_ps"] == first["crosscall_ps"] + second["crosscall_ps"] > 0
    assert times(outer)[1:] == (0, outer["crosscall_ps"], 0)


def test_a_cross_call_bears_the_id_of_its_operation() -> None:
    logged = Logged()
    rows: list[list[int]] = []
    logged.machine.on_crosscalls = lambda chunk: rows.extend(chunk.tolist())

    def body(task: Task) -> Steps:
        yield from logged.log.cross_call(task, empty_call(), 6, 9)
        operation = logged.log.begin(task, "purge")
        yield from logged.log.cross_call(task, empty_call(), 2, 5)
        logged.log.end(operation)

    logged.machine.spawn(0, body)
    logged.run()
    # cause, operation, and (after the targets) pages
    assert [(row[5], row[6], row[8]) for row in rows] == [(6, NO_OPERATION, 9), (2, 0, 5)]


def test_a_broadcast_by_the_interconnect_counts_as_a_cross_call() -> None:
    logged = Logged()
    logged.machine = small_machine(2, load_profile("linux-6.1-arm64"))
    rows: list[list[int]] = []
    logged.machine.on_crosscalls = lambda chunk: rows.extend(chunk.tolist())

    def body(task: Task) -> Steps:
        operation = logged.log.begin(task, "purge")
        yield from logged.log.invalidate(task, invalidate_pages(TLBI, 5), 2, 5)
        yield from logged.log.invalidate(task, invalidate_all(), 2)
        logged.log.end(operation)
        yield from logged.log.invalidate(task, invalidate_pages(TLBI, 1), 6, 1)

    logged.machine.spawn(0, body)
    (row,) = logged.run()
    columns = [
        CROSSCALL_COLUMNS.index(name) for name in ("cause", "operation", "pages", "invalidations")
    ]
    found = [tuple(call[column] for column in columns) for call in rows]
    assert found == [(2, 0, 5, 5), (2, 0, -1, 1), (6, NO_OPERATION, 1, 1)]
    assert row["crosscalls"] == 2
    # 5 operations of 25 ns, one of 50 ns, and two barriers of 100 ns with 500 ns of way.
    assert times(row) == (0, 0, 1375 * NS, 0)


@pytest.mark.parametrize("kind", [KernelMutex, KernelSpinlock])
def test_waiting_for_a_lock_is_charged_as_such_and_fetching_what_it_guards_as_work(
    kind: type[KernelMutex] | type[KernelSpinlock],
) -> None:
    logged = Logged()
    lock = kind(logged.machine, "the lock")

    def body(task: Task) -> Steps:
        yield from task.compute(task.cpu * US)
        operation = logged.log.begin(task, "work")
        yield from logged.log.lock(task, lock)
        yield from logged.log.compute(task, 10 * US)
        lock.unlock(task)
        logged.log.end(operation)

    for cpu in (0, 1):
        logged.machine.spawn(cpu, body)
    first, second = logged.run()
    assert times(first) == (10 * US, 0, 0, 0)
    # CPU 1 asks at 1 us for what is released at 10 us, and spins; then it gets the line.
    # The lock's own line and two that it guards.
    assert times(second) == (10 * US + 3 * 40_000, 9 * US + 40_000, 0, 0)


def test_stolen_time_and_sleep_are_delay() -> None:
    logged = Logged()

    def flusher(task: Task) -> Steps:
        yield from task.cross_call(full_flush(logged.machine.costs.tlb))

    def worker(task: Task) -> Steps:
        operation = logged.log.begin(task, "work")
        yield from logged.log.compute(task, 20 * US)
        yield from task.sleep(3 * US)
        logged.log.end(operation)

    logged.machine.spawn(0, flusher)
    logged.machine.spawn(1, worker)
    (row,) = logged.run()
    # The handler: entry 250 ns, full flush 400 ns, exit 150 ns.
    assert times(row) == (20 * US, 0, 0, 3 * US + 800_000)


def test_the_parts_of_every_operation_add_up() -> None:
    logged = Logged(cpus=4)
    lock = KernelMutex(logged.machine, "the lock")

    def body(task: Task) -> Steps:
        for size in range(1, 6):
            operation = logged.log.begin(task, "work")
            yield from logged.log.lock(task, lock)
            yield from logged.log.compute(task, size * 777_001)
            yield from logged.log.cross_call(task, full_flush(logged.machine.costs.tlb), 0)
            lock.unlock(task)
            yield from task.sleep(size)
            logged.log.end(operation)

    for cpu in (0, 1, 2, 2):
        logged.machine.spawn(cpu, body, working_set=100)
    rows = logged.run()
    assert len(rows) == 20
    for row in rows:
        assert sum(times(row)) == row["end_ps"] - row["start_ps"]
        assert min(times(row)) >= 0


def test_rows_leave_in_chunks_in_order_of_end() -> None:
    logged = Logged(chunk=3)

    def body(task: Task) -> Steps:
        for _ in range(7):
            logged.log.end(logged.log.begin(task, "nothing"))
        yield from task.compute(1)

    logged.machine.spawn(0, body)
    rows = logged.run()
    assert [len(chunk) for chunk in logged.chunks] == [3, 3, 1]
    assert [row["id"] for row in rows] == list(range(7))
    assert logged.log.begun == 7


def test_an_operation_cannot_end_before_those_inside_it() -> None:
    machine: Machine = small_machine(1)
    log = OperationLog()

    def body(task: Task) -> Steps:
        outer = log.begin(task, "outer")
        log.begin(task, "inner")
        log.end(outer)
        yield from task.compute(1)

    machine.spawn(0, body)
    with pytest.raises(ProgramError, match="outer ends while another is under way"):
        machine.run()


def test_a_log_without_a_sink_keeps_no_rows() -> None:
    machine = small_machine(1)
    log = OperationLog(chunk=1)

    def body(task: Task) -> Steps:
        log.end(log.begin(task, "nothing"))
        yield from log.compute(task, 5)
        yield from log.cross_call(task, empty_call(), 0)

    machine.spawn(0, body)
    assert machine.run() == 5
    log.flush()
    assert log.begun == 1


def test_what_an_inner_operation_waits_for_a_lock_its_outer_one_waits_too() -> None:
    rows: list[dict[str, Any]] = []
    machine = small_machine(2)
    log = OperationLog(
        lambda columns: rows.extend(
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
    )
    mutex = KernelMutex(machine, "one")

    def body(task: Task) -> Generator[Any, Any, Any]:
        outer = log.begin(task, "outer")
        inner = log.begin(task, "inner")
        yield from log.lock(task, mutex)
        yield from log.compute(task, US)
        mutex.unlock(task)
        log.end(inner)
        log.end(outer)

    for cpu in range(2):
        machine.spawn(cpu, body)
    machine.run()
    log.flush()
    waits = {(row["cpu"], row["kind"]): row["lock_wait_ps"] for row in rows}
    for cpu in range(2):
        assert waits[cpu, "outer"] == waits[cpu, "inner"]
    assert max(waits.values()) >= US
