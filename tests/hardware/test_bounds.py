"""No cost that may be given, however large, breaks the machine or makes a negative time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.constants import Constant, Declared, Kind, declarations
from pmsim.hardware.costs import IpiCosts, MachineCosts, SbiCosts, SchedCosts, TlbCosts, TlbiCosts
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.shootdown.tlbi import invalidate_pages
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from pmsim.units import MS
from tests.hardware import machines

GROUPS: dict[str, type] = {
    "ipi": IpiCosts,
    "sbi": SbiCosts,
    "tlbi": TlbiCosts,
    "tlb": TlbCosts,
    "sched": SchedCosts,
}


def ends(one: Declared) -> tuple[int, int]:
    """Return the smallest and the largest value of a constant; a distribution's scale for one."""
    assert isinstance(one.note, Constant)
    return one.note.least, one.note.most


NUMBERS = [
    (group, one.field)
    for group, declared in GROUPS.items()
    for one in declarations(declared)
    if isinstance(one.note, Constant) and one.note.kind in (Kind.TIME, Kind.TIME_BY_DISTANCE)
]


def changed(costs: MachineCosts, group: str, field: str, end: int) -> MachineCosts:
    """Return costs with one of them at an end of what it may be: 0 the lower, 1 the upper."""
    one = next(one for one in declarations(GROUPS[group]) if one.field == field)
    assert isinstance(one.note, Constant)
    value: Any = ends(one)[end]
    if one.note.kind is Kind.TIME_BY_DISTANCE:
        value = machines.same_everywhere(value)
    part: Any = replace(getattr(costs, group), **{field: value})
    return replace(costs, **{group: part})  # type: ignore[arg-type]


def program(task: Task) -> Steps:
    """Make every CPU wait for every other, by calls and by broadcasts, and compute."""
    costs = task.machine.costs
    for pages in (3, 40):
        yield from task.compute(1000)
        yield from task.cross_call(flush(costs.tlb, pages, 33))
        if costs.tlbi is not None:
            yield from task.invalidate(invalidate_pages(costs.tlbi, pages))
        yield from task.irqs_off(100)


def run(costs: MachineCosts, protocol: Any, duration: int | None) -> None:
    """Run the program on every CPU but one, twice on one, and look for negative times."""
    machine = Machine(Topology(cores=4), costs, shootdown=Shootdown(PROTOCOLS[protocol]))
    logs: list[Any] = []
    machine.on_crosscalls = logs.append
    for cpu in (0, 1, 1, 2):
        machine.spawn(cpu, program, working_set=100)
    end = machine.run(duration)
    assert end >= 0
    for name, account in machine.accounts().items():
        assert (account >= 0).all(), name
    rows = np.concatenate(logs) if logs else np.zeros((0, len(CROSSCALL_COLUMNS)), dtype=np.int64)
    times = [k for k, name in enumerate(CROSSCALL_COLUMNS) if name.endswith("_ps")]
    assert (rows[:, times] >= 0).all()


@pytest.mark.parametrize("protocol", ["ipi", "sbi"])
@pytest.mark.parametrize("duration", [None, MS])
def test_with_all_costs_at_their_largest_no_time_is_negative(
    protocol: str, duration: int | None
) -> None:
    costs = machines.costs(idle=[(0, 10), (10, 10**12)])
    for group, field in NUMBERS:
        costs = changed(costs, group, field, 1)
    run(costs, protocol, duration)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.integers(0, 1)), min_size=1, max_size=4),
    st.sampled_from(["ipi", "sbi"]),
    st.sampled_from([None, MS]),
)
def test_with_any_costs_at_their_ends_no_time_is_negative(
    chosen: list[tuple[tuple[str, str], int]], protocol: str, duration: int | None
) -> None:
    costs = machines.costs(idle=[(0, 10), (10, 1000)])
    for (group, field), end in chosen:
        costs = changed(costs, group, field, end)
    run(costs, protocol, duration)
