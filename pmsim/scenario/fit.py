"""Whether a kernel runs on a machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from pmsim.hardware.shootdown.latr import unsound
from pmsim.hardware.shootdown.own import missing_group
from pmsim.hardware.shootdown.promises import unmet
from pmsim.hardware.shootdown.protocol import Holds, Shootdown
from pmsim.hardware.tlb import LONGEST_FLUSH
from pmsim.kernel.profile import KernelProfile, MissingCostsError
from pmsim.kernel.profiles import profile_names
from pmsim.scenario.machine import MachineDescription
from pmsim.units import format_pages, format_time

MOST_CPUS: Final = {"x86_32": 64, "arm32": 32}
"""CPUs for which kernels of 32 bits can be built: ``NR_CPUS_RANGE_END`` with ``X86_BIGSMP``
(arch/x86/Kconfig), ``range 2 32`` of ``NR_CPUS`` (arch/arm/Kconfig)."""


class Misfit(NamedTuple):
    """Why a kernel does not run on a machine: a fault's code, message and hint."""

    code: str
    message: str
    hint: str


def misfit(
    machine: MachineDescription, kernel: KernelProfile, *, revokes: bool = True
) -> Misfit | None:
    """Return why a kernel does not run on a machine, `None` if it does.

    A kernel for another architecture does not, where the machine says what its own is; and none
    that has the hardware tell other CPUs in a way for which the machine gives no costs, or that
    drops so many pages one by one that it would take longer than any flush may. A protocol that
    promises less than the kernel's operations need is refused, unless the kernel says that it is
    unsafe; one that closes translations before it goes on, where what is to run ``revokes`` any.
    """
    if machine.archs and kernel.arch not in machine.archs:
        return Misfit(
            "wrong-architecture",
            f"{kernel.name} is for {kernel.arch}, but {machine.name} for"
            f" {' or '.join(machine.archs)}",
            f"kernels that run there: {', '.join(_kernels_for(machine.archs))}",
        )
    most = MOST_CPUS.get(kernel.arch)
    if most is not None and machine.topology.n_cpus > most:
        return Misfit(
            "too-many-cpus",
            f"{kernel.name} runs on {most} CPUs at most, and {machine.name} has"
            f" {machine.topology.n_cpus:,}",
            f"machine: {{platform: ..., cpus: {most}}}, or a kernel of 64 bits",
        )
    try:
        shootdown = kernel.shootdown_on(machine.costs)
    except MissingCostsError as missing:
        protocol = missing.protocol.name
        return Misfit(
            f"no-{protocol}",
            f"{kernel.name} tells other CPUs by {protocol},"
            f" for which {machine.name} gives no costs",
            f"give costs: {protocol}, or choose another machine, invalidate_by or shootdown",
        )
    short = unmet(shootdown)
    matters = revokes or shootdown.at_return < Holds.CLOSED
    if short and matters and not kernel.unsafe:
        options = ", ".join(f"{name}: {value}" for name, value in shootdown.chosen)
        options = f" with {options}" if options else ""
        first = short[0]
        return Misfit(
            "unsafe-shootdown",
            f"{shootdown.protocol.name}{options} promises too little to {first.operation}"
            f" ({first.calls}): at the return {shootdown.at_return.words}",
            "unsafe: true in the kernel runs it all the same",
        )
    problem = _of_own(machine, shootdown) or _of_ticks(machine, shootdown, unsafe=kernel.unsafe)
    if problem is not None:
        return problem
    pages, each = kernel.ceiling, machine.costs.tlb.invlpg
    if pages * each > LONGEST_FLUSH:
        return Misfit(
            "out-of-range",
            f"{kernel.name} drops up to {format_pages(pages)} one by one, which takes"
            f" {format_time(pages * each)} at {format_time(each)} (costs.tlb.invlpg) for each",
            f"at most {format_time(LONGEST_FLUSH)}",
        )
    return None


def _of_own(machine: MachineDescription, shootdown: Shootdown) -> Misfit | None:
    """Return why a protocol that is not pmsim's own cannot be used on a machine."""
    protocol = shootdown.protocol
    lacking = missing_group(protocol, machine.costs)
    if lacking:
        return Misfit(
            f"no-{lacking}",
            f"{protocol.name} leaves CPUs out (drops_at = '{protocol.drops_at}'), for which"
            f" {machine.name} gives no costs",
            f"give costs: {lacking}, or choose another machine",
        )
    if protocol.own is not None and machine.host is not None and machine.host.pv_flush:
        return Misfit(
            "conflict",
            f"{protocol.name} says itself who is left out, and so does host.pv_flush",
            "pv_flush: false; the protocol may defer until 'runs'",
        )
    return None


def _of_ticks(machine: MachineDescription, shootdown: Shootdown, *, unsafe: bool) -> Misfit | None:
    """Return why frees cannot wait for ticks on a machine, `None` if they can, or need not."""
    costs = machine.costs.latr
    if shootdown.protocol.drops_at != "tick" or costs is None:
        return None
    if machine.host is not None and machine.host.freezes:
        return Misfit(
            "not-modelled",
            "ticks of virtual CPUs that take turns (host.overcommit) are not modelled",
            "overcommit: 1, or another shootdown",
        )
    ipi, n_cpus = machine.costs.ipi, machine.topology.n_cpus
    busy = ipi.entry + n_cpus * costs.scan + ipi.exit
    if busy >= costs.tick:
        return Misfit(
            "out-of-range",
            f"{n_cpus:,} CPUs do nothing but look at notes: that takes {format_time(busy)} of each"
            f" tick of {format_time(costs.tick)} (costs.latr.tick)",
            "a shorter costs.latr.scan, or a longer tick",
        )
    reason = unsound(costs, machine.isolated)
    if reason is None or unsafe:
        return None
    return Misfit(
        "unsafe-shootdown",
        f"{shootdown.protocol.name} promises too little to free memory of user space (munmap,"
        f" madvise): {reason}",
        "unsafe: true in the kernel runs it all the same",
    )


def _kernels_for(archs: tuple[str, ...]) -> list[str]:
    return [name for name in profile_names() if name.rpartition("-")[2] in archs]
