"""Platforms: their files, their constants, and scenarios that change them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pmsim.errors import ScenarioError
from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.tlb import flush_user
from pmsim.hardware.topology import Distance, Topology
from pmsim.kernel.keys.values import Arch
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.scenario.fit import misfit
from pmsim.scenario.platform import load_platform, platform_constants, platform_names
from pmsim.scenario.sources import BASES
from pmsim.units import NS, US, parse_time

PLATFORMS = platform_names()


def test_the_platforms_of_the_first_release_are_there() -> None:
    assert {"skylake-sp-2s", "epyc-milan", "opteron-2008"} <= set(PLATFORMS)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_goes_by_the_name_of_its_file_and_says_what_it_stands_for(name: str) -> None:
    machine = load_platform(name)
    assert machine.name == name
    assert str(machine.topology.n_cpus) in machine.description


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_constant_has_a_basis_and_a_source(name: str) -> None:
    constants = platform_constants(name)
    assert len(constants) > 20
    assert [one for one in constants if one.basis not in BASES or not one.source] == []


def distances(topology: Topology) -> list[str]:
    """Return the distances that there are between the cores of a machine."""
    there = {"core": topology.cores, "die": topology.dies, "package": topology.packages}
    return [name for name, parts in there.items() if parts > 1]


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_cost_of_the_hardware_is_given_and_none_left_to_a_default(name: str) -> None:
    given = {one.path for one in platform_constants(name)}
    keys = {
        "ipi": ("queue", "send", "fanout", "entry", "exit"),
        "tlb": ("invlpg", "flush_all", "walk", "entries", "sync_core"),
        "sched": ("quantum", "context_switch", "wakeup"),
    }
    wanted = {f"costs.{group}.{key}" for group, names in keys.items() for key in names}
    for distance in distances(load_platform(name).topology):
        wanted |= {f"costs.ipi.delivery.{distance}", f"costs.ipi.line.{distance}"}
    assert wanted - given == set()


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_that_tells_others_without_interrupts_gives_every_cost_of_that(
    name: str,
) -> None:
    given = {one.path for one in platform_constants(name)}
    costs = load_platform(name).costs
    wanted = set()
    if costs.tlbi is not None:
        keys = ("operation", "everything", "barrier", "share", "pages", "range")
        wanted |= {f"costs.tlbi.{key}" for key in keys}
    if costs.sbi is not None:
        wanted |= {f"costs.sbi.{key}" for key in ("trap", "queue", "send", "entry", "exit")}
    assert wanted - given == set()


@pytest.mark.parametrize("arch", get_args(Arch))
def test_every_architecture_has_a_platform_on_which_its_kernels_run(arch: Arch) -> None:
    machines = [load_platform(name) for name in PLATFORMS]
    for profile in map(load_profile, profile_names()):
        if profile.arch == arch:
            fitting = [machine.name for machine in machines if misfit(machine, profile) is None]
            assert fitting, profile.name


def test_an_uncontended_barrier_on_kunpeng_takes_what_was_derived_from_reclaim() -> None:
    # Yang and Song 2023: 0.80 us for a page, one TLBI and one DSB.
    tlbi = load_platform("kunpeng-920-2s").costs.tlbi
    assert tlbi is not None
    took = tlbi.operation + tlbi.barrier + 127 * tlbi.answer + tlbi.round_trip[Distance.PACKAGE]
    assert took / NS == pytest.approx(800, rel=0.001)


def test_an_uncontended_barrier_on_a_telephone_takes_what_was_derived_from_reclaim() -> None:
    # The same mail: 748 cycles, at 2.42 GHz 309 ns.
    tlbi = load_platform("snapdragon-888").costs.tlbi
    assert tlbi is not None
    took = tlbi.operation + tlbi.barrier + 7 * tlbi.answer + tlbi.round_trip[Distance.CORE]
    assert took / 1000 == pytest.approx(748 / 2.42, rel=0.01)


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_is_farther_away_is_not_faster(name: str) -> None:
    ipi = load_platform(name).costs.ipi
    for row in (ipi.delivery, ipi.line):
        assert list(row) == sorted(row)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("skylake-sp-2s", (2, 1, 14, 2, 56)),
        ("epyc-milan", (2, 8, 8, 2, 256)),
        ("opteron-2008", (2, 1, 4, 1, 8)),
        ("skylake-sp-8s", (8, 1, 28, 2, 448)),
        ("xeon-2006", (2, 2, 2, 1, 8)),
        ("epyc-turin", (2, 16, 8, 2, 512)),
        ("altra-max", (1, 1, 128, 1, 128)),
        ("kunpeng-920-2s", (2, 2, 32, 1, 128)),
        ("snapdragon-888", (1, 1, 8, 1, 8)),
        ("cortex-a15", (1, 1, 4, 1, 4)),
        ("cortex-a15-r2p1", (1, 1, 4, 1, 4)),
        ("sg2042", (1, 16, 4, 1, 64)),
        ("kvm-milan", (1, 1, 2, 1, 2)),
        ("kvm-milan-2s", (2, 8, 8, 2, 252)),
        ("kvm-sapphire-rapids", (1, 1, 2, 1, 2)),
        ("kvm-intel-2018", (1, 1, 4, 1, 4)),
    ],
)
def test_a_platform_has_the_shape_of_its_machine(name: str, shape: tuple[int, ...]) -> None:
    topology = load_platform(name).topology
    assert shape == (
        topology.packages,
        topology.dies,
        topology.cores,
        topology.threads,
        topology.n_cpus,
    )


def test_the_early_cortex_a15_differs_by_its_erratum_alone() -> None:
    early, late = (load_platform(name).costs for name in ("cortex-a15-r2p1", "cortex-a15"))
    assert early.tlbi is not None
    assert late.tlbi is not None
    assert (early.tlbi.erratum_798181, late.tlbi.erratum_798181) == (True, False)
    assert replace(early, tlbi=late.tlbi) == late
    assert replace(early.tlbi, erratum_798181=False) == late.tlbi


def test_skylake_sp_idle_states_are_those_of_intel_idle() -> None:
    # drivers/idle/intel_idle.c, skx_cstates: exit latency and target residency in microseconds.
    table = [("C1", 2, 2), ("C1E", 10, 20), ("C6", 133, 600)]
    idle = load_platform("skylake-sp-2s").costs.idle
    assert [(s.name, s.exit // US, s.residency // US) for s in idle] == table


def one_target(costs: MachineCosts, distance: Distance, function: int) -> int:
    """Time that a cross-call to one target takes: section 4 of the machine model, by hand."""
    ipi = costs.ipi
    arrives = ipi.queue + ipi.send + ipi.delivery[distance]
    local_ends = ipi.queue + ipi.send + function
    return max(local_ends, arrives + ipi.entry + function) + ipi.line[distance]


def test_one_target_in_the_same_socket_costs_what_amit_measured() -> None:
    # Amit 2019, one page, local and remote flush one after the other: 1,436 ns with a second
    # thread, 661 ns without.
    costs = load_platform("skylake-sp-2s").costs
    added = one_target(costs, Distance.CORE, flush_user(costs.tlb, 1, 33).cost)
    assert abs(added - (1436 - 661) * NS) <= 10 * NS


@pytest.mark.parametrize(
    ("name", "mapping", "round_ps"),
    [("skylake-sp-2s", 0, 661 * NS), ("epyc-milan", 256, 3175 * NS)],
)
def test_giving_a_page_back_and_touching_it_costs_what_was_measured(
    name: str, mapping: int, round_ps: int
) -> None:
    # Amit 2019, one thread; tlb_flush2_threads of van Riel 2025, 315,000 rounds a second, which
    # reads the page, too, and unmaps 256 of them together.
    machine = load_platform(name)
    kernel = machine.kernel_costs
    madvise = kernel.user_madvise + kernel.user_mapping_page + kernel.user_page_free
    touch = kernel.user_fault + kernel.user_page_zero
    lists = 2 * kernel.lru_page
    flush = flush_user(machine.costs.tlb, 1, 33).cost
    if mapping:
        touch += kernel.user_read_fault + kernel.user_mapping_page
        touch += (kernel.user_mmap + kernel.user_munmap) // mapping
    assert madvise + touch + lists + flush == pytest.approx(round_ps, rel=0.03)


def test_two_more_targets_in_the_same_socket_cost_what_amit_measured() -> None:
    # The same table: 135 ns (concurrent) to 196 ns (serialised) for two more targets.
    ipi = load_platform("skylake-sp-2s").costs.ipi
    assert 135 * NS <= 2 * (ipi.queue + ipi.line[Distance.CORE]) <= 196 * NS


def test_sixteen_cores_on_two_sockets_take_the_time_that_latr_quotes() -> None:
    # 15 targets: 7 near ones, then 8 in the other socket. By section 4 the initiator leaves the
    # last one when all lines of the far ones are fetched after the first far acknowledgement.
    costs = load_platform("skylake-sp-2s").costs
    ipi = costs.ipi
    arrives = 15 * ipi.queue + ipi.send + ipi.delivery[Distance.PACKAGE]
    first_far = arrives + ipi.entry + flush_user(costs.tlb, 1, 33).cost
    assert abs(first_far + 8 * ipi.line[Distance.PACKAGE] - parse_time("2.7us")) <= 10 * NS


def test_a_target_on_eight_sockets_costs_what_is_estimated_for_it() -> None:
    # 100 ns for each of 447 targets, in the mean: into its queue, and to fetch its line.
    machine = load_platform("skylake-sp-8s")
    ipi, topology = machine.costs.ipi, machine.topology
    lines = sum(topology.cost(ipi.line, 0, cpu) for cpu in range(1, topology.n_cpus))
    assert ipi.queue + lines / 447 == pytest.approx(100 * NS, rel=0.1)


def test_an_interrupt_reaches_eight_sockets_in_the_time_that_latr_quotes() -> None:
    machine = load_platform("skylake-sp-8s")
    ipi, hops = machine.costs.ipi, machine.topology.hops
    assert hops is not None
    clusters = -(-120 // ipi.fanout)
    farthest = max(map(max, hops)) * ipi.delivery[Distance.PACKAGE]
    assert clusters * ipi.send + farthest == pytest.approx(parse_time("6.6us"), rel=0.01)


def test_cycles_of_the_x86_bench_table_are_what_the_flushes_cost() -> None:
    for name, ghz, page, everything, of_user in (
        ("skylake-sp-2s", 2.6, 225, 936, 152),
        ("epyc-milan", 2.45, 93, 589, 127),
        ("opteron-2008", 2.3, 93, 589, 0),
        ("skylake-sp-8s", 2.5, 225, 936, 152),
        ("epyc-turin", 2.7, 93, 589, 127),
        ("kvm-milan", 2.45, 93, 589, 127),
        ("kvm-milan-2s", 2.45, 93, 589, 127),
        ("kvm-sapphire-rapids", 3.0, 225, 936, 152),
        ("kvm-intel-2018", 2.6, 225, 936, 152),
    ):
        tlb = load_platform(name).costs.tlb
        assert tlb.flush_user / 1000 == pytest.approx(of_user / ghz, rel=0.02)
        assert tlb.invlpg / 1000 == pytest.approx(page / ghz, rel=0.02)
        assert tlb.flush_all / 1000 == pytest.approx(everything / ghz, rel=0.02)


def test_a_platform_may_be_a_file_beside_what_names_it(tmp_path: Path) -> None:
    text = "topology: {cores: 4}\ncosts: {ipi: {queue: 20ns, entry: 250ns}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert load_platform("mine.yaml", tmp_path).topology.n_cpus == 4
    assert load_platform(str(tmp_path / "mine.yaml")).topology.n_cpus == 4


def test_the_constants_of_a_users_file_need_neither_basis_nor_source(tmp_path: Path) -> None:
    text = "topology: {cores: 4}\ncosts: {ipi: {queue: 20ns, entry: {value: 250ns}}}\n"
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    found = {one.path: (one.value, one.basis) for one in platform_constants(str(path))}
    assert found == {
        "topology.cores": ("4", ""),
        "costs.ipi.queue": ("20ns", ""),
        "costs.ipi.entry": ("250ns", ""),
    }


def test_an_unknown_platform_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_platform("skylake-2s")
    (fault,) = caught.value.faults
    assert (fault.code, fault.hint) == ("unknown-platform", "did you mean skylake-sp-2s?")


def test_a_file_without_an_ending_is_told_how_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").write_text("pmsim: 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError) as caught:
        load_platform("lab")
    (fault,) = caught.value.faults
    assert (fault.code, fault.hint) == ("unknown-platform", "for the file of this name: ./lab")
