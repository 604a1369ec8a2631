"""Section 2 of the machine-model page: distances, seen in what an interrupt takes.

CPU 0 calls everybody else at 0, each by an interrupt of its own, on idle CPUs without idle states.
With a queue cost of 1 and ``n`` targets, sending starts at ``n``; with an entry of 1 and a function
that costs nothing, a target acknowledges at ``n + delivery + 1``.
"""

from __future__ import annotations

from pmsim.hardware.topology import Topology
from tests.hardware.machines import flush_kernel, on, program

DELIVERY = (0, 1000, 2000, 3000, 4000)


def deliveries(run, topology, caller=0):
    result = run(
        program(on(caller, flush_kernel(0)), topology=topology, queue=1, entry=1, delivery=DELIVERY)
    )
    n = topology.n_cpus - 1
    return {c: ack - n - 1 for c, ack in result.calls[0].acks.items()}


def test_cpus_are_numbered_with_threads_innermost_then_cores_dies_and_packages(run):
    # 2 x 2 x 2 x 2: core of 0: {0, 1}; its die: {0..3}; its package: {0..7}.
    expected = {1: 1000, 2: 2000, 3: 2000}
    expected |= dict.fromkeys(range(4, 8), 3000) | dict.fromkeys(range(8, 16), 4000)
    assert deliveries(run, Topology(2, 2, 2, 2)) == expected


def test_a_number_of_cpus_below_the_product_keeps_the_first(run):
    assert deliveries(run, Topology(2, 1, 3, 1, cpus=4)) == {1: 2000, 2: 2000, 3: 4000}


def test_a_number_of_cpus_above_the_product_adds_packages_of_the_same_shape(run):
    assert deliveries(run, Topology(1, 1, 1, 2, cpus=5)) == {1: 1000, 2: 4000, 3: 4000, 4: 4000}


def test_hops_between_packages_multiply_the_package_entry_alone(run):
    # Two CPUs per package; from package 1: one hop to package 0, three to package 2.
    hops = ((0, 1, 2), (1, 0, 3), (2, 3, 0))
    topology = Topology(packages=3, threads=2, hops=hops)
    assert deliveries(run, topology, caller=2) == {
        3: 1000,
        0: 4000,
        1: 4000,
        4: 12_000,
        5: 12_000,
    }
