from __future__ import annotations

from typing import Any

from pmsim.report.span import Span
from pmsim.report.stretches import add_waits

TASK = (3, 1)


def wait(start: int, end: int, kind: str = "spinlock") -> dict[str, Any]:
    cpu, task = TASK
    return {
        "cpu": cpu, "task": task, "workload": "w", "kind": kind, "thing": "lock",
        "start_ps": start, "end_ps": end,
    }  # fmt: skip


def operation(start: int, end: int, *inside: Span) -> Span:
    return Span("vfree", "operation", start, end, inside=list(inside))


def times(spans: list[Span]) -> list[tuple[str, int, int]]:
    return [(span.category, span.start_ps, span.end_ps) for span in spans]


def test_a_wait_stands_in_the_innermost_operation_around_it() -> None:
    inner = operation(2, 6)
    outer = operation(0, 10, inner, operation(7, 9))
    tasks = {TASK: [outer]}
    add_waits(tasks, [wait(3, 5), wait(6, 7), wait(0, 2)])
    assert times(tasks[TASK]) == [("operation", 0, 10)]
    assert times(outer.inside) == [
        ("wait", 0, 2), ("operation", 2, 6), ("wait", 6, 7), ("operation", 7, 9),
    ]  # fmt: skip
    assert times(inner.inside) == [("wait", 3, 5)]


def test_a_wait_outside_of_all_operations_stands_beside_them() -> None:
    tasks = {TASK: [operation(0, 10), operation(20, 30)]}
    add_waits(tasks, [wait(30, 40), wait(10, 20, "sleep")])
    assert times(tasks[TASK]) == [
        ("operation", 0, 10), ("wait", 10, 20), ("operation", 20, 30), ("wait", 30, 40),
    ]  # fmt: skip
    assert [span.name for span in tasks[TASK][1::2]] == ["sleeps", "spins for lock"]


def test_a_wait_that_follows_an_operation_of_no_length_is_not_in_it() -> None:
    tasks = {TASK: [operation(5, 5)]}
    add_waits(tasks, [wait(5, 8)])
    assert times(tasks[TASK]) == [("operation", 5, 5), ("wait", 5, 8)]


def test_a_task_without_operations_has_its_waits_alone_and_no_windows() -> None:
    tasks: dict[tuple[int, int], list[Span]] = {}
    add_waits(tasks, [wait(2, 4), wait(0, 1, "irqs_off")])
    assert times(tasks[TASK]) == [("wait", 2, 4)]
