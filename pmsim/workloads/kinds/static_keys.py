"""Static keys are turned on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.recurring import Recurring, SitesOrSeveral, drawn
from pmsim.workloads.registry import workload

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("static_keys")
class StaticKeys(Recurring):
    """Static keys are flipped, and their sites patched.

    Stands for what sysctl, cgroups, networking (time stamps, netfilter hooks) and perf do when the
    first user of a feature comes or the last one goes. Every arrival is a flip; whether the key was
    on is not kept. Left out: the work that made somebody flip it.
    """

    counted = "flips"

    flips: PositiveCount | None = Field(
        default=None, description="Flips on each CPU; none: without end."
    )
    sites: SitesOrSeveral = Field(
        default=8,
        description="Sites that a key has in the code; of a list one for each flip, each as"
        " likely.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Flip a key at each arrival."""
        sites = drawn(cpu, "sites", self.sites)
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            yield from kernel.static_key_toggle(next(sites))
