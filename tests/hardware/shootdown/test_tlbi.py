"""How many operations an invalidation takes, and how long they keep the server busy."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError
from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocols import number_of
from pmsim.hardware.shootdown.tlbi import (
    TLBI,
    Invalidation,
    invalidate_all,
    invalidate_pages,
    range_operations,
)
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import CallKind
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from pmsim.units import S
from tests.hardware import machines


def costs(*, pages: int = 1, has_ranges: bool = False) -> TlbiCosts:
    return TlbiCosts(operation=100, everything=300, barrier=200, pages=pages, range=has_ranges)


def test_a_span_takes_an_operation_for_each_of_its_pages() -> None:
    assert invalidate_pages(costs(), 7) == Invalidation(CallKind.RANGE, 7)


@pytest.mark.parametrize(("pages", "operations"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2)])
def test_a_span_takes_as_many_operations_as_cover_it(pages: int, operations: int) -> None:
    assert invalidate_pages(costs(pages=8), pages).operations == operations


def test_the_barrier_alone_drops_nothing_whatever_operations_drop() -> None:
    assert not invalidate_pages(costs(), 0, drops_all=True).drops_all
    assert invalidate_pages(costs(), 1, drops_all=True).drops_all


def test_everything_is_one_operation() -> None:
    expected = Invalidation(CallKind.FULL, 1, empties_tlb=True)
    assert invalidate_all() == expected


def test_the_server_works_on_every_operation_and_on_the_barrier() -> None:
    assert invalidate_pages(costs(), 7).effort(costs(), 3, "none").service == 7 * 100 + 200
    assert invalidate_pages(costs(), 0).effort(costs(), 3, "none").service == 200
    assert invalidate_all().effort(costs(), 3, "none").service == 300 + 200


@pytest.mark.parametrize(
    ("pages", "operations"),
    [
        (0, 0),
        (1, 1),  # a page
        (2, 1),  # 1 unit of 2
        (3, 2),  # 1 unit of 2, and a page
        (63, 2),  # 31 units of 2, and a page
        (64, 1),  # 1 unit of 64
        (511, 3),  # 7 of 64, 31 of 2, a page
        (512, 1),  # 8 of 64
        (2048, 1),  # 1 of 2048
        (2048 + 64 + 2 + 1, 4),  # one of each, and a page
        ((1 << 21) - 1, 5),  # 31 of each, and a page
        (1 << 21, 1),  # 32 of 65536
    ],
)
def test_a_span_takes_one_operation_for_each_scale_of_ranges_that_it_needs(
    pages: int, operations: int
) -> None:
    assert range_operations(pages) == operations


@pytest.mark.parametrize(
    ("by_range", "has_ranges", "operations"),
    [(True, True, 1), (True, False, 64), (False, True, 64), (False, False, 64)],
)
def test_ranges_are_used_where_the_kernel_and_the_cpus_know_them(
    by_range: bool, has_ranges: bool, operations: int
) -> None:
    found = invalidate_pages(costs(has_ranges=has_ranges), 64, by_range=by_range)
    assert found.operations == operations


@pytest.mark.parametrize("share", [-1, 1_000_001])
def test_a_share_is_a_part_of_a_whole(share: int) -> None:
    with pytest.raises(ValueError, match="share"):
        TlbiCosts(barrier=1, victim_share_ppm=share)


def test_a_barrier_takes_at_least_a_picosecond() -> None:
    with pytest.raises(ValueError, match="barrier"):
        TlbiCosts(barrier=0)


def test_a_machine_whose_interconnect_cannot_broadcast_says_so() -> None:
    machine = Machine(Topology(cores=2), machines.costs(tlbi=None))

    def asks(task: Task) -> Steps:
        yield from task.compute(70)
        yield from task.invalidate(invalidate_all())

    machine.spawn(1, asks)
    with pytest.raises(ProgramError, match="which this machine cannot") as caught:
        machine.run()
    assert caught.value.at_ps == 70


def test_what_the_caller_says_of_an_invalidation_stands_in_its_row() -> None:
    machine = Machine(Topology(cores=3), machines.costs())
    rows = []
    machine.on_crosscalls = lambda chunk: rows.extend(chunk.tolist())

    def asks(task: Task) -> Steps:
        pages = invalidate_pages(machines.tlbi(), 6)
        yield from task.invalidate(pages, cause=3, operation=17, pages=5)

    machine.spawn(1, asks)
    machine.run()
    (row,) = [dict(zip(CROSSCALL_COLUMNS, values, strict=True)) for values in rows]
    assert (row["cause"], row["operation"], row["pages"]) == (3, 17, 5)
    assert (row["invalidations"], row["targets"], row["protocol"]) == (6, 2, number_of(TLBI))
    assert machine.accounts()["crosscalls_sent"].tolist() == [0, 1, 0]


def test_an_invalidation_that_would_take_minutes_is_refused() -> None:
    slow = machines.tlbi(operation=S)
    machine = Machine(Topology(cores=2), machines.costs(tlbi=slow))
    machine.spawn(0, lambda task: task.invalidate(invalidate_pages(slow, 101)))
    with pytest.raises(ProgramError, match=r"a flush of 101\.0000000002s is longer than 100s"):
        machine.run()


def test_what_the_server_does_not_come_to_within_a_run_does_not_happen() -> None:
    slow = machines.tlbi(operation=S, barrier=1, round_trip=0)
    machine = Machine(Topology(cores=2), machines.costs(tlbi=slow))
    ends = []

    def asks(task: Task) -> Steps:
        yield from task.invalidate(invalidate_pages(slow, 60))
        ends.append((task.cpu, task.now))

    for cpu in range(2):
        machine.spawn(cpu, asks)
    machine.run(duration=120 * S + 1)
    assert ends == [(0, 60 * S + 1)]
    machine.run(duration=120 * S + 3)
    assert ends == [(0, 60 * S + 1), (1, 120 * S + 2)]
