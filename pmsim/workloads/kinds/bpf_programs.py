"""BPF programs come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.kernel.text.bpf import INSTRUCTION
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.lifetimes import Lifetimes
from pmsim.workloads.recurring import Recurring, SizeOrSizes, drawn
from pmsim.workloads.registry import workload
from pmsim.workloads.spread import Length, draw_length

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("bpf_programs")
class BpfPrograms(Recurring):
    """BPF programs are loaded, and freed some time later.

    Stands for the filters that daemons attach to their sockets (NetworkManager, DHCP clients), for
    the seccomp filters of sandboxes, whose programs go when their processes end, and for tracing.
    A task loads and frees in the order of time; what comes due meanwhile follows at once, first
    what is to go. Left out: running the programs, maps, and the grace period before a program is
    freed.
    """

    counted = "programs"

    programs: PositiveCount | None = Field(
        default=None, description="Programs loaded on each CPU; none: without end."
    )
    size: SizeOrSizes = Field(
        default=600,
        description="Bytes of code; of a list one for each program, each as likely.",
    )
    verified: bool = Field(
        default=False,
        description="Whether programs come by bpf(2), whose verifier allocates and frees two"
        " arrays; classic filters (of sockets, of seccomp) do not.",
    )
    capable: bool = Field(
        default=True,
        description="Whether who loads them has CAP_BPF (before 5.8 CAP_SYS_ADMIN), as root has;"
        " others are refused beyond the kernel's bpf_jit_limit.",
    )
    lifetime: Length | None = Field(
        default=None,
        description="How long a program stays: a time, or {dist: exponential, scale: 1s}; none:"
        " for good.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Load at the arrivals and free when lifetimes end."""
        sizes = drawn(cpu, "size", self.size)
        present = Lifetimes(cpu, kernel.bpf_prog_free)
        for instant in self.arrivals(cpu):
            yield from present.end_due(instant)
            yield from cpu.sleep_until(instant)
            size = next(sizes)
            instructions = -(-size // INSTRUCTION) if self.verified else 0
            program = yield from kernel.bpf_prog_load(
                size, verified=instructions, capable=self.capable
            )
            if program is None:
                cpu.report_failure("bpf_prog_load", kernel.bpf_refusal())
            elif self.lifetime is not None:
                present.begin(program, draw_length(self.lifetime, cpu.rng("lifetime")))
        yield from present.end_all()
