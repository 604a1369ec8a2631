"""Which kernels are priced on which machines, read from what a command line names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pmsim.errors import Fault, ScenarioError
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.scenario.faults import FaultList
from pmsim.scenario.fit import misfit
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.nodes import node_of
from pmsim.scenario.platform import machine_of
from pmsim.scenario.read import parse

USUAL_PLATFORMS: Final[Mapping[str, str]] = {
    "x86_64": "skylake-sp-2s",
    "x86_32": "xeon-2006",
    "arm64": "altra-max",
    "arm32": "cortex-a15",
    "riscv64": "sg2042",
}
"""The platform of each architecture that kernels are priced on where none is named."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A kernel on a machine that it runs on.

    Attributes
    ----------
    label
        The kernel as it was named, with the keys that were changed.
    machine, profile
        What is booted on what.
    """

    label: str
    machine: MachineDescription
    profile: KernelProfile


def offers(kernels: Sequence[str], platforms: Sequence[str], cpus: int | None) -> list[Offer]:
    """Return every kernel on every platform.

    Parameters
    ----------
    kernels
        ``NAME`` or ``NAME,KEY=VALUE,...``; none: every profile that runs on any of the platforms.
    platforms
        Names or files; none: for each kernel the usual one of its architecture.
    cpus
        How many each machine has, if not its own number.

    Raises
    ------
    ScenarioError
        If something is unknown, or a kernel that was named does not run on a platform.
    """
    faults = FaultList("costs")
    profiles = _profiles(kernels or profile_names(), faults)
    names = platforms or sorted({USUAL_PLATFORMS[one.arch] for one in profiles.values()})
    machines = {name: _machine(name, cpus, faults) for name in names}
    faults.raise_if_any()
    found = []
    for label, profile in profiles.items():
        for name in platforms or [USUAL_PLATFORMS[profile.arch]]:
            machine = machines[name]
            assert machine is not None
            problem = misfit(machine, profile)
            if problem is None:
                found.append(Offer(label, machine, profile))
            elif kernels:
                faults.extend([Fault(label, 0, 0, problem.code, problem.message, problem.hint)])
    faults.raise_if_any()
    return found


def _profiles(texts: Sequence[str], faults: FaultList) -> dict[str, KernelProfile]:
    profiles = {}
    for text in texts:
        try:
            profiles[text] = _profile(text)
        except ScenarioError as error:
            faults.extend(error.faults)
    return profiles


def _profile(text: str) -> KernelProfile:
    name, *changes = text.split(",")
    values: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not (key and equals and value):
            message = f"'{change}' is no change of a key"
            raise ScenarioError(
                [Fault(text, 0, 0, "bad-change", message, "KEY=VALUE, such as pae=false")]
            )
        values[key] = parse(value, text).value()
    return load_profile(name, values)


def _machine(name: str, cpus: int | None, faults: FaultList) -> MachineDescription | None:
    keys = {"platform": name} | ({} if cpus is None else {"cpus": cpus})
    return machine_of(node_of(keys), faults, Path())
