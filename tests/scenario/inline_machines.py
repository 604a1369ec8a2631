"""Machines written into a scenario: of their keys a test gives those that it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from pmsim.errors import ScenarioError
from pmsim.scenario.faults import FaultList
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.nodes import node_of
from pmsim.scenario.platform import machine_of

TIME = st.integers(0, 10**12).map(lambda ps: f"{ps}ps")
DISTANCES = st.dictionaries(
    st.sampled_from(["self", "thread", "core", "die", "package"]), TIME, min_size=1
)


def machine(
    topology: dict[str, Any] | None = None, *, cpus: int | None = None, **costs: Any
) -> MachineDescription:
    """Return an inline machine of which some keys are given."""
    keys: dict[str, Any] = {"topology": topology or {}, "costs": {"ipi": {}, **costs}}
    keys["costs"]["ipi"] = {"queue": "20ns", "entry": "250ns", **keys["costs"]["ipi"]}
    if cpus is not None:
        keys["cpus"] = cpus
    faults = FaultList("f.yaml")
    found = machine_of(node_of(keys), faults, Path())
    faults.raise_if_any()
    assert found is not None
    return found


def codes(**keys: Any) -> list[str]:
    """Return the codes of all faults of a machine that has some."""
    with pytest.raises(ScenarioError) as caught:
        machine(**keys)
    return [fault.code for fault in caught.value.faults]


def read_back(described: MachineDescription) -> MachineDescription | None:
    """Return the machine that what was written of one describes."""
    faults = FaultList("f.yaml")
    again = machine_of(node_of(described.as_dict()), faults, Path())
    assert not faults.faults
    return again
