"""The kernel's key ``shootdown``: what can stand there, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import ScenarioError
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.shootdown.tlbi import TLBI
from pmsim.hardware.topology import Topology
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile, profile_names
from tests.hardware import machines

COSTS = machines.costs()
"""Of a machine that has every protocol."""


@pytest.mark.parametrize("name", profile_names())
def test_by_itself_a_kernel_tells_others_as_it_was_built_to(name: str) -> None:
    profile = load_profile(name)
    first = profile.invalidate_by.split("_or_")[0]
    assert profile.shootdown_on(COSTS) == Shootdown(PROTOCOLS[first])
    assert set(profile.invalidate_by.split("_or_")) <= set(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("written", [lambda name: name, lambda name: {name: {}}])
def test_any_protocol_may_be_chosen_by_its_name(name: str, written: Any) -> None:
    profile = load_profile("linux-6.1-x86_64", {"shootdown": written(name)})
    assert profile.shootdown_on(COSTS) == Shootdown(PROTOCOLS[name])
    assert profile.model_dump(mode="json")["shootdown"] == name


def test_what_the_machine_has_decides_where_a_kernel_can_do_both() -> None:
    profile = load_profile("linux-6.18-x86_64")
    assert profile.shootdown_on(COSTS).protocol.name == "tlbi"
    assert profile.shootdown_on(machines.costs(tlbi=None)).protocol.name == "ipi"


@pytest.mark.parametrize(
    ("value", "code", "message", "hint"),
    [
        ("ipl", "bad-value", "there is no protocol 'ipl'", "did you mean ipi?"),
        ({"tlbi": {"ack": "entry"}}, "unknown-key", "tlbi has no option 'ack'", "it has none"),
        ({"ipi": 5}, "wrong-type", "the options of ipi are no mapping", "for example ipi: {}"),
        ({"ipi": {}, "sbi": {}}, "wrong-type",
         "a shootdown is a protocol's name, or a mapping of one",
         "for example {ipi: {ack: entry}}"),
        (3, "wrong-type", "a shootdown is a protocol's name, or a mapping of one",
         "for example {ipi: {ack: entry}}"),
    ],
)  # fmt: skip
def test_what_is_no_protocol_is_a_fault_with_a_hint(
    value: Any, code: str, message: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_profile("linux-6.1-x86_64", {"shootdown": value})
    [fault] = caught.value.faults
    assert (fault.code, fault.message, fault.hint) == (code, message, hint)


def test_a_kernel_does_not_boot_on_a_machine_that_was_built_to_be_told_otherwise() -> None:
    machine = Machine(Topology(cores=2), COSTS, shootdown=Shootdown(TLBI))
    with pytest.raises(ValueError, match="makes shootdowns by ipi, but the machine was built for"):
        Kernel(machine, load_profile("linux-6.1-x86_64"))
