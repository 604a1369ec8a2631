"""What this machine is: processor, kernel, CPUs; and what pmsim has that is nearest to it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.calibration.interrupts import read_counts
from pmsim.calibration.topology import HostTopology, read_topology
from pmsim.errors import CalibrationError
from pmsim.kernel.keys.values import Arch
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.readers.machine import SeenMachine
from pmsim.scenario.nearest import nearest

CPUINFO: Final = Path("/proc/cpuinfo")
_ARCHS: Final[Mapping[str, Arch]] = {
    "x86_64": "x86_64",
    "i686": "x86_32",
    "aarch64": "arm64",
    "armv7l": "arm32",
    "riscv64": "riscv64",
}
_ARM: Final[Mapping[tuple[int, int], tuple[str, str]]] = {
    (0x41, 0xD0C): ("ARM", "Neoverse-N1"),
    (0x43, 0x0AF): ("Cavium", "ThunderX2"),
    (0x48, 0xD01): ("HiSilicon", "TSV110"),
}
"""Vendor and name of some Arm processors by implementer and part, which is all that they tell
(arch/arm64/include/asm/cputype.h)."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as ``/proc/cpuinfo`` tells of its first CPU.

    Attributes
    ----------
    vendor, model
        Who made it, and what it is called.
    family, number
        x86: family and model; Arm: implementer and part.
    flags
        What it can do, as the kernel says.
    """

    vendor: str
    model: str
    family: int
    number: int
    flags: frozenset[str]

    @property
    def guest(self) -> bool:
        """Whether it says that it is a virtual machine's (x86 only)."""
        return "hypervisor" in self.flags

    @property
    def broadcasts(self) -> bool:
        """Whether it has AMD's INVLPGB."""
        return "invlpgb" in self.flags


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that pmsim runs on.

    Attributes
    ----------
    arch, release
        The kernel's architecture and release.
    processor, topology
        What it runs on.
    allowed
        The CPUs that this process may run on.
    counted
        Whether interrupts between CPUs can be counted.
    """

    arch: Arch
    release: str
    processor: Processor
    topology: HostTopology
    allowed: tuple[int, ...]
    counted: bool

    @property
    def machine(self) -> str:
        """The architecture as ``uname -m`` has it."""
        return next(name for name, arch in _ARCHS.items() if arch == self.arch)

    @property
    def cpu(self) -> int:
        """The CPU that calls."""
        return self.allowed[0]

    @property
    def nearest(self) -> tuple[int, ...]:
        """The other CPUs that may be used, the nearest first, a thread of each core before others.

        Threads of the caller's own core come last: what computes there slows the caller down.
        """
        order, here = self.topology.order, self.topology.places[self.cpu]

        def apart(cpu: int) -> tuple[bool, bool, bool, int, int]:
            there = self.topology.places[cpu]
            package = here.package != there.package
            die = package or here.die != there.die
            own = not die and here.core == there.core
            return own, package, die, there.thread, order.index(cpu)

        return tuple(sorted(self.allowed[1:], key=apart))

    @property
    def farther(self) -> tuple[int, ...]:
        """The first CPU of each other distance than the nearest one's."""
        found: dict[str, int] = {}
        for cpu in self.nearest:
            found.setdefault(self.topology.distance(self.cpu, cpu), cpu)
        return tuple(found.values())[1:]

    @property
    def numbers(self) -> dict[int, int]:
        """What pmsim calls each CPU of Linux's number."""
        return {cpu: number for number, cpu in enumerate(self.topology.order)}

    @property
    def kernel(self) -> str:
        """The profile of the newest kernel of this architecture that is not newer than this one."""
        here = _version(self.release)
        fitting = [
            (version, name)
            for name in profile_names()
            if load_profile(name).arch == self.arch and (version := _version(name)) is not None
            and not name.partition("-")[2].partition("-")[0].endswith(".y")
        ]  # fmt: skip
        older = [one for one in fitting if here is None or one[0] <= here]
        return max(older)[1] if older else min(fitting)[1]

    @property
    def like(self) -> str:
        """The platform that is nearest to it."""
        one, (packages, dies, cores, threads) = self.processor, self.topology.shape
        return nearest(
            SeenMachine(
                arch=self.machine,
                vendor=one.vendor,
                model_name=one.model,
                family=one.family,
                model=one.number,
                hypervisor="a hypervisor" if one.guest else "",
                packages=packages,
                dies=dies,
                cores=cores,
                threads=threads,
                cpus=len(self.topology.places),
            )
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What cannot be measured here, and what can all the same: a sentence each."""
        return tuple(_limits(self))


def read_host() -> Host:
    """Return what this machine is.

    Raises
    ------
    CalibrationError
        If it is none that can be measured: another system than Linux, another architecture.
    """
    if platform.system() != "Linux":
        raise CalibrationError(f"only Linux can be measured, not {platform.system()}")
    arch = _ARCHS.get(platform.machine())
    if arch is None:
        known = ", ".join(_ARCHS)
        raise CalibrationError(f"no kernel of {platform.machine()} is modelled: {known} are")
    topology = read_topology()
    allowed = tuple(cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu in topology.places)
    if not allowed:
        raise CalibrationError("sysfs tells of none of the CPUs that this process may run on")
    return Host(
        arch, platform.release(), _read_processor(), topology, allowed, read_counts() is not None
    )


def processor_of(text: str) -> Processor:
    """Return the processor that a text of ``/proc/cpuinfo`` tells of."""
    keys: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            keys.setdefault(name.strip().lower(), value.strip())
    family = _number(keys.get("cpu family") or keys.get("cpu implementer"))
    number = _number(keys.get("model") or keys.get("cpu part"))
    vendor, model = _ARM.get((family, number), ("", ""))
    return Processor(
        vendor=keys.get("vendor_id", vendor),
        model=keys.get("model name") or model or keys.get("uarch") or "unnamed processor",
        family=family,
        number=number,
        flags=frozenset((keys.get("flags") or keys.get("features") or "").split()),
    )


def _limits(host: Host) -> list[str]:
    said = []
    if len(host.allowed) == 1:
        said.append(
            "This process may run on one CPU only: what calls cost by themselves is measured,"
            " nothing that is sent to another CPU."
        )
    elif not host.counted:
        said.append(
            "/proc/interrupts shows no calls between CPUs (a container may hide it): no cell with"
            " another thread counts, what calls cost by themselves does."
        )
    if host.processor.broadcasts:
        said.append(
            "The processors have INVLPGB, which Linux uses for processes on many CPUs: such flushes"
            " interrupt nobody, and their cells do not count; those of few threads, and membarrier,"
            " do."
        )
    if host.arch in ("arm64", "arm32"):
        said.append(
            "Arm flushes by broadcasts that interrupt nobody: their cells count without proof,"
            " and nothing is seen of what others lose; membarrier shows interrupts."
        )
    if host.arch == "riscv64":
        said.append(
            "Where RISC-V's firmware flushes, the kernel counts no interrupts: such cells do not"
            " count; membarrier, and kernels that interrupt by themselves, do."
        )
    return [*said, *(f"The topology is irregular; {note}." for note in host.topology.notes)]


def _read_processor() -> Processor:
    try:
        return processor_of(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return processor_of("")


def _number(text: str | None) -> int:
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def _version(text: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]))
