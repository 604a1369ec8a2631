"""The costs of the ways to tell other CPUs, from their keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.hardware.costs import SbiCosts, TlbiCosts
from pmsim.units import NS
from tests.scenario.inline_machines import DISTANCES, TIME, codes, machine, read_back


def test_a_machine_has_the_protocols_that_it_has_costs_for() -> None:
    assert (machine().costs.tlbi, machine().costs.sbi) == (None, None)
    assert machine(tlbi={"barrier": "1ns"}).costs.tlbi is not None
    assert machine(sbi={"queue": "1ns", "entry": "1ns"}).costs.sbi is not None


def test_costs_of_a_broadcast_that_are_not_given_are_nothing() -> None:
    found = machine(tlbi={"barrier": "200ns"}).costs.tlbi
    assert found == TlbiCosts(0, 0, 200 * NS, (0,) * 5, 0, 1, range=False)


def test_costs_of_the_firmware_that_are_not_given_are_nothing() -> None:
    found = machine(sbi={"queue": "20ns", "entry": "250ns"}).costs.sbi
    assert found == SbiCosts(0, 20 * NS, 0, (0,) * 5, (0,) * 5, 250 * NS, 0)


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
    expected = TlbiCosts(1 * NS, 2 * NS, 3 * NS, trips, 250_000, 8, range=True)
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
