"""Section 11 of the machine-model page: hardware that knows who holds a translation.

On the plain machine a store to a line of eight entries takes 30, whoever holds them. A directory is
asked in 200, tells each holder in 20, and the farthest answers 1000 later.
"""

from __future__ import annotations

import pytest

from pmsim.hardware.proposals import CoherentCosts, DirectoryCosts
from pmsim.hardware.topology import Topology
from tests.hardware.adapters import rows_of
from tests.hardware.machines import call, call_times, compute, irqs_off, on, program

FAR = Topology(packages=2, cores=2, threads=2)
"""CPU 0: CPU 1 is a thread of its core, 2 and 3 are cores of its package, 4 to 7 another's."""
BY_DISTANCE = (1, 10, 100, 1000, 10_000)


def coherent(pages):
    return "coherent", pages


def directory(pages):
    return "directory", pages


@pytest.mark.parametrize(("pages", "time"), [(0, 0), (1, 30), (8, 30), (9, 60), (1000, 3750)])
def test_each_line_of_eight_entries_is_a_store_however_many_pages(run, pages, time):
    result = run(program(on(0, coherent(pages)), cpus=3))
    assert call_times(result) == [(0, time)]
    assert result.calls[0].gone == time


def test_the_stores_have_dropped_everything_already(run):
    result = run(program(on(0, compute(7), coherent(-1)), cpus=3))
    assert (call_times(result), result.calls[0].gone) == ([(7, 7)], 7)


def test_a_store_waits_for_the_farthest_class_of_distance(run):
    costs = CoherentCosts(store=BY_DISTANCE)
    result = run(program(on(0, coherent(1)), topology=FAR, coherent=costs))
    assert result.end == 10_000
    near = Topology(cores=2, threads=2, cpus=3)
    assert run(program(on(0, coherent(1)), topology=near, coherent=costs)).end == 100
    falling = CoherentCosts(store=(5, 4, 3, 2, 1))
    assert run(program(on(0, coherent(1)), topology=FAR, coherent=falling)).end == 1


def test_alone_on_the_machine_a_store_is_ones_own_and_a_directory_tells_nobody(run):
    costs = CoherentCosts(store=BY_DISTANCE)
    assert run(program(on(0, coherent(1)), cpus=1, coherent=costs)).end == 1
    assert run(program(on(0, directory(1)), cpus=1)).end == 200


@pytest.mark.parametrize(("pages", "time"), [(0, 0), (1, 1260), (5000, 1260), (-1, 1260)])
def test_a_directory_tells_every_holder_whatever_was_changed(run, pages, time):
    result = run(program(on(0, directory(pages)), cpus=4))
    assert (call_times(result), result.calls[0].gone) == ([(0, time)], time)


def test_the_longest_way_to_a_holder_and_back_counts(run):
    falling = DirectoryCosts(round_trip=(9, 400, 300, 200, 100))
    assert run(program(on(0, directory(1)), topology=FAR, directory=falling)).end == 400


@pytest.mark.parametrize("operation", [coherent, directory])
def test_nobody_is_interrupted_and_nobody_loses(run, operation):
    tasks = (on(0, operation(1)), on(1, compute(5000), working_set=4), on(2, irqs_off(5000)))
    result = run(program(*tasks, walk=50))
    assert [cpu.handlers for cpu in result.cpus] == [0, 0, 0]
    assert result.task_ends == {0: result.calls[0].end, 1: 5000, 2: 5000}
    assert result.cpus[0].spin == result.end - 5000 + result.calls[0].end


def test_it_spins_with_interrupts_on_and_goes_on_at_a_handlers_end(run):
    # CPU 1's call arrives at 1200; its handler, of 2 pages, ends at 1320. Gone is at 1260 - 20.
    tasks = (on(0, directory(1)), on(1, compute(100), call(0, pages=2)), on(2))
    result = run(program(*tasks))
    assert (result.calls[0].end, result.calls[0].gone) == (1320, 1240)
    assert (result.cpus[0].spin, result.cpus[0].stolen) == (1200, 120)


def test_the_row_follows_the_initiator():
    (row, _), (far, _) = rows_of(program(on(0, coherent(1), directory(1)), cpus=3))
    assert (row["targets"], row["function_ps"], row["pages"]) == (2, 30, 1)
    assert (far["function_ps"], far["delivery_ps"], far["slowest_cpu"]) == (240, 1000, -1)
