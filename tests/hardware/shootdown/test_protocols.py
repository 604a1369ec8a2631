"""Every protocol is a record that all who speak of protocols can read."""

from __future__ import annotations

import pickle
from dataclasses import fields

import pytest

from pmsim.constants import Constant, Kind, declarations
from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.passes import layout
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.promises import NEEDS, unmet
from pmsim.hardware.shootdown.protocol import Count, Holds, Protocol, Shootdown, with_options
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS, PROTOCOLS, calls_of, number_of
from pmsim.hardware.shootdown.tlbi import TLBI
from pmsim.hardware.topology import Topology
from tests.hardware import machines

EACH = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@EACH
def test_a_protocol_says_what_it_is_who_pays_and_what_it_stands_for(protocol: Protocol) -> None:
    assert protocol.text.endswith(".")
    assert protocol.pays
    assert protocol.source
    assert protocol.at_return.words


@EACH
def test_its_costs_stand_under_its_name(protocol: Protocol) -> None:
    assert protocol.name in {field.name for field in fields(MachineCosts)}
    assert isinstance(protocol.costs_on(machines.costs()), protocol.costs)


@EACH
def test_each_of_its_options_has_a_word_in_the_header(protocol: Protocol) -> None:
    for option in protocol.options:
        if protocol.interrupts:
            assert getattr(layout, option.name.upper()) < layout.HEADER
        assert isinstance(option, Count) or len(option.values) > 1


READ_ELSEWHERE = {"range_pages", "request_lines", "slots"}
"""What the passes have no use for: which function a kernel calls, which lock an initiator takes."""

ADDED_TO = {"ecall": "send"}
"""What the machine pays together with something else."""

CALLS = [one for one in PROTOCOLS.values() if one.interrupts]


@pytest.mark.parametrize("protocol", CALLS, ids=[one.name for one in CALLS])
def test_each_cost_of_a_cross_call_reaches_the_machine(protocol: Protocol) -> None:
    costs = machines.costs()
    state = Machine(Topology(cores=2), costs, shootdown=Shootdown(protocol)).fabric.state
    group = protocol.costs_on(costs)
    declared: type = protocol.costs
    for one in declarations(declared):
        assert isinstance(one.note, Constant)
        if one.key in READ_ELSEWHERE or one.key in ADDED_TO:
            continue
        if one.note.kind in (Kind.TIME, Kind.COUNT):
            assert state[getattr(layout, one.key.upper())] == getattr(group, one.field)
        elif one.note.kind is Kind.TIME_BY_DISTANCE:
            at = state[getattr(layout, f"{one.key.upper()}_AT")]
            assert state[at : at + 5].tolist() == list(getattr(group, one.field))
    assert state[layout.HELD_OFF] == protocol.held_off
    assert state[layout.PROTOCOL] == number_of(protocol)


def test_what_is_broadcast_is_logged_under_its_number() -> None:
    assert number_of(TLBI) == layout.BY_TLBI
    assert number_of(LATR) == layout.BY_LATR


def test_where_the_hardware_tells_others_the_cross_calls_that_remain_are_interrupts() -> None:
    assert calls_of(Shootdown(TLBI)) == BY_INTERRUPTS


def test_a_protocol_holds_no_more_than_the_weakest_of_what_is_chosen() -> None:
    for protocol in PROTOCOLS.values():
        for option in protocol.options:
            for value in () if isinstance(option, Count) else option.values:
                chosen = with_options(protocol, {option.name: value.name})
                assert chosen.at_return == min(protocol.at_return, value.at_return)
                assert (chosen.at_return >= Holds.GONE) is (not unmet(chosen))


def test_operations_need_what_the_design_says_of_them() -> None:
    """Rows: before it returns, before pages are reused, before page tables are reused."""
    assert {one.operation: (one.at_return, one.pages, one.tables) for one in NEEDS} == {
        "revoke": (Holds.GONE, None, None),
        "free with reset": (Holds.GONE, Holds.GONE, Holds.GONE),
        "free, user": (None, Holds.GONE, Holds.GONE),
        "free, kernel": (None, None, Holds.GONE),
        "widen": (None, None, None),
    }


def test_acknowledging_at_entry_promises_too_little_to_revoke_and_to_reuse_pages() -> None:
    short = unmet(with_options(IPI, {"ack": "entry"}))
    assert [one.operation for one in short] == ["revoke", "free with reset", "free, user"]


def test_a_protocol_that_goes_to_another_process_is_the_same_one_there() -> None:
    for protocol in PROTOCOLS.values():
        assert pickle.loads(pickle.dumps(Shootdown(protocol))).protocol is protocol


def test_an_option_that_a_protocol_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="tlbi has no option 'ack'"):
        with_options(TLBI, {"ack": "entry"})
