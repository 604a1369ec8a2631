"""What interrupted each CPU: handlers with the calls that they served, and waking up for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from pmsim.report.span import Span, facts_of, parts_of

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

ANATOMY: Final = (
    "which", "initiator", "start_ps", "end_ps", "kind", "cause", "own_start_ps", "own_end_ps",
    "looks_ps", "cpu", "queued_ps", "sent_ps", "arrives_ps", "reason", "handler_ps", "taken_ps",
    "runs_ps", "ack_ps", "done_ps", "exit_ps",
)  # fmt: skip
"""The columns of ``anatomy`` that `of_target` reads."""

_ON_THE_WAY: Final = ("queue_ps", "send_ps", "delivery_ps")
_WAITING: Final = ("irqs_off_ps", "idle_exit_ps", "busy_handler_ps")


@dataclass(frozen=True, slots=True)
class Answer:
    """One call at one target, its instants in picoseconds.

    Attributes
    ----------
    cpu, initiator, kind
        Who answered, whom, and by what.
    woken
        When the CPU began to wake up for the handler; the handler's begin where it did not.
    handler, taken, exit
        When the handler that took the call began, took it, and was over if nothing followed.
    runs, done
        When the function began, or what is known not to be later; and ended, or was acknowledged if
        that alone is known.
    arrow
        The number of the arrow that ends here.
    facts
        What else is known.
    """

    cpu: int
    initiator: int
    kind: str
    woken: int
    handler: int
    taken: int
    exit: int
    runs: int
    done: int
    arrow: int
    facts: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class HandlerCosts:
    """How long a handler takes before the first function, and after the last.

    Attributes
    ----------
    entry, exit
        In picoseconds; 0 where CPUs take turns: there either takes as long as it may.
    in_turns
        Whether CPUs take turns: those of a guest whose host has fewer.
    """

    entry: int
    exit: int
    in_turns: bool = False


def handler_costs(result: Result, replication: int) -> HandlerCosts:
    """Return what handlers cost in a run; any call that was kept with its targets tells it."""
    host = result.manifest["scenario"]["machine"].get("host")
    if host is not None and host["overcommit"] > 1:
        return HandlerCosts(0, 0, in_turns=True)
    columns = ("replication", "handler_ps", "taken_ps", "done_ps", "exit_ps")
    for batch in result.batches("anatomy", columns):
        rows = batch[batch["replication"] == replication]
        if len(rows):
            one = rows.iloc[0]
            entry, leave = one["taken_ps"] - one["handler_ps"], one["exit_ps"] - one["done_ps"]
            return HandlerCosts(int(entry), int(leave))
    return HandlerCosts(0, 0)  # no CPU was ever called


def of_target(row: Mapping[str, Any], arrow: int) -> Answer:
    """Return how the target of a row of ``anatomy`` served the call."""
    handler = int(row["handler_ps"])
    woken = int(row["arrives_ps"]) if row["reason"] == "idle_exit" else handler
    return Answer(
        int(row["cpu"]), int(row["initiator"]), str(row["kind"]), woken, handler,
        int(row["taken_ps"]), int(row["exit_ps"]), int(row["runs_ps"]), int(row["done_ps"]), arrow,
        facts_of(row, ("cause", "reason", "queued_ps", "sent_ps", "arrives_ps")),
    )  # fmt: skip


def of_slowest(row: Mapping[str, Any], costs: HandlerCosts, arrow: int) -> Answer | None:
    """Return how the slowest target of a row of ``crosscalls`` served the call, if it tells.

    Its function may have begun after those of other calls: no row says when. Nor does one say how
    long it runs on after an acknowledgement at its start, or that a ride's handler came from user
    mode on an isolated CPU.

    Of a guest whose CPUs take turns a row does not tell at all where somebody was frozen on the
    way: ``frozen_ps`` is the time of all parts together, before the handler, in it and behind it.
    Nor does it where the call was a ride, whose handler may have begun in an earlier turn. Of
    others the handler may last longer than is said: it is not known when it was over.
    """
    start, reason = int(row["start_ps"]), row["slowest_reason"]
    if row["frozen_ps"] > 0 or (costs.in_turns and reason == "ride"):
        return None
    if reason == "ride":
        entry = costs.entry
        taken = start + int(row["queue_ps"]) + int(row["ride_ps"])
    else:
        entry = int(row["entry_ps"])
        before = sum(int(row[name]) for name in (*_ON_THE_WAY, *_WAITING))
        taken = start + before + entry
    handler = taken - entry
    ack = taken + int(row["function_ps"])
    return Answer(
        int(row["slowest_cpu"]), int(row["cpu"]), str(row["kind"]),
        handler - int(row["idle_exit_ps"]), handler, taken, ack + costs.exit, taken, ack, arrow,
        {"cause": row["cause"], "reason": reason},
    )  # fmt: skip


def handler_spans(answers: Iterable[Answer]) -> dict[int, list[Span]]:
    """Return what interrupted each CPU, in order: handlers, and waking up for them."""
    found: dict[int, list[Span]] = {}
    in_order = sorted(answers, key=attrgetter("cpu", "handler", "done", "arrow"))
    for (cpu, _), taken in groupby(in_order, attrgetter("cpu", "handler")):
        found.setdefault(cpu, []).extend(_of_handler(list(taken)))
    return found


def _of_handler(calls: list[Answer]) -> Iterator[Span]:
    """Yield the waking before a handler, if any, and the handler with the calls that it took."""
    first, end = calls[0], max(one.exit for one in calls)
    woken = min(one.woken for one in calls)
    yield from parts_of([("waking", woken, first.handler)])
    inside = parts_of([("entry", first.handler, first.taken)])
    done = first.taken
    for one in calls:
        inside.append(
            Span(
                f"{one.kind} for CPU {one.initiator}", "answer", max(done, one.runs), one.done,
                one.facts, ends=one.arrow,
            )
        )  # fmt: skip
        done = one.done
    inside += parts_of([("exit", done, end)])
    yield Span("handler", "handler", first.handler, end, inside=inside)
