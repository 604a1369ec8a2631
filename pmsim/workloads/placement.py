"""The workloads of one scenario together: their names, their CPUs, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pmsim.errors import Fault
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault


def with_names(workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """Name the workloads that have no name: by kind, numbered from the second one on."""
    taken = {one.name for one in workloads if one.name}
    named = []
    for one in workloads:
        name = one.name or _free_name(one.kind, taken)
        taken.add(name)
        named.append(one if one.name else one.model_copy(update={"name": name}))
    return tuple(named)


def _free_name(kind: str, taken: set[str]) -> str:
    number = 1
    while (name := kind if number == 1 else f"{kind}-{number}") in taken:
        number += 1
    return name


def with_claims(machine: MachineInfo, workloads: Sequence[Workload]) -> MachineInfo:
    """Return what the workloads may know of a machine, with the CPUs that they claim."""
    claimed: frozenset[int] = frozenset().union(*(one.claims(machine) for one in workloads))
    return replace(machine, claimed=claimed)


def workload_faults(
    workloads: Sequence[Workload], machine: MachineInfo
) -> list[tuple[int, KeyFault | Fault]]:
    """Return what is wrong with workloads on a machine, each alone and all together.

    Parameters
    ----------
    workloads
        In the order of the file.
    machine
        Where they run; without a kernel nothing is said of what it can do.

    Returns
    -------
    list of (int, KeyFault or Fault)
        The index of the workload, and the fault: of one of its keys, or of a file that it reads.
    """
    faults = [(index, fault) for index, one in enumerate(workloads) for fault in one.check(machine)]
    faults += _same_names(workloads)
    if not faults:
        # Tasks can be asked for only where every workload is sound by itself.
        faults += _same_tasks(workloads, with_claims(machine, workloads))
    return sorted(faults, key=lambda fault: fault[0])


def _same_names(workloads: Sequence[Workload]) -> list[tuple[int, KeyFault | Fault]]:
    count = Counter(one.name for one in workloads if one.name)
    seen: set[str] = set()
    faults: list[tuple[int, KeyFault | Fault]] = []
    for index, one in enumerate(workloads):
        if count[one.name] > 1 and one.name in seen:
            message = f"another workload is called '{one.name}'"
            hint = "a workload's random draws go by its name"
            faults.append((index, KeyFault(("name",), "duplicate-name", message, hint)))
        seen.add(one.name)
    return faults


def _same_tasks(
    workloads: Sequence[Workload], machine: MachineInfo
) -> list[tuple[int, KeyFault | Fault]]:
    """Return a fault for each workload that numbers a task as an earlier one does."""
    owner: dict[tuple[int, int], int] = {}
    faults: list[tuple[int, KeyFault | Fault]] = []
    for index, one in enumerate(workloads):
        numbered = [(t.cpu, t.number) for t in one.tasks(machine) if t.number is not None]
        clash = next((key for key in numbered if owner.get(key, index) != index), None)
        if clash is not None:
            cpu, task = clash
            message = f"task {task} of CPU {cpu} is in workload {owner[clash] + 1} as well"
            hint = "give each (cpu, task) to one trace only"
            faults.append((index, KeyFault((), "duplicate-task", message, hint)))
        owner |= {key: index for key in numbered if key not in owner}
    return faults
