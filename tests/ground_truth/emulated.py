"""The machine that the counts were taken on, and several tasks at work on it at once.

QEMU without hardware support translates the guest's code and runs each guest CPU as a thread of the
host, and the host's scheduler shares its own CPUs out among them. An interrupt between guest CPUs
sets a flag; the target sees it at the end of the block of code that it is in, or, where it idles,
when the host has woken its thread. That takes a time that is long against a native interrupt, about
as long as waking a sleeping task, which is the same thing, and varies as widely as anything that
waits for a scheduler: exponentially, here. All other work is slower by the translation and by the
probes that counted.

The times are estimates, one set for all rows; what depends on them is checked as a range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import segments_of
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.quantities import FROM_FILE
from pmsim.scenario.machine import MachineKeys, describe
from pmsim.units import MS, PAGE_SIZE, S
from tests.ground_truth.observed import LINUX_6_1
from tests.ground_truth.simulated import Calls

SLOWER: Final = 20
"""How many times slower kernel work is when it is translated and probed."""

NOT_WORK: Final = frozenset({"rcu_grace_period"})
"""Costs that are no work of a CPU."""


def qemu(cpus: int, wait: str = "200us") -> dict[str, Any]:
    """Return QEMU's software emulation as the machine of a scenario.

    ``wait`` is how long it takes until a thread of the host runs that has to notice something: on
    average for an interrupt, and always for a task that is woken.
    """
    return {
        "topology": {"cores": cpus},
        "costs": {
            "ipi": {
                "queue": "500ns", "send": "2us", "fanout": cpus, "delivery": {"core": "2us"},
                "line": {"core": "500ns"}, "entry": "5us", "exit": "3us",
                "jitter": {"dist": "exponential", "scale": wait},
            },
            "tlb": {
                "invlpg": "300ns", "flush_all": "10us", "walk": "0ns", "entries": 1536,
                "sync_core": "1us",
            },
            "sched": {"quantum": "4ms", "context_switch": "20us", "wakeup": wait},
        },
    }  # fmt: skip


SPREAD: Final = 1 * MS
"""Within this time the workers of a step begin, each woken by itself."""

SECOND_STEP: Final = 60 * S
"""When the second step begins; the first is long over."""


@dataclass(frozen=True)
class Work:
    """What happens at once: as many pools and loaders as there are CPUs, or fewer.

    Attributes
    ----------
    cpus
        CPUs of the machine.
    pools
        Workers that each fill a pool, protecting it on the way, and destroy it in the second step.
    loaders
        Workers that load modules, each the next of one list, and unload them in the second step.
    allocations, every
        Objects of a page in each pool; after how many it is protected.
    modules
        The list.
    """

    cpus: int
    pools: int
    loaders: int = 0
    allocations: int = 32
    every: int = 4
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """What one step broadcast.

    Attributes
    ----------
    calls
        Broadcasts for the TLB.
    purges
        Those among them that flushed freed areas.
    functions
        Functions that CPUs ran for others, ``sync_core`` included.
    interrupts
        Interrupts that they took for them.
    """

    calls: int
    purges: int
    functions: int
    interrupts: int


@cache
def run(work: Work, seed: int, wait: str = "200us") -> tuple[Step, Step]:
    """Run both steps and count."""
    machine, kernel = _boot(work.cpus, seed, wait)
    calls: list[list[int]] = []
    machine.on_crosscalls = lambda chunk: calls.extend(chunk.tolist())
    rng = np.random.default_rng((seed, 1))
    handlers: list[npt.NDArray[np.int64]] = []
    queue = iter(work.modules)
    bodies = [_pool_worker(work) for _ in range(work.pools)]
    bodies += [_loader(queue) for _ in range(work.loaders)]
    for number, (first, second) in enumerate(bodies):
        starts = [int(at) for at in rng.integers(0, SPREAD, 2)]
        machine.spawn(number, _both(kernel, machine, first, second, starts, handlers))
    machine.run()
    handlers.append(machine.accounts()["handlers"])
    rows = [dict(zip(CROSSCALL_COLUMNS, call, strict=True)) for call in calls]
    early = [row for row in rows if row["start_ps"] < SECOND_STEP]
    late = [row for row in rows if row["start_ps"] >= SECOND_STEP]
    return (
        _step(early, int(handlers[0].sum())),
        _step(late, int(handlers[-1].sum() - handlers[0].sum())),
    )


def _boot(cpus: int, seed: int, wait: str) -> tuple[Machine, Kernel]:
    described = describe(MachineKeys.model_validate(qemu(cpus, wait), context=FROM_FILE))
    rng = np.random.default_rng((seed, 0))
    machine = Machine(described.topology, described.costs, "concurrent", jitter_rng=rng)
    native = asdict(KernelCosts())
    costs = {k: v if k in NOT_WORK else SLOWER * v for k, v in native.items()}
    return machine, Kernel(machine, load_profile("linux-6.1-x86_64"), KernelCosts(**costs))


def _step(rows: list[dict[str, int]], interrupts: int) -> Step:
    tlb = [row for row in rows if row["cause"] != Cause.TEXT_POKE]
    purges = sum(row["cause"] in (Cause.PURGE, Cause.RESET_PERMS) for row in tlb)
    return Step(len(tlb), purges, sum(row["targets"] for row in rows), interrupts)


Body = Callable[[KernelHandle], Calls]


def _both(
    kernel: Kernel,
    machine: Machine,
    first: Body,
    second: Body,
    starts: list[int],
    handlers: list[npt.NDArray[np.int64]],
) -> Callable[[Any], Calls]:
    def steps(task: Any) -> Calls:
        handle = KernelHandle(kernel, task)
        yield from task.sleep(starts[0])
        yield from first(handle)
        yield from task.sleep(SECOND_STEP + starts[1] - task.now)
        if not handlers:
            handlers.append(machine.sample()["handlers"].copy())
        yield from second(handle)

    return steps


def _pool_worker(work: Work) -> tuple[Body, Body]:
    pools: list[Any] = []

    def fill(handle: KernelHandle) -> Calls:
        pool = yield from handle.pmalloc_create_pool(4 * PAGE_SIZE, 3)
        pools.append(pool)
        for number in range(1, work.allocations + 1):
            yield from handle.pmalloc(pool, PAGE_SIZE)
            if number % work.every == 0:
                yield from handle.pmalloc_protect_pool(pool)
        yield from handle.pmalloc_protect_pool(pool)

    def destroy(handle: KernelHandle) -> Calls:
        yield from handle.pmalloc_destroy_pool(pools[0])

    return fill, destroy


def _loader(queue: Iterator[str]) -> tuple[Body, Body]:
    loaded: list[Module] = []

    def load(handle: KernelHandle) -> Calls:
        for name in queue:
            module = yield from handle.load_module(segments_of(name, LINUX_6_1.modules))
            loaded.extend([module] if module else [])

    def unload(handle: KernelHandle) -> Calls:
        for module in loaded:
            yield from handle.unload_module(module)

    return load, unload
