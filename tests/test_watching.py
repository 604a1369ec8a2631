from __future__ import annotations

from dataclasses import replace

import pytest

from pmsim.hardware.costs import IdleState, IpiCosts, MachineCosts, SchedCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.topology import Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.watching import watched

COSTS = MachineCosts(
    ipi=IpiCosts(queue=20, entry=250), idle=(IdleState("C1", 2), IdleState("C6", 133, 600))
)


def test_a_constant_is_noted_when_it_is_asked_for_and_not_before() -> None:
    asked: set[str] = set()
    costs = watched(COSTS, asked)
    assert isinstance(costs, MachineCosts)
    assert asked == set()
    assert costs.ipi.queue == 20
    assert costs.idle[1].exit == 133
    assert asked == {"ipi.queue", "idle.1.exit"}


def test_it_is_noted_by_its_key_in_files() -> None:
    asked: set[str] = set()
    kernel = watched(KernelCosts(), asked, "kernel.")
    assert [kernel.vmalloc, kernel.vmalloc] == [KernelCosts().vmalloc] * 2
    assert asked == {"kernel.vmalloc"}


def test_a_group_that_is_not_there_is_not_there() -> None:
    asked: set[str] = set()
    assert watched(COSTS, asked).tlbi is None
    assert asked == set()


def test_what_is_no_field_is_no_attribute_and_nothing_can_be_set() -> None:
    costs = watched(SchedCosts(), set())
    with pytest.raises(AttributeError):
        _ = costs.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        costs.quantum = 1  # type: ignore[misc]


def test_groups_keep_apart_what_was_asked_of_each() -> None:
    first, second = set[str](), set[str]()
    one, other = watched(COSTS, first), watched(replace(COSTS, idle=()), second)
    assert (one.ipi.entry, other.ipi.exit, len(other.idle)) == (250, 0, 0)
    assert (first, second) == ({"ipi.entry"}, {"ipi.exit"})


def test_a_machine_does_not_ask_for_costs_of_what_it_does_not_do() -> None:
    asked: set[str] = set()
    Machine(Topology(cores=2), watched(COSTS, asked))
    assert "ipi.queue" in asked
    assert not any(name.startswith(("sbi.", "tlbi.", "tlb.invlpg", "tlb.flush")) for name in asked)
