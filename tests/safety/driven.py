"""A kernel that does what it is told, call by call, on any CPU, while the machine runs on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from pmsim.hardware.costs import IpiCosts, MachineCosts, SbiCosts, SchedCosts, TlbCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.proposals import (
    CoherentCosts,
    DeferredCosts,
    DirectoryCosts,
    LatrCosts,
    RarCosts,
)
from pmsim.hardware.topology import Topology
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.units import MS, NS, PAGE_SIZE, US
from tests.hardware import machines
from tests.kernel.module_lives import CANONICAL

Calls = Generator[Any, Any, Any]
Call = Callable[["Hand"], Calls]

ISOLATED = 3
"""The CPU that calls may leave out, where a protocol does that; the last of four."""

CPUS = 4

_LINE = machines.same_everywhere(40 * NS)
_FAR = machines.same_everywhere(400 * NS)

COSTS = MachineCosts(
    IpiCosts(queue=20 * NS, send=80 * NS, fanout=2, delivery=_FAR, line=_LINE, entry=250 * NS,
             exit=150 * NS, shorthand=True),
    TlbCosts(200 * NS, 400 * NS, 15 * NS, 1536, 100 * NS),
    SchedCosts(50 * US, US, 2 * US),
    tlbi=machines.tlbi(operation=25 * NS, everything=50 * NS, barrier=100 * NS, round_trip=500 * NS,
                       pages=8),
    sbi=SbiCosts(trap=500 * NS, queue=20 * NS, send=80 * NS, delivery=_FAR, line=_LINE,
                 entry=250 * NS, exit=150 * NS),
    coherent=CoherentCosts(store=machines.same_everywhere(1)),
    directory=DirectoryCosts(lookup=200 * NS, message=20 * NS, round_trip=_FAR),
    rar=RarCosts(slots=2, payload=100 * NS, queue=20 * NS, send=80 * NS, fanout=2, delivery=_FAR,
                 action=300 * NS, line=_LINE),
    deferred=DeferredCosts(check=5 * NS, entry_flush=400 * NS),
    latr=LatrCosts(save=132 * NS, scan=20 * NS, sweep=158 * NS),
)  # fmt: skip
"""Of a machine that has every protocol, of the size of real ones."""


class Hand:
    """One CPU's task, and what it holds: each thing is used by the task that made it.

    Attributes
    ----------
    kernel
        What it calls.
    pools, areas, modules, blocks
        What it has.
    said
        What calls returned that a test wants to see.
    """

    def __init__(self, kernel: KernelHandle, driven: Driven) -> None:
        self.kernel = kernel
        self.pools: list[Any] = []
        self.areas: list[Any] = []
        self.modules: list[Any] = []
        self.blocks: list[Any] = []
        self.mapped: list[Any] = []
        self.said: list[Any] = []
        self.process = driven.process


class Driven:
    """A kernel with one task on each CPU that does what `tell` says, one call after the other.

    Parameters
    ----------
    profile
        Which kernel.
    overrides
        Keys of it; by default what a protocol that promises too little needs.
    """

    def __init__(self, profile: str = "linux-6.1-x86_64", **overrides: Any) -> None:
        loaded = load_profile(profile, {"pmalloc": "prmem", "unsafe": True, **overrides})
        costs = COSTS
        shootdown = loaded.shootdown_on(costs)
        # Isolated CPUs have no ticks: what waits for these is refused there.
        isolated = [] if shootdown.protocol.drops_at == "tick" else [ISOLATED]
        self.machine = Machine(
            Topology(cores=CPUS),
            costs,
            loaded.crosscall_order,
            shootdown=shootdown,
            isolated=isolated,
        )
        self.rows: list[Any] = []
        self.machine.on_crosscalls = self.rows.extend
        self.kernel = Kernel(self.machine, loaded)
        self.process = self.kernel.user.create()
        self.hands: dict[int, Hand] = {}
        self._busy: set[int] = set()
        self._asked: dict[int, deque[Call]] = {cpu: deque() for cpu in range(CPUS)}
        for cpu in range(CPUS):
            self.machine.spawn(cpu, self._body, name=f"hand {cpu}")

    def tell(self, cpu: int, call: Call) -> None:
        """Let the task of a CPU make a call, after those that it was told of before."""
        self._asked[cpu].append(call)

    def run(self, time: int = 200 * US) -> Driven:
        """Let time pass; what has been told is done, as far as it goes."""
        self.machine.run(self.machine.now + time)
        return self

    def run_all(self) -> Driven:
        """Let time pass until all is done."""
        while self._busy or any(self._asked.values()):
            self.run()
        return self.run(2 * MS)

    def found(self) -> list[Violation]:
        """Return what was found up to now, CPUs that have not entered the kernel included."""
        self.machine.flush_log(self.machine.now)
        self.kernel.safety.finish()
        return self.kernel.safety.found.violations

    def hazards(self) -> set[Hazard]:
        """Return the kinds of violations."""
        return {one.hazard for one in self.found()}

    def _body(self, task: Any) -> Calls:
        hand = self.hands[task.cpu] = Hand(KernelHandle(self.kernel, task), self)
        yield from hand.kernel.use_mm(self.process)
        asked = self._asked[task.cpu]
        while True:
            if asked:
                self._busy.add(task.cpu)
                yield from asked.popleft()(hand)
                self._busy.discard(task.cpu)
            elif task.cpu == ISOLATED:
                yield from task.user_compute(5 * US)
            else:
                yield from task.compute(10 * US)


def create_pool(mode: str = "ro", pages: int = 1) -> Call:
    """Create a pool."""

    def call(hand: Hand) -> Calls:
        pool = yield from hand.kernel.pmalloc_create_pool(pages * PAGE_SIZE, 3, mode=mode)
        hand.pools.append(pool)

    return call


def allocate(size: int = 3000, n: int = 1) -> Call:
    """Allocate in the newest pool."""

    def call(hand: Hand) -> Calls:
        for _ in range(n if hand.pools else 0):
            yield from hand.kernel.pmalloc(hand.pools[-1], size)

    return call


def protect(hand: Hand) -> Calls:
    """Protect the newest pool."""
    if hand.pools:
        yield from hand.kernel.pmalloc_protect_pool(hand.pools[-1])


def destroy(hand: Hand) -> Calls:
    """Destroy the oldest pool."""
    if hand.pools:
        yield from hand.kernel.pmalloc_destroy_pool(hand.pools.pop(0))


def vmalloc(pages: int = 4, *, huge: bool = False) -> Call:
    """Allocate an area."""

    def call(hand: Hand) -> Calls:
        allocate_ = hand.kernel.vmalloc_huge if huge else hand.kernel.vmalloc
        area = yield from allocate_(pages * PAGE_SIZE)
        if area is not None:
            hand.areas.append(area)

    return call


def set_memory(call_: str, pages: int = 1 << 20, skip: int = 0) -> Call:
    """Change pages of the newest area: ``ro``, ``rw``, ``x``, ``nx``, ``rox``."""

    def call(hand: Hand) -> Calls:
        if hand.areas and not hand.areas[-1].leaf > 1:
            area = hand.areas[-1]
            first = min(skip, area.pages - 1)
            count = min(pages, area.pages - first)
            change = getattr(hand.kernel, f"set_memory_{call_}")
            yield from change(area.address + first * PAGE_SIZE, count)

    return call


def vfree(hand: Hand) -> Calls:
    """Free the oldest area, after making it ordinary again."""
    if hand.areas:
        area = hand.areas.pop(0)
        if area.leaf == 1:
            yield from hand.kernel.set_memory_rw(area.address, area.pages)
        yield from hand.kernel.vfree(area)


def load(hand: Hand) -> Calls:
    """Load a module."""
    module = yield from hand.kernel.load_module(CANONICAL)
    if module is not None:
        hand.modules.append(module)


def unload(hand: Hand) -> Calls:
    """Unload the oldest module."""
    if hand.modules:
        yield from hand.kernel.unload_module(hand.modules.pop(0))


def map_block(hand: Hand) -> Calls:
    """Map two pages for a short time."""
    if not hand.blocks:
        hand.blocks.append((yield from hand.kernel.alloc_pages(1)))
    mapping = yield from hand.kernel.vm_map_ram(hand.blocks[0])
    if mapping is not None:
        hand.mapped.append(mapping)


def unmap_block(hand: Hand) -> Calls:
    """Unmap them."""
    if hand.mapped:
        yield from hand.kernel.vm_unmap_ram(hand.mapped.pop(0))


def purge(hand: Hand) -> Calls:
    """Purge what was lazily freed."""
    yield from hand.kernel.vm_unmap_aliases()


def mprotect(hand: Hand) -> Calls:
    """Protect pages of the process that all CPUs run."""
    yield from hand.kernel.mprotect(3)


def munmap(pages: int = 3, *, tables: bool = False) -> Call:
    """Unmap pages of the process."""

    def call(hand: Hand) -> Calls:
        yield from hand.kernel.munmap(pages, frees_tables=tables)

    return call


def madvise(hand: Hand) -> Calls:
    """Give pages of the process back."""
    yield from hand.kernel.madvise_dontneed(2)


def copy_page(hand: Hand) -> Calls:
    """Write to a page that a child shares."""
    yield from hand.kernel.wp_page_copy(1)


def fork(hand: Hand) -> Calls:
    """Fork, write-protecting all pages."""
    yield from hand.kernel.fork(20)


def sleep(hand: Hand) -> Calls:
    """Leave the CPU idle for a while."""
    yield from hand.kernel.task.sleep(10 * US)


def rests(hand: Hand) -> Calls:
    """Leave it idle for long."""
    yield from hand.kernel.task.sleep(500 * US)


def works(hand: Hand) -> Calls:
    """Compute in the kernel."""
    yield from hand.kernel.task.compute(500 * US)


def user(hand: Hand) -> Calls:
    """Compute in user mode."""
    yield from hand.kernel.task.user_compute(20 * US)


EVERY: dict[str, Call] = {
    "create": create_pool(),
    "create_auto": create_pool("auto"),
    "create_start": create_pool("start"),
    "allocate": allocate(),
    "allocate_some": allocate(200, 30),
    "protect": protect,
    "destroy": destroy,
    "vmalloc": vmalloc(),
    "vmalloc_one": vmalloc(1),
    "vmalloc_many": vmalloc(600),
    "vmalloc_huge": vmalloc(1024, huge=True),
    "ro": set_memory("ro"),
    "ro_part": set_memory("ro", 2, 1),
    "rw": set_memory("rw"),
    "x": set_memory("x"),
    "nx": set_memory("nx"),
    "rox": set_memory("rox"),
    "vfree": vfree,
    "load": load,
    "unload": unload,
    "map": map_block,
    "unmap": unmap_block,
    "purge": purge,
    "mprotect": mprotect,
    "munmap": munmap(),
    "munmap_tables": munmap(600, tables=True),
    "madvise": madvise,
    "copy_page": copy_page,
    "fork": fork,
    "sleep": sleep,
    "user": user,
}
"""What a task can be told, by name."""
