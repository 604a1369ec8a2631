"""What runs where: machines for a kernel or a protocol, kernels for a workload."""

from __future__ import annotations

from functools import cache

from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.scenario.fit import misfit
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.platform import load_platform, platform_names
from pmsim.workloads.registry import workload_kinds
from pmsim.workloads.task import MachineInfo

_SOME_CPUS = 4


def platforms_for(kernel: str) -> list[str]:
    """Return the platforms that a kernel runs on."""
    profile = load_profile(kernel)
    return [name for name, machine in _machines() if misfit(machine, profile) is None]


def platforms_with(protocol: str) -> list[str]:
    """Return the platforms that give costs for a way to tell other CPUs."""
    return [
        name
        for name, machine in _machines()
        if PROTOCOLS[protocol].costs_on(machine.costs) is not None
    ]


def _machines() -> list[tuple[str, MachineDescription]]:
    """Return all platforms with their names."""
    return _described(tuple(PROTOCOLS))


@cache
def _described(_protocols: tuple[str, ...]) -> list[tuple[str, MachineDescription]]:
    """Return all platforms, once for the protocols that are known, whose costs they have."""
    return [(name, load_platform(name)) for name in platform_names()]


def kernels_with(kind: str) -> list[str] | None:
    """Return the kernels that have what a workload calls; None: all of them."""
    model = workload_kinds()[kind]
    if any(field.is_required() for field in model.model_fields.values()):
        return None  # kinds of which something has to be told call what every kernel has
    workload = model.model_construct(name=kind)
    names = profile_names()
    having = [
        name
        for name in names
        if not any(
            fault.code == "no-such-call"
            for fault in workload.check(MachineInfo(_SOME_CPUS, kernel=load_profile(name)))
        )
    ]
    return None if len(having) == len(names) else having


def archs_with(kind: str) -> list[str]:
    """Return the architectures of which some kernel has what a workload calls; empty: all."""
    having = kernels_with(kind)
    return [] if having is None else list(dict.fromkeys(load_profile(one).arch for one in having))
