"""An attack on pools of protectable memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pmsim import units
from pmsim.quantities import QuantityKey
from pmsim.steps import Steps
from pmsim.units import PAGE_SIZE
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload

if TYPE_CHECKING:
    import numpy as np

    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.pmalloc.pools import Pool


BytesOfAPage = Annotated[int, QuantityKey(units.SIZE, positive=True, largest=PAGE_SIZE)]
"""Bytes, at least one and at most a page."""


@workload("overwrite")
class Overwrite(Recurring):
    """Somebody writes at random addresses of all pools, again and again, from several CPUs.

    Stands for an attacker who can make the kernel write where he likes (or for a stray pointer).
    Each write begins at a random object's byte of what the pools have handed out by then, and never
    crosses a page. It lands as long as the page is not protected; it lands, too, if it is, where
    the CPU has not dropped the old translation yet; else it faults, and the attack goes on. The CPU
    is taken to have read all of the pool, as an attack would that prepares itself: every
    translation is in its TLB until it has to be dropped. While there is no pool he tries in vain,
    each time for as long as a fault takes, which is counted nowhere.
    Left out: aliases in the direct map, which are protected with the pool.
    """

    revokes = False
    counted = "writes"

    writes: PositiveCount | None = Field(
        default=None, description="How often each CPU writes; none: without end."
    )
    size: BytesOfAPage = Field(default=8, description="Bytes of each write, a page at most.")

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Write at each arrival."""
        rng = cpu.rng("addresses")
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            address = _somewhere(kernel.kernel.pmalloc.pools, self.size, rng)
            if address is None:
                yield from cpu.compute(kernel.costs.page_fault)
            else:
                yield from kernel.overwrite(address, self.size)


def _somewhere(pools: list[Pool], size: int, rng: np.random.Generator) -> int | None:
    """Return the address of a byte that pools have handed out, each equally likely.

    Objects fill an area from its end downwards. None where nothing has been handed out.
    """
    areas = [area for pool in pools if not pool.destroyed for area in pool.areas]
    handed = sum(area.requested for area in areas)
    place = int(rng.integers(handed)) if handed else 0
    for area in areas:
        if place < area.requested:
            address = area.mapped.address + area.size - 1 - place
            page_size = area.size // area.mapped.pages
            return min(address, (address // page_size + 1) * page_size - size)
        place -= area.requested
    return None
