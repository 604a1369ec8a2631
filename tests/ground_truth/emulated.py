"""The machine that the counts were taken on, and several tasks at work on it at once.

QEMU without hardware support translates the guest's code and runs each guest CPU as a thread of the
host, and the host's scheduler shares its own CPUs out among them. An interrupt between guest CPUs
sets a flag; the target sees it at the end of the block of code that it is in, or, where it idles,
when the host has woken its thread. That takes a time that is long against a native interrupt, about
as long as waking a sleeping task, which is the same thing, and varies as widely as anything that
waits for a scheduler: exponentially, here. All other work is slower by the translation and by the
probes that counted.

The times are estimates, known to an order of magnitude and fitted to no row: an interrupt is
noticed after 2 to 200 µs. What depends on them is predicted as a range over that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np

from pmsim.hardware.costs import MutexRule
from pmsim.hardware.machine import Machine
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import segments_of
from pmsim.quantities import FROM_FILE
from pmsim.scenario.machine import MachineKeys, describe
from pmsim.units import MS, PAGE_SIZE, S
from tests.ground_truth.observed import Counted
from tests.ground_truth.simulated import Calls, Simulation

SLOWER: Final = 20
"""How many times slower kernel work is when it is translated and probed."""

NOT_WORK: Final = frozenset({"rcu_grace_period"})
"""Costs that are no work of a CPU."""


def qemu(cpus: int, wait: str = "200us", mutex: MutexRule = "adaptive") -> dict[str, Any]:
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
            "sched": {
                "quantum": "4ms", "context_switch": "20us", "wakeup": wait, "mutex": mutex,
            },
        },
    }  # fmt: skip


SPREAD: Final = 1 * MS
"""Within this time the workers of a step begin, each woken by itself."""

APART: Final = 60 * S
"""When each step begins after the one before; that one is long over."""

DRAINED: Final = 10 * S
"""How long before a step what was freed lazily is flushed."""

AREA_PAGES: Final = 4
AREAS: Final = 32
"""Areas that a worker allocates who has no pool."""


@dataclass(frozen=True)
class Timing:
    """How fast the emulated machine is.

    Attributes
    ----------
    wait
        See `qemu`.
    init
        How many times longer than estimated the init functions of modules take.
    grace_period
        How long a grace period lasts, in milliseconds.
    mutex
        Whether those who wait for a mutex spin.
    """

    wait: str = "200us"
    init: int = 1
    grace_period: int = 20
    mutex: MutexRule = "adaptive"


TIMING: Final = Timing()
WAITS: Final = ("2us", "20us", "200us")
"""How long noticing an interrupt may take: from a block of code to a time slice of a busy host."""

TIMINGS: Final = (
    *(Timing(wait) for wait in WAITS),
    Timing("20us", init=3),
    Timing(init=10),
    Timing(grace_period=44),
    Timing("2ms"),
)
"""Which of them merges how much, nobody knows: what depends on it is a range over all."""


@dataclass(frozen=True)
class Work:
    """What happens at once: as many workers as there are CPUs, or fewer.

    Attributes
    ----------
    kernel
        The kernel that it happens on.
    cpus
        CPUs of the machine.
    pools
        Workers that each fill a pool, protecting it on the way, and destroy it in the second step.
    loaders
        Workers that load modules, each the next of one list, and unload them in the second step.
    areas
        Workers that each allocate areas, free them in the second step, and find nothing to flush in
        the third.
    allocations, every
        Objects of a page in each pool; after how many it is protected.
    modules
        The list.
    in_turn
        Each worker begins a step when the one before is done with it.
    """

    kernel: Counted
    cpus: int
    pools: int = 0
    loaders: int = 0
    areas: int = 0
    allocations: int = 32
    every: int = 4
    modules: tuple[str, ...] = ()
    in_turn: bool = False


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes
    ----------
    numbers
        Every count of the tables.
    interrupts
        Interrupts that CPUs took for functions of others.
    """

    numbers: Mapping[str, int]
    interrupts: int

    def __getitem__(self, column: str) -> int:
        return self.numbers[column]

    @property
    def functions(self) -> int:
        """Functions that CPUs ran for others, ``sync_core`` included."""
        return self["targets"] + self["n_sync_core_cross"] * self.others

    @property
    def others(self) -> int:
        """CPUs that each broadcast goes to."""
        return self["n_others"]

    @property
    def purges(self) -> int:
        """Broadcasts that flushed freed areas."""
        return self["n_flush_tlb_kernel_range"]


Body = Callable[[KernelHandle], Calls]


@cache
def run(work: Work, seed: int, timing: Timing = TIMING) -> tuple[Step, ...]:
    """Run all steps and count."""
    emulation = Emulation(work.cpus, work.kernel, seed=seed, timing=timing)
    return emulation.together(workers(work), in_turn=work.in_turn)


@cache
def runs(work: Work) -> tuple[tuple[Step, ...], ...]:
    """Run all steps in many timings, and with one worker after the other."""
    seeds = range(2 if work.loaders else 12)
    found = [run(work, seed, timing) for timing in TIMINGS for seed in seeds]
    return (*found, run(work, 2), run(replace(work, in_turn=True), 0))


def whatever_the_timing(work: Work, step: int, column: str) -> int:
    """Return a count that no timing changes."""
    counts = {one[step][column] for one in runs(work)}
    assert len(counts) == 1, f"{column} depends on the timing: {counts}"
    return counts.pop()


def fewest_and_most(work: Work, step: int, column: str) -> tuple[int, int]:
    """Return the range of a count that depends on the timing."""
    counts = [one[step][column] for one in runs(work)]
    return min(counts), max(counts)


@dataclass
class Emulation(Simulation):
    """The emulated machine, on which workers are at work at once.

    Attributes
    ----------
    seed
        For the times at which interrupts are noticed and workers begin.
    timing
        How fast all is.
    """

    seed: int = 0
    timing: Timing = TIMING
    interrupts: list[int] = field(default_factory=list)

    def together(self, bodies: list[list[Body]], *, in_turn: bool) -> tuple[Step, ...]:
        """Run the steps of workers, each worker on a CPU of its own, and count each step."""
        emulator = qemu(self.cpus, self.timing.wait, self.timing.mutex)
        keys = MachineKeys.model_validate(emulator, context=FROM_FILE)
        described = describe(keys)
        rng = np.random.default_rng((self.seed, 0))
        machine = Machine(described.topology, described.costs, "concurrent", jitter_rng=rng)
        native = asdict(KernelCosts())
        slower = {k: v if k in NOT_WORK else SLOWER * v for k, v in native.items()}
        slower["module_init"] *= self.timing.init
        slower["rcu_grace_period"] = self.timing.grace_period * MS
        self.costs = KernelCosts(**slower)
        self.boot(machine)
        steps = len(bodies[0])
        self.begins = [step * APART for step in range(steps)]
        self.returns = [begin + APART for begin in self.begins]
        rng = np.random.default_rng((self.seed, 1))
        for number, body in enumerate(bodies):
            starts = [int(at) for at in rng.integers(0, SPREAD, steps)]
            if in_turn:
                starts = [number * (APART - 2 * DRAINED) // len(bodies)] * steps
            machine.spawn(number, self._worker(body, starts))
        machine.spawn(0, self._between(machine, steps), name="between")
        machine.run()
        self.gather()
        return tuple(self._step(step) for step in range(steps))

    def _step(self, step: int) -> Step:
        begin, end = self.begins[step], self.returns[step] - DRAINED
        events = [event for event in self.events if begin <= event.start < end]
        numbers = self.numbers(events, (begin, end), end) | {"n_others": self.cpus - 1}
        return Step(numbers, self.interrupts[step])

    def _worker(self, body: list[Body], starts: list[int]) -> Callable[[Any], Calls]:
        def steps(task: Any) -> Calls:
            handle = KernelHandle(self.kernel, task)
            for begin, after, part in zip(self.begins, starts, body, strict=True):
                yield from task.sleep(begin + after - task.now)
                yield from part(handle)

        return steps

    def _between(self, machine: Machine, steps: int) -> Callable[[Any], Calls]:
        """Count the interrupts of each step, and flush what it freed lazily."""

        def between(task: Any) -> Calls:
            for step in range(steps):
                before = int(machine.accounts()["handlers"].sum())
                yield from task.sleep(self.returns[step] - DRAINED - task.now)
                self.interrupts.append(int(machine.accounts()["handlers"].sum()) - before)
                yield from KernelHandle(self.kernel, task).vm_unmap_aliases()
                yield from task.sleep(self.returns[step] - task.now)

        return between


def workers(work: Work) -> list[list[Body]]:
    """Return the steps of each worker."""
    queue = iter(work.modules)
    return [
        *(_pool_worker(work) for _ in range(work.pools)),
        *(_loader(work, queue) for _ in range(work.loaders)),
        *(_area_worker() for _ in range(work.areas)),
    ]


def _pool_worker(work: Work) -> list[Body]:
    pools: list[Any] = []

    def fill(handle: KernelHandle) -> Calls:
        pool = yield from handle.pmalloc_create_pool(AREA_PAGES * PAGE_SIZE, 3)
        pools.append(pool)
        for number in range(1, work.allocations + 1):
            yield from handle.pmalloc(pool, PAGE_SIZE)
            if number % work.every == 0:
                yield from handle.pmalloc_protect_pool(pool)
        yield from handle.pmalloc_protect_pool(pool)

    def destroy(handle: KernelHandle) -> Calls:
        yield from handle.pmalloc_destroy_pool(pools[0])

    return [fill, destroy]


def _loader(work: Work, queue: Iterator[str]) -> list[Body]:
    loaded: list[Module] = []

    def load(handle: KernelHandle) -> Calls:
        for name in queue:
            module = yield from handle.load_module(segments_of(name, work.kernel.modules))
            loaded.extend([module] if module else [])

    def unload(handle: KernelHandle) -> Calls:
        for module in loaded:
            yield from handle.unload_module(module)

    return [load, unload]


def _area_worker() -> list[Body]:
    areas: list[Any] = []

    def allocate(handle: KernelHandle) -> Calls:
        for _ in range(AREAS):
            areas.append((yield from handle.vmalloc(AREA_PAGES * PAGE_SIZE)))

    def free(handle: KernelHandle) -> Calls:
        for area in areas:
            yield from handle.vfree(area)

    def drain(handle: KernelHandle) -> Calls:
        yield from handle.vm_unmap_aliases()

    return [allocate, free, drain]
