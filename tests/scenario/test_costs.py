"""The costs of the ways to tell other CPUs, from their keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.constants import LONGEST_ACT, Constant, Kind, declarations
from pmsim.errors import Fault, ScenarioError
from pmsim.hardware.costs import (
    IdleState,
    IpiCosts,
    SbiCosts,
    SchedCosts,
    TlbCosts,
    TlbiCosts,
)
from pmsim.hardware.proposals import (
    CoherentCosts,
    DeferredCosts,
    DirectoryCosts,
    LatrCosts,
    RarCosts,
)
from pmsim.kernel.costs import KernelCosts
from pmsim.units import NS, S, format_time
from tests.scenario.inline_machines import DISTANCES, TIME, codes, machine, read_back

GROUPS: dict[str, type] = {
    "ipi": IpiCosts,
    "tlbi": TlbiCosts,
    "sbi": SbiCosts,
    "coherent": CoherentCosts,
    "directory": DirectoryCosts,
    "rar": RarCosts,
    "deferred": DeferredCosts,
    "latr": LatrCosts,
    "tlb": TlbCosts,
    "sched": SchedCosts,
    "kernel": KernelCosts,
}
REQUIRED: dict[str, dict[str, Any]] = {
    "tlbi": {"barrier": "1ns"},
    "sbi": {"queue": "1ns", "entry": "1ns"},
    "rar": {"queue": "1ns"},
    "tlb": {"entries": 1},
}


def test_a_machine_has_the_protocols_that_it_has_costs_for() -> None:
    assert (machine().costs.tlbi, machine().costs.sbi) == (None, None)
    assert machine(tlbi={"barrier": "1ns"}).costs.tlbi is not None
    assert machine(sbi={"queue": "1ns", "entry": "1ns"}).costs.sbi is not None


def test_costs_of_a_broadcast_that_are_not_given_are_nothing() -> None:
    found = machine(tlbi={"barrier": "200ns"}).costs.tlbi
    assert found == TlbiCosts(barrier=200 * NS)


def test_costs_of_the_firmware_that_are_not_given_are_nothing() -> None:
    found = machine(sbi={"queue": "20ns", "entry": "250ns"}).costs.sbi
    assert found == SbiCosts(queue=20 * NS, entry=250 * NS)


def test_every_cost_of_a_broadcast_goes_to_its_place() -> None:
    keys = {
        "operation": "1ns",
        "everything": "2ns",
        "barrier": "3ns",
        "round_trip": {"core": "4ns", "package": "5ns"},
        "share": 0.25,
        "pages": 8,
        "range": True,
    }
    trips = (4 * NS, 4 * NS, 4 * NS, 4 * NS, 5 * NS)
    expected = TlbiCosts(
        operation=1 * NS,
        everything=2 * NS,
        barrier=3 * NS,
        round_trip=trips,
        victim_share_ppm=250_000,
        pages=8,
        range=True,
    )
    assert machine(tlbi=keys).costs.tlbi == expected


def test_every_cost_of_the_firmware_goes_to_its_place() -> None:
    times = {"trap": "1ns", "queue": "2ns", "send": "3ns", "entry": "4ns", "exit": "5ns"}
    found = machine(sbi=times | {"delivery": "6ns", "line": "7ns"}).costs.sbi
    assert found == SbiCosts(
        trap=1 * NS,
        queue=2 * NS,
        send=3 * NS,
        delivery=(6 * NS,) * 5,
        line=(7 * NS,) * 5,
        entry=4 * NS,
        exit=5 * NS,
    )


@pytest.mark.parametrize(
    ("share", "ppm"), [(0, 0), (1, 1_000_000), (0.25, 250_000), (0.1234567, 123_457)]
)
def test_a_share_is_read_to_the_millionth(share: float, ppm: int) -> None:
    found = machine(tlbi={"barrier": "1ns", "share": share}).costs.tlbi
    assert found is not None
    assert found.victim_share_ppm == ppm


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"share": 1.01}, "out-of-range"),
        ({"share": -0.1}, "out-of-range"),
        ({"share": True}, "wrong-type"),
        ({"share": float("nan")}, "out-of-range"),
        ({"pages": 0}, "out-of-range"),
        ({"pages": 2.5}, "wrong-type"),
        ({"range": 1}, "wrong-type"),
        ({"barrier": "0ns"}, "not-positive"),
        ({"round_trip": {}}, "missing-key"),
        ({"operation": "1 page"}, "wrong-unit"),
        ({"queue": "1ns"}, "unknown-key"),
    ],
)
def test_what_is_wrong_with_a_broadcast_is_a_fault(keys: dict[str, Any], code: str) -> None:
    assert codes(tlbi={"barrier": "1ns", **keys}) == [code]


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"queue": "0ps"}, "not-positive"),
        ({"entry": "0ps"}, "not-positive"),
        ({"jitter": "1ns"}, "unknown-key"),
        ({"fanout": 16}, "unknown-key"),
        ({"trap": 5}, "missing-unit"),
    ],
)
def test_what_is_wrong_with_the_firmware_is_a_fault(keys: dict[str, Any], code: str) -> None:
    assert codes(sbi={"queue": "1ns", "entry": "1ns", **keys}) == [code]


POSITIVE = st.integers(1, 10**12).map(lambda ps: f"{ps}ps")
TLBI = st.fixed_dictionaries(
    {"barrier": POSITIVE, "share": st.floats(0, 1), "pages": st.integers(1, 4096)},
    optional={
        "operation": TIME,
        "everything": TIME,
        "round_trip": TIME | DISTANCES,
        "range": st.booleans(),
    },
)
SBI = st.fixed_dictionaries(
    {"queue": POSITIVE, "entry": POSITIVE},
    optional={"trap": TIME, "send": TIME, "delivery": DISTANCES, "line": TIME, "exit": TIME},
)


@given(TLBI, SBI)
def test_the_protocols_costs_read_back_as_they_were_written(
    tlbi: dict[str, Any], sbi: dict[str, Any]
) -> None:
    described = machine({"packages": 2, "cores": 3}, tlbi=tlbi, sbi=sbi)
    assert read_back(described) == described


def faults_of(group: str, key: str, value: str) -> list[Fault]:
    """Return the faults of a machine of which one time is given."""
    try:
        machine(**{group: {**REQUIRED.get(group, {}), key: value}})
    except ScenarioError as error:
        return error.faults
    return []


TIMES = [
    (group, one.key, one.note.most)
    for group, declared in GROUPS.items()
    for one in declarations(declared)
    if isinstance(one.note, Constant)
    and one.note.kind in (Kind.TIME, Kind.TIME_BY_DISTANCE, Kind.JITTER)
]


@pytest.mark.parametrize(("group", "key", "most"), TIMES)
def test_every_time_has_a_largest_value_which_a_larger_one_is_told(
    group: str, key: str, most: int
) -> None:
    assert faults_of(group, key, f"{most}ps") == []
    for above in (f"{most + 1}ps", "100000min", "2305843009213693952ps", f"{2**63 - 1}ps"):
        found = faults_of(group, key, above)
        assert [(fault.code, fault.hint) for fault in found] == [
            ("out-of-range", f"the largest is {format_time(most)}")
        ]


@pytest.mark.parametrize("key", ["exit", "residency"])
def test_a_state_that_is_left_or_entered_after_weeks_is_a_fault(key: str) -> None:
    state = {"name": "C6", "exit": "1us", key: "100000min"}
    assert codes(idle=[state]) == ["out-of-range"]


def test_a_distance_and_a_distribution_have_the_bounds_of_a_time() -> None:
    assert codes(ipi={"delivery": {"core": "2s"}}) == ["out-of-range"]
    assert codes(ipi={"jitter": {"dist": "uniform", "scale": "2s"}}) == ["out-of-range"]


@pytest.mark.parametrize("bad", [{"vmalloc": "-1ns"}, {"vmalloc": 5}, {"vmaloc": "1ns"}])
def test_what_is_wrong_with_the_cost_of_kernel_work_is_a_fault(bad: dict[str, Any]) -> None:
    assert len(codes(kernel=bad)) == 1


def test_a_value_outside_its_bounds_is_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="queue must be at most 1s, not 2s"):
        IpiCosts(queue=2 * S, entry=1)
    with pytest.raises(ValueError, match="delivery must be at most 1s"):
        IpiCosts(queue=1, entry=1, delivery=(0, 0, 0, 0, LONGEST_ACT + 1))
    with pytest.raises(ValueError, match="exit must be at least 0, not -1"):
        IdleState("C1", exit=-1)
