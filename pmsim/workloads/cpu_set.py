"""Kinds of workload that run on a set of CPUs, which a key names."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from pmsim.cpulist import cpus_of
from pmsim.errors import CpuListError, Fault
from pmsim.workloads.keys import CPU_NAMES, CpuSet
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault

Named = str | tuple[int | str, ...]
"""What a key holds that names CPUs: a word, a list as the kernel writes them, or several."""


def named_cpus(named: Named, machine: MachineInfo) -> tuple[int, ...]:
    """Return the CPUs that a key means on a machine, as often and in the order as it lists them.

    Raises
    ------
    CpuListError
        If the machine does not have one of them.
    """
    words = {
        "all": range(machine.n_cpus),
        "others": machine.others,
        "isolated": machine.isolated,
        "housekeeping": machine.housekeeping,
    }
    if isinstance(named, str) and named in words:
        return tuple(words[named])
    return cpus_of(named, machine.n_cpus)


def named_claims(named: Named, machine: MachineInfo) -> frozenset[int]:
    """Return the CPUs that a key makes its workload's own; ``all`` and ``others`` make none."""
    return frozenset() if named in ("all", "others") else frozenset(named_cpus(named, machine))


def named_faults(key: str, named: Named, machine: MachineInfo) -> Iterable[KeyFault]:
    """Return a fault for each entry of a key that names CPUs which the machine does not have."""
    if named == "isolated" and not machine.isolated:
        message = "no CPU of this machine is isolated"
        hint = "machine: {platform: ..., isolated: 2-63}"
        yield KeyFault((key,), "none-isolated", message, hint)
    if isinstance(named, str) and named in CPU_NAMES:
        return
    entries = enumerate(named) if isinstance(named, tuple) else [(None, named)]
    for index, entry in entries:
        try:
            cpus_of(entry, machine.n_cpus)
        except CpuListError as error:
            path = (key,) if index is None else (key, index)
            yield KeyFault(path, error.code, error.message, error.hint)


class OnCpus(Workload):
    """A workload on CPUs that a key names, each once."""

    cpus: CpuSet = Field(
        default="others",
        description="Where: all, others (CPUs that no other workload names), isolated,"
        " housekeeping, or a list, such as 2-63,96-127.",
    )

    def chosen_cpus(self, machine: MachineInfo) -> tuple[int, ...]:
        """Return the CPUs that the key means on a machine, ascending, each once."""
        return tuple(sorted(set(named_cpus(self.cpus, machine))))

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are named; ``all`` and ``others`` take what is there."""
        return named_claims(self.cpus, machine)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU of a list that the machine does not have."""
        return named_faults("cpus", self.cpus, machine)
