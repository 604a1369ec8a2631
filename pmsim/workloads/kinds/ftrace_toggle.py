"""Function tracing is switched on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.units import S
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount, PositiveSites
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload
from pmsim.workloads.spread import Length, draw_length

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("ftrace_toggle")
class FtraceToggle(Recurring):
    """Function tracing starts, stays on for a while, and stops.

    Stands for somebody who traces a live system (trace-cmd, perf, a BPF program at many functions).
    Each arrival is a start; one that comes due while tracing is on follows right after its end.
    Left out: what the traced functions take longer meanwhile, which is much on a real system, and
    writing the trace.
    """

    counted = "toggles"

    toggles: PositiveCount | None = Field(
        default=None, description="Starts on each CPU, each with its end; none: without end."
    )
    sites: PositiveSites = Field(
        default=40_000,
        description="Functions that are traced; a distribution's kernel has some 40,000 to 60,000.",
    )
    on_for: Length = Field(
        default=S,
        description="How long tracing is on: a time, or {dist: exponential, scale: 1s}.",
    )
    trampoline: bool = Field(
        default=True,
        description="Whether each start is a new tracer, which gets a trampoline of its own where"
        " kernels have such; false: the one that is always there.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Start at each arrival, and stop again."""
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            tracer = yield from kernel.ftrace_enable(self.sites, trampoline=self.trampoline)
            if tracer is None:
                cpu.report_failure("ftrace_enable", "no room for a trampoline")
                continue
            yield from cpu.sleep(draw_length(self.on_for, cpu.rng("on_for")))
            yield from kernel.ftrace_disable(tracer)
