"""What is wrong with a key of a workload, found once the machine is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationInfo

from pmsim.errors import Fault
from pmsim.kernel.pmalloc.generations import refusal, with_mode
from pmsim.workloads.keys import PoolKeys
from pmsim.workloads.task import MachineInfo


@dataclass(frozen=True, slots=True)
class KeyFault:
    """One thing wrong with a key of a workload, found once the machine is known.

    Attributes
    ----------
    path
        The key, as names and indices from the workload's mapping downwards.
    code, message, hint
        As in `pmsim.errors.Fault`, which it becomes when its line is known.
    """

    path: tuple[str | int, ...]
    code: str
    message: str
    hint: str = ""


def beside_scenario(file: str, info: ValidationInfo) -> str:
    """Find a relative name beside the scenario file, where one is being read."""
    directory = (info.context or {}).get("directory")
    return str(Path(directory) / file) if directory is not None else file


def fault_at_file(file: str, fault: Fault) -> KeyFault | Fault:
    """Make a file that cannot be read at all a fault of the key ``file`` that names it."""
    if fault.line:
        return fault
    return KeyFault(("file",), fault.code, f"{file}: {fault.message}", fault.hint)


def cpu_faults(path: tuple[str | int, ...], cpu: int, machine: MachineInfo) -> list[KeyFault]:
    """Return a fault if the machine does not have this CPU."""
    if cpu < machine.n_cpus:
        return []
    return [
        KeyFault(
            path,
            "cpu-out-of-range",
            f"CPU {cpu} is not on this machine",
            f"it has {machine.n_cpus}, numbered 0 to {machine.n_cpus - 1}",
        )
    ]


def pool_faults(
    path: tuple[str | int, ...], pool: PoolKeys, machine: MachineInfo
) -> list[KeyFault]:
    """Return a fault if the kernel's pmalloc has no such pools."""
    kernel = machine.kernel
    refused = None if kernel is None else refusal(kernel.pmalloc, pool.mode)
    if refused is None:
        return []
    return [KeyFault((*path, "mode"), "no-such-pool", refused, with_mode(pool.mode))]
