"""Replays a load of a chain: the init area that the load before left is freed somewhere within it.

A chain is loads without a pause, so that the worker which frees init areas comes when its grace
period is over, at some point of a later load. When that was is in no row, nor which module came
before, since the table shows some steps of each chain only. Both are read off the row: the size of
the area that it frees, and where. All the rest is what the simulated kernel then does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.segments import ModuleSegments, segments_of
from pmsim.units import US, Pages
from tests.ground_truth.noise import Counts
from tests.ground_truth.observed import Counted
from tests.ground_truth.simulated import Calls, Simulation

GAP = 400 * US
"""Pause between two loads: a program ends and another begins."""

COSTS = KernelCosts(
    module_load=1000 * US, module_link=500 * US, module_init=700 * US, set_memory=50 * US
)
"""Costs by which each stage of a load is long enough for a worker to come in between."""

FIRST = ModuleSegments(2, 1, 1, 0, 2, init_text=0, init_rodata=0, init_ro_after_init=0, init_data=1)


@dataclass(frozen=True)
class Replay:
    """A load of a chain as simulated: its counts, and the order of its calls and broadcasts."""

    counts: Counts
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """Pages of what a module leaves to be freed: two areas, or one if either has no page."""

    init_text: Pages
    init_data: Pages

    def module(self) -> ModuleSegments:
        """Return a module that leaves this."""
        return replace(FIRST, init_text=self.init_text, init_data=self.init_data)


@cache
def replays(kernel: Counted, cpus: int, module: str, left: Left) -> tuple[Replay, ...]:
    """Return the load of a module with the areas of another freed before, during and after it.

    Parameters
    ----------
    kernel
        The kernel that loads.
    cpus
        CPUs of the machine.
    module
        Its name.
    left
        What the load before it left.
    """
    # A load takes about 4 ms: a grace period of less than the gap, some within the load and one
    # that is over when all is done.
    periods = [GAP // 8, *range(3 * GAP // 8, 4000 * US, 150 * US), 20_000 * US]
    found: list[Replay] = []
    for period in periods:
        one = _replay(kernel, cpus, module, left, period)
        found += [one] if one not in found else []
    return tuple(found)


def _replay(kernel: Counted, cpus: int, module: str, left: Left, grace_period: int) -> Replay:
    def before(handle: KernelHandle) -> Calls:
        yield from handle.load_module(left.module())

    def load(handle: KernelHandle) -> Calls:
        yield from handle.load_module(segments_of(module, kernel.modules))

    costs = replace(COSTS, rcu_grace_period=grace_period)
    simulation = Simulation(cpus, kernel, costs, settle=GAP, quantum=20 * US)
    simulation.run([before, load, _nothing])
    return Replay(simulation.counts(1), tuple(simulation.tokens(1)))


def _nothing(_kernel: KernelHandle) -> Calls:
    yield from ()
