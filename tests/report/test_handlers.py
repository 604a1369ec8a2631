"""Handlers put together from what is known of calls, for random programs on random machines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, assume, given, settings

from pmsim.errors import DeadlockError, ProgramError
from pmsim.hardware.fabric import SlowestReason
from pmsim.report.handlers import HandlerCosts, handler_spans, of_slowest, of_target
from pmsim.report.span import Span
from tests.hardware.adapters import Kept, detail_of
from tests.hardware.strategies import programs
from tests.reference.program import Program

MANY = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
WORDS = [reason.name.lower() for reason in SlowestReason]


def kept_of(program: Program) -> Kept:
    try:
        kept, _ = detail_of(program)
    except (ProgramError, DeadlockError):
        assume(False)
    return kept


def calls_of(kept: Kept) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield each call as its row of ``crosscalls``, and its targets as rows of ``anatomy``."""
    for one in kept.pieces:
        calls: list[dict[str, Any]] = [
            {name: int(values[k]) for name, values in one.row.items()}
            for k in range(len(one.looks))
        ]
        targets: list[list[dict[str, Any]]] = [[] for _ in calls]
        for k, call in enumerate(one.call.tolist()):
            rides = one.reason[k] == SlowestReason.RIDE
            row = {
                f"{name}_ps": int(getattr(one, name)[k])
                for name in ("queued", "handler", "taken", "runs", "ack", "done", "exit")
            }
            row |= {"cpu": int(one.cpu[k]), "initiator": calls[call]["cpu"], "kind": "range"}
            row |= {"cause": "trace", "reason": WORDS[one.reason[k]], "sent_ps": None}
            row |= {"arrives_ps": None if rides else int(one.arrives[k])}
            targets[call].append(row)
        for row in calls:
            row |= {"slowest_reason": WORDS[row["slowest_reason"]], "cause": "trace"}
        yield from zip(calls, targets, strict=True)


@MANY
@given(programs())
def test_what_interrupts_a_cpu_never_overlaps_and_holds_what_happens_in_it(
    program: Program,
) -> None:
    found = handler_spans(
        of_target(target, 1) for _, targets in calls_of(kept_of(program)) for target in targets
    )
    for spans in found.values():
        assert_in_order(spans)
        for one in spans:
            assert_in_order(one.inside)
            for part in one.inside:
                assert one.start_ps <= part.start_ps <= part.end_ps <= one.end_ps


def assert_in_order(spans: list[Span]) -> None:
    for one, following in pairwise(spans):
        assert one.start_ps <= one.end_ps <= following.start_ps


@MANY
@given(programs())
def test_a_row_of_a_call_tells_the_handler_of_its_slowest_target(program: Program) -> None:
    in_turns = program.host.freezes
    costs = HandlerCosts(program.entry, getattr(program.call_costs, "exit", 0))
    if in_turns:
        costs = HandlerCosts(0, 0, in_turns=True)
    shootdown = program.shootdown
    # Code of somebody's own chooses the acknowledgement call by call.
    at_end = shootdown.protocol.own is None and shootdown.value("ack") != "entry" and not in_turns
    for call, targets in calls_of(kept_of(program)):
        if call["slowest_cpu"] < 0:
            assert call["slowest_reason"] == ("frozen" if call["frozen_ps"] else "local")
            continue
        if call["slowest_reason"] == "ride" and program.isolated:
            continue  # its handler may have come from user mode
        told = of_slowest(call, costs, 1)
        rides = call["slowest_reason"] == "ride"
        assert (told is None) == (in_turns and (rides or call["frozen_ps"] > 0))
        if told is None:
            continue
        (row,) = (row for row in targets if row["cpu"] == call["slowest_cpu"])
        known = of_target(row, 1)
        for name in ("cpu", "initiator", "woken", "handler", "taken"):
            assert getattr(told, name) == getattr(known, name)
        assert told.done == row["ack_ps"] <= known.done
        assert told.done == known.done or not at_end
        assert told.exit == known.exit if at_end else told.exit <= known.exit
        assert told.runs <= known.runs
