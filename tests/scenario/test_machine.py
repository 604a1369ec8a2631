"""Machines from their keys: defaults, distances, idle states, jitter, topology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.hardware.costs import IdleState, Jitter
from pmsim.hardware.host import Host
from pmsim.hardware.topology import Distance
from pmsim.kernel.costs import KernelCosts
from pmsim.scenario.faults import FaultList
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.nodes import node_of
from pmsim.scenario.platform import load_platform, machine_of
from pmsim.units import MS, NS, US
from tests.scenario.inline_machines import DISTANCES, TIME, codes, machine, read_back


def test_costs_that_are_not_given_are_nothing() -> None:
    costs = machine().costs
    assert (costs.ipi.send, costs.ipi.exit, costs.ipi.jitter) == (0, 0, None)
    assert costs.ipi.fanout == 1
    assert costs.ipi.delivery == costs.ipi.line == (0, 0, 0, 0, 0)
    assert (costs.tlb.invlpg, costs.tlb.flush_all, costs.tlb.walk, costs.tlb.sync_core) == (0,) * 4
    assert (costs.sched.context_switch, costs.sched.wakeup) == (0, 0)
    assert costs.idle == ()
    assert machine().kernel_costs == KernelCosts()


def test_a_time_slice_that_is_not_given_is_that_of_linux_on_many_cpus() -> None:
    assert machine().costs.sched.quantum == 3 * MS


@pytest.mark.parametrize(
    ("given_keys", "row"),
    [
        ({"core": "600ns"}, (600, 600, 600, 600, 600)),
        ({"thread": "400ns", "package": "1200ns"}, (400, 400, 400, 400, 1200)),
        ({"die": "700ns"}, (700, 700, 700, 700, 700)),
        ({"self": "1ns", "core": "3ns"}, (1, 1, 3, 3, 3)),
        (
            {"thread": "400ns", "core": "600ns", "die": "700ns", "package": "1200ns"},
            (400, 400, 600, 700, 1200),
        ),
        ("50ns", (50, 50, 50, 50, 50)),
    ],
)
def test_a_missing_distance_takes_the_next_nearer_ones_cost_or_the_nearest_present_ones(
    given_keys: Any, row: tuple[int, ...]
) -> None:
    costs = machine(ipi={"delivery": given_keys}).costs
    assert costs.ipi.delivery == tuple(value * NS for value in row)


def test_jitter_as_a_time_is_the_scale_of_a_half_normal_distribution() -> None:
    assert machine(ipi={"jitter": "30ns"}).costs.ipi.jitter == Jitter("half-normal", 30 * NS)


@pytest.mark.parametrize("dist", ["half-normal", "exponential", "uniform"])
def test_jitter_may_name_its_distribution(dist: Any) -> None:
    keys = {"jitter": {"dist": dist, "scale": "30ns"}}
    assert machine(ipi=keys).costs.ipi.jitter == Jitter(dist, 30 * NS)


def test_jitter_of_no_size_is_no_jitter() -> None:
    assert machine(ipi={"jitter": "0ns"}).costs.ipi.jitter is None
    assert machine(ipi={"jitter": {"dist": "uniform", "scale": "0ns"}}).costs.ipi.jitter is None


def test_idle_states_are_sorted_by_residency_and_equal_ones_keep_their_order() -> None:
    idle = [
        {"name": "C6", "exit": "133us", "residency": "600us"},
        {"name": "B", "exit": "2us"},
        {"name": "A", "exit": "3us", "residency": "0us"},
    ]
    assert machine(idle=idle).costs.idle == (
        IdleState("B", 2 * US, 0),
        IdleState("A", 3 * US, 0),
        IdleState("C6", 133 * US, 600 * US),
    )


def test_queue_and_entry_and_quantum_are_at_least_a_picosecond() -> None:
    assert machine(ipi={"queue": "1ps", "entry": "1ps"}).costs.ipi.queue == 1
    assert codes(ipi={"queue": "0ps"}) == ["not-positive"]
    assert codes(ipi={"entry": "0ps"}) == ["not-positive"]
    assert codes(sched={"quantum": "0s"}) == ["not-positive"]


def test_the_number_of_entries_is_needed_where_refilling_costs_something() -> None:
    assert codes(tlb={"walk": "15ns"}) == ["missing-key"]
    assert machine(tlb={"walk": "15ns", "entries": 64}).costs.tlb.entries == 64
    assert machine(tlb={"walk": "0ns"}).costs.tlb.entries == 0


def test_a_cost_of_kernel_work_may_be_given() -> None:
    assert machine(kernel={"vmalloc": "1us"}).kernel_costs == KernelCosts(vmalloc=1 * US)


def test_cpus_cut_a_topology() -> None:
    topology = machine({"packages": 2, "cores": 14, "threads": 2}, cpus=8).topology
    assert (topology.n_cpus, topology.n_packages) == (8, 1)


def test_cpus_extend_a_topology_by_packages_of_the_same_shape() -> None:
    topology = machine({"packages": 2, "cores": 14, "threads": 2}, cpus=57).topology
    assert (topology.n_cpus, topology.n_packages) == (57, 3)
    assert topology.distance(56, 55) is Distance.PACKAGE


def test_packages_that_are_cut_away_take_their_hops_with_them() -> None:
    hops = [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    topology = machine({"packages": 3, "cores": 2, "hops": hops}, cpus=4).topology
    assert topology.hops == ((0, 1), (1, 0))


def test_hops_for_packages_that_are_added_are_not_made_up() -> None:
    assert codes(topology={"packages": 2, "hops": [[0, 1], [1, 0]]}, cpus=3) == ["bad-topology"]


def test_a_machine_has_4096_cpus_at_most() -> None:
    assert machine({"packages": 64, "cores": 64}).topology.n_cpus == 4096
    assert codes(topology={"packages": 64, "cores": 65}) == ["bad-topology"]


@given(
    st.fixed_dictionaries(
        {"delivery": TIME | DISTANCES, "line": DISTANCES, "fanout": st.integers(1, 4096)},
        optional={"jitter": TIME, "send": TIME, "exit": TIME},
    ),
    st.lists(
        st.fixed_dictionaries({"name": st.sampled_from("ABC"), "exit": TIME, "residency": TIME}),
        max_size=3,
    ),
    st.integers(1, 4096),
)
def test_every_machine_reads_back_as_it_was_written(
    ipi: dict[str, Any], idle: list[dict[str, str]], cpus: int
) -> None:
    described = machine({"packages": 2, "dies": 2, "cores": 3}, cpus=cpus, ipi=ipi, idle=idle)
    assert read_back(described) == described


def guest(**host: Any) -> MachineDescription:
    """Return a machine of two cores that is a guest."""
    topology = {"cores": 2}
    costs = {"ipi": {"queue": "20ns", "entry": "250ns"}}
    faults = FaultList("f.yaml")
    found = machine_of(
        node_of({"topology": topology, "costs": costs, "host": host}), faults, Path()
    )
    faults.raise_if_any()
    assert found is not None
    return found


def test_a_machine_is_a_guest_where_it_says_so() -> None:
    assert machine().host is None
    assert guest(exit="1us", inject="2us").host == Host(exit=1 * US, inject=2 * US)
    assert guest().host == Host()


def test_a_guest_reads_again_as_it_is_written() -> None:
    described = guest(exit="1us", inject="2us", pv_flush=True)
    assert read_back(described) == described


def test_a_platform_becomes_a_guest_or_bare_metal_by_one_key() -> None:
    keys = {"platform": "skylake-sp-2s", "host": {"exit": "1us"}}
    found = machine_of(node_of(keys), FaultList("f.yaml"), Path())
    assert found is not None
    assert found.host == Host(exit=1 * US)
    assert found.costs == load_platform("skylake-sp-2s").costs
