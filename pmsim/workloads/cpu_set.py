"""Kinds of workload that run on a set of CPUs, which a key names."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from pmsim.errors import Fault
from pmsim.workloads.keys import CpuSet
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault, cpu_faults


class OnCpus(Workload):
    """A workload on all CPUs, on those that no other workload names, or on those of a list."""

    cpus: CpuSet = Field(
        default="others",
        description="Where: all, others (CPUs that no other workload names), or a list.",
    )

    def chosen_cpus(self, machine: MachineInfo) -> tuple[int, ...]:
        """Return the CPUs that the key means on a machine, ascending, each once."""
        if self.cpus == "all":
            return tuple(range(machine.n_cpus))
        if isinstance(self.cpus, str):
            return machine.others
        return tuple(sorted(set(self.cpus)))

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs of a list; ``all`` and ``others`` take what is there."""
        return frozenset() if isinstance(self.cpus, str) else frozenset(self.cpus)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU of a list that the machine does not have."""
        listed = () if isinstance(self.cpus, str) else self.cpus
        for index, cpu in enumerate(listed):
            yield from cpu_faults(("cpus", index), cpu, machine)
