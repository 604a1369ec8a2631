"""What each cost of a machine rests on, and the range in which the truth may lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.constants import FACTORS, Constant, Kind, declarations
from pmsim.errors import ScenarioError
from pmsim.kernel.costs import KernelCosts
from pmsim.scenario.known import KnownConstant
from pmsim.scenario.platform import load_platform, platform_names
from pmsim.scenario.scenario import Scenario, load
from pmsim.units import MS, NS, US


def known(costs: dict[str, Any], **machine: Any) -> dict[str, KnownConstant]:
    """Return the constants of a machine that is written out."""
    given = {"ipi": {"queue": "20ns", "entry": "250ns"}, **costs}
    scenario = Scenario.from_dict(
        {
            "pmsim": 1,
            "machine": {"topology": {"cores": 4, "packages": 2}, "costs": given, **machine},
            "duration": "1ms",
            "workloads": [{"kind": "user_work"}],
        }
    )
    return {one.name: one for one in scenario.resolve().machine.constants}


def sourced(value: str, **said: Any) -> dict[str, Any]:
    return {"ipi": {"queue": {"value": value, **said}, "entry": "250ns"}}


@pytest.mark.parametrize(
    ("basis", "low", "high"),
    [("quoted", 60, 60), ("derived", 40, 90), ("memory", 40, 90), ("estimate", 30, 120)],
)
def test_a_basis_gives_a_range(basis: str, low: int, high: int) -> None:
    queue = known(sourced("60ns", basis=basis))["ipi.queue"]
    assert queue.ends == (low * NS, high * NS)
    assert queue.open == (basis != "quoted")


def test_a_value_of_which_nothing_is_said_counts_as_an_estimate() -> None:
    queue = known({})["ipi.queue"]
    assert (queue.basis, queue.source, queue.ends) == ("", "", (10 * NS, 40 * NS))


def test_a_range_in_the_file_goes_before_that_of_the_basis() -> None:
    queue = known(sourced("60ns", basis="quoted", source="a paper", range=["50ns", "1us"]))
    assert queue["ipi.queue"].ends == (50 * NS, 1 * US)
    assert queue["ipi.queue"].between == "50 ns to 1 µs"


def test_a_walk_may_take_five_times_as_long_from_cold_caches() -> None:
    walk = {"value": "15ns", "basis": "derived"}
    assert known({"tlb": {"walk": walk, "entries": 512}})["tlb.walk"].ends == (7500, 75_000)


def test_what_costs_nothing_has_no_range_and_a_count_only_its_own() -> None:
    found = known({"tlb": {"walk": "0ns", "entries": {"value": 512, "basis": "estimate"}}})
    assert not found["tlb.walk"].open
    assert not found["tlb.entries"].open
    given = {"value": 512, "basis": "memory", "range": [256, 512]}
    assert known({"tlb": {"walk": "9ns", "entries": given}})["tlb.entries"].ends == (256, 512)


def test_a_share_stays_a_share() -> None:
    share = {"value": 0.8, "basis": "estimate"}
    constants = known({"tlbi": {"barrier": "300ns", "share": share}})
    assert constants["tlbi.share"].ends == (400_000, 1_000_000)
    assert constants["tlbi.share"].between == "40 to 100 %"


def test_each_distance_that_a_file_gives_is_a_constant_and_one_for_all_is_one() -> None:
    line = {"core": {"value": "40ns", "basis": "quoted"}, "package": "100ns"}
    constants = known({"ipi": {"queue": "20ns", "entry": "1us", "line": line, "delivery": "1us"}})
    assert constants["ipi.line.core"].ends == (40 * NS, 40 * NS)
    assert constants["ipi.line.package"].ends == (50 * NS, 200 * NS)
    assert constants["ipi.delivery"].ends == (500 * NS, 2 * US)
    assert "ipi.line.die" not in constants


def test_a_source_of_a_whole_table_is_that_of_its_entries() -> None:
    line = {"value": {"core": "40ns", "package": "90ns"}, "basis": "derived", "source": "x"}
    constants = known({"ipi": {"queue": "20ns", "entry": "1us", "line": line}})
    package = constants["ipi.line.package"]
    assert (package.basis, package.source, package.ends) == ("derived", "x", (60 * NS, 135 * NS))


def test_the_scale_of_a_jitter_is_a_constant() -> None:
    jitter = {"dist": "uniform", "scale": "100ns"}
    constants = known({"ipi": {"queue": "20ns", "entry": "1us", "jitter": jitter}})
    assert constants["ipi.jitter.scale"].ends == (50 * NS, 200 * NS)


def test_defaults_of_kernel_work_have_the_basis_and_range_of_their_fields() -> None:
    constants = known({})
    assert constants["kernel.vmalloc"].basis == "derived"
    assert constants["kernel.vmalloc"].ends == (120 * NS, 270 * NS)
    assert constants["kernel.set_memory_page"].ends == (20 * NS, 40 * NS)  # as declared
    own = known({"kernel": {"set_memory_page": "500ns"}})["kernel.set_memory_page"]
    assert own.ends == (250 * NS, 1 * US)  # another value: the declared range is not its own


@pytest.mark.parametrize("group", [KernelCosts])
def test_a_declared_range_holds_the_default(group: type) -> None:
    for one in declarations(group):
        assert isinstance(one.note, Constant)
        if one.note.range is not None:
            low, high = one.note.range
            assert one.note.least <= low <= one.default <= high <= one.note.most, one.field


@pytest.mark.parametrize("name", platform_names())
def test_on_every_platform_all_but_quoted_times_have_a_range_that_holds_them(name: str) -> None:
    for one in load_platform(name).constants:
        low, high = one.ends
        assert low <= one.value <= high, one
        time = one.kind is not Kind.COUNT
        if time and one.value and one.basis in ("estimate", "derived", "memory"):
            assert one.open, one


@given(
    value=st.integers(0, 1 * MS),
    basis=st.sampled_from(list(FACTORS)),
    kind=st.sampled_from(list(Kind)),
    least=st.integers(0, 1),
)
def test_a_range_by_rule_holds_its_value_and_keeps_the_bounds(
    value: int, basis: str, kind: Kind, least: int
) -> None:
    value = max(value, least)
    low, high = Constant(text="", kind=kind, least=least, most=1 * MS).ends(value, basis)
    assert least <= low <= value <= high <= 1 * MS


def test_what_a_scenario_lays_over_a_platform_has_lost_the_platforms_source() -> None:
    base = load("policy-load")
    constants = {one.name: one for one in base.resolve().machine.constants}
    assert constants["tlb.walk"].basis == "derived"
    changed = base.with_(**{"machine.costs.tlb.walk": "75ns", "machine.costs.ipi.line": "40ns"})
    constants = {one.name: one for one in changed.resolve().machine.constants}
    assert (constants["tlb.walk"].basis, constants["tlb.walk"].source) == ("", "")
    assert constants["ipi.line"].basis == ""
    assert "ipi.line.core" not in constants
    assert constants["ipi.queue"].basis == "estimate"


def test_an_idle_state_of_a_platform_is_changed_by_its_place() -> None:
    scenario = load("policy-load").with_(**{"machine.costs.idle.1.exit": "11us"})
    idle = scenario.resolve().machine.costs.idle
    assert [(state.name, state.exit) for state in idle] == [
        ("C1", 2 * US),
        ("C1E", 11 * US),
        ("C6", 133 * US),
    ]


def test_a_place_that_a_list_does_not_have_is_a_fault() -> None:
    with pytest.raises(ScenarioError):
        load("policy-load").with_(**{"machine.costs.idle.7.exit": "11us"})


@pytest.mark.parametrize("name", ["skylake-sp-2s", "altra-max", "sg2042"])
def test_a_value_as_written_reads_back(name: str) -> None:
    scenario = load("one-broadcast").with_(machine=name, kernel=_kernel_of(name))
    open_ones = [one for one in scenario.resolve().machine.constants if one.open]
    changes = {f"machine.{one.path}": one.written(one.ends[1]) for one in open_ones}
    changed = {one.path: one.value for one in scenario.with_(**changes).resolve().machine.constants}
    assert {one.path: one.ends[1] for one in open_ones} == {
        one.path: changed[one.path] for one in open_ones
    }


def _kernel_of(platform: str) -> str:
    arch = load_platform(platform).archs[0]
    return f"linux-6.1-{arch}"
