"""Live patches come and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.units import S
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount, SiteCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload
from pmsim.workloads.spread import Length, draw_length
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

MOST_FUNCTIONS = 10_000
"""Functions of a patch: a fourth of those that can be traced at all."""


@workload("live_patch")
class LivePatch(Recurring):
    """Functions of the kernel are replaced while it runs.

    Stands for kpatch and kGraft. Each function is patched by a tracer of its own, with calls for
    all CPUs to serialise and, for its trampoline, a flush or two. Then tasks switch one by one.
    From 6.3 on kernels with PREEMPT_DYNAMIC patch every call of ``cond_resched`` for that time, one
    after the other. Left out: loading the module in which a patch comes (`module_burst`).
    """

    counted = "patches"

    patches: PositiveCount | None = Field(
        default=None, description="Patches applied from each CPU; none: without end."
    )
    functions: Annotated[int, Field(ge=1, le=MOST_FUNCTIONS, strict=True)] = Field(
        default=5, description="Functions that a patch replaces."
    )
    transition: Length = Field(
        default=S,
        description="How long it takes until all tasks have switched: a time, or"
        " {dist: exponential, scale: 1s}.",
    )
    resched_sites: SiteCount = Field(
        default=1000,
        description="Calls of cond_resched in the kernel's code: an estimate, 500 to 2,000.",
    )
    hold: Time | None = Field(
        default=None, description="After how long a patch is taken back; none: never."
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Apply a patch at each arrival, and perhaps take it back."""
        lengths = cpu.rng("transition")
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            length = draw_length(self.transition, lengths)
            patch = yield from kernel.klp_enable_patch(self.functions, length, self.resched_sites)
            if patch is None:
                cpu.report_failure("klp_enable_patch", "no room for a trampoline")
            elif self.hold is not None:
                yield from cpu.sleep(self.hold)
                length = draw_length(self.transition, lengths)
                yield from kernel.klp_disable_patch(patch, length, self.resched_sites)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a kernel that cannot."""
        yield from super().check(machine)
        kernel = machine.kernel
        if kernel is not None and not kernel.livepatch:
            message = f"{kernel.name} cannot be patched while it runs (HAVE_LIVEPATCH)"
            hint = "x86-64 can, and arm64 in 6.18"
            yield KeyFault(("kind",), "no-such-call", message, hint)
