"""Runs steps on a simulated kernel, and reports what a plugin of the emulator counts.

On Arm and RISC-V the counts are of executed instructions, by the function that they stand in,
within a call and while all settles after it. A flush is a shootdown here; its instructions are the
operations that it sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import segments_of
from pmsim.kernel.pagetables.entries import Run
from pmsim.kernel.tlbflush import Cause
from pmsim.units import NS, PAGE_SIZE, S
from tests.ground_truth.simulated import Calls, Step
from tests.kernel.booted import Booted

SETTLE = 10 * S

RANGES = TlbiCosts(operation=10 * NS, everything=20 * NS, barrier=50 * NS, range=True)
"""A machine whose operations can name a range."""

ERRATUM = replace(RANGES, range=False, erratum_798181=True)
"""One whose flushes also interrupt."""

NEOVERSE_N1 = replace(RANGES, range=False, erratum_4118414=True)
"""One whose barriers have to be repeated."""


@dataclass(frozen=True)
class Done:
    """What was done for one cause: shootdowns, operations on pages, and those on everything.

    ``repeated``: operations of which only the barrier behind them was wanted.
    """

    flushes: int
    pages: int
    full: int
    repeated: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a step did, in the call or while all settled after it.

    Attributes
    ----------
    syncs
        Calls of all CPUs that flush no TLB.
    by_cause
        What was flushed, by cause.
    highmem
        Pages handed out that the direct map does not hold.
    on_all
        The same flushes as executed by every CPU that was called and by the caller: those of
        everything, and those of pages.
    """

    syncs: int
    by_cause: Mapping[Cause, Done]
    highmem: int = 0
    on_all: Mapping[Cause, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """Which kernel runs on what.

    Attributes
    ----------
    profile, cpus
        Which kernel, on how many CPUs.
    ranges
        Whether one operation can name a range.
    erratum
        Whether its CPUs have the Cortex-A15's erratum 798181.
    neoverse
        Whether they have the Neoverse N1's erratum 4118414.
    overrides
        Keys of the profile.
    """

    profile: str
    cpus: int
    ranges: bool = False
    erratum: bool = False
    neoverse: bool = False
    overrides: tuple[tuple[str, Any], ...] = ()


def outcomes(machine: Machine, steps: list[Step]) -> list[tuple[Outcome, Outcome]]:
    """Run steps, and return what each did in the call, and after it."""
    booted = Booted(
        machine.cpus,
        profile=machine.profile,
        tlbi=_broadcasts(machine),
        **dict(machine.overrides),
    )
    instants: list[int] = []
    given: list[tuple[int, int]] = []
    frames = booted.kernel.frames
    allocate = frames.allocate

    def noting(pages: int, block: int = 1) -> list[Run] | None:
        runs = allocate(pages, block)
        high = sum(count for first, count in runs or [] if first >= frames.lowmem)
        given.append((booted.machine.now, high))
        return runs

    def program(kernel: KernelHandle) -> Calls:
        for step in steps:
            instants.append(kernel.task.now)
            yield from step(kernel)
            instants.append(kernel.task.now)
            yield from kernel.task.sleep(SETTLE)

    with patch.object(frames, "allocate", noting):
        booted.run(program)
    ends = [*instants[1:], 1 << 62]
    repeats = booted.machine.shootdown.value("repeat_sync") == "per_sync"
    found = [
        _outcome(
            [c for c in booted.calls if begin <= c["start_ps"] < end],
            sum(high for now, high in given if begin <= now < end),
            repeats,
        )
        for begin, end in zip(instants, ends, strict=True)
    ]
    return list(zip(found[::2], found[1::2], strict=True))


def _broadcasts(machine: Machine) -> TlbiCosts | None:
    """Return what the machine's broadcasts are like, None if like any other's."""
    if machine.ranges:
        return RANGES
    if machine.neoverse:
        return NEOVERSE_N1
    return ERRATUM if machine.erratum else None


def _outcome(calls: list[dict[str, Any]], highmem: int, repeats: bool) -> Outcome:
    flushes: Counter[Cause] = Counter()
    pages: Counter[Cause] = Counter()
    full: Counter[Cause] = Counter()
    full_on_all: Counter[Cause] = Counter()
    pages_on_all: Counter[Cause] = Counter()
    repeated: Counter[Cause] = Counter()
    syncs = 0
    for call in calls:
        kind, cause = CallKind(call["kind"]), Cause(call["cause"])
        if kind in (CallKind.SYNC_CORE, CallKind.EMPTY):
            syncs += 1
            continue
        cause = Cause.PURGE if cause is Cause.RESET_PERMS else cause
        flushes[cause] += 1
        cpus = call["targets"] + 1
        repeated[cause] += repeats
        if kind is CallKind.FULL:
            full[cause] += 1
            full_on_all[cause] += cpus
        else:
            pages[cause] += (call["invalidations"] - repeats) or call["pages"]
            pages_on_all[cause] += cpus * call["pages"]
    done = {c: Done(flushes[c], pages[c], full[c], repeated[c]) for c in flushes}
    return Outcome(syncs, done, highmem, {c: (full_on_all[c], pages_on_all[c]) for c in flushes})


# Steps, by what the counted machine was told


def module_steps(name: str, table: ModuleTable) -> list[Step]:
    """Load a module and unload it."""
    loaded: list[Module | None] = []

    def load(kernel: KernelHandle) -> Calls:
        loaded.append((yield from kernel.load_module(segments_of(name, table))))

    def unload(kernel: KernelHandle) -> Calls:
        yield from kernel.unload_module(loaded[0])

    return [load, unload]


def area_steps(pages: int) -> list[Step]:
    """Allocate an area, make it read-only and writable, free it, and flush what is lazily freed."""
    areas: list[Any] = []

    def valloc(kernel: KernelHandle) -> Calls:
        areas.append((yield from kernel.vmalloc(pages * PAGE_SIZE)))

    def vro(kernel: KernelHandle) -> Calls:
        yield from kernel.set_memory_ro(areas[0].address, pages)

    def vrw(kernel: KernelHandle) -> Calls:
        yield from kernel.set_memory_rw(areas[0].address, pages)

    def vrelease(kernel: KernelHandle) -> Calls:
        yield from kernel.vfree(areas[0])

    return [valloc, vro, vrw, vrelease, drain, drain]


def drain(kernel: KernelHandle) -> Calls:
    yield from kernel.vm_unmap_aliases()


def cycle(pages: int, times: int) -> Step:
    """Allocate and free again and again."""

    def churn(kernel: KernelHandle) -> Calls:
        for _ in range(times):
            area = yield from kernel.vmalloc(pages * PAGE_SIZE)
            yield from kernel.vfree(area)

    return churn


def pool_steps(refill: int, objects: int, size: int) -> list[Step]:
    """Create a pool, allocate, protect, protect again, destroy it and flush."""
    pools: list[Any] = []

    def create(kernel: KernelHandle) -> Calls:
        pools.append((yield from kernel.pmalloc_create_pool(refill * PAGE_SIZE, 3)))

    def allocate(kernel: KernelHandle) -> Calls:
        for _ in range(objects):
            yield from kernel.pmalloc(pools[0], size)

    def protect(kernel: KernelHandle) -> Calls:
        yield from kernel.pmalloc_protect_pool(pools[0])

    def destroy(kernel: KernelHandle) -> Calls:
        yield from kernel.pmalloc_destroy_pool(pools[0])

    return [create, allocate, protect, protect, destroy, drain]


def user_steps(command: str, pages: int, others: tuple[int, ...] = ()) -> list[Step]:
    """Change a mapping of a process that ran on some other CPUs before."""

    def earlier(kernel: KernelHandle) -> Calls:
        mm = kernel.process("user")
        for cpu in others:
            kernel.kernel.machine.spawn(
                cpu, lambda task: KernelHandle(kernel.kernel, task).use_mm(mm)
            )
        yield from kernel.task.sleep(NS)

    def change(kernel: KernelHandle) -> Calls:
        mm = kernel.process("user")
        yield from kernel.use_mm(mm)
        if command == "munmap":
            yield from kernel.munmap(pages, frees_tables=True)
        elif command == "dontneed":
            yield from kernel.madvise_dontneed(pages)
        elif command != "touch":
            yield from kernel.mprotect(pages)

    return [earlier, change] if others else [change]


def program_steps(instructions: tuple[int, ...], size: int, stay: int = 0) -> list[Step]:
    """Load BPF programs of so many instructions, of ``size`` bytes each, and free all but some."""
    loaded: list[Any] = []

    def load(count: int) -> Step:
        def step(kernel: KernelHandle) -> Calls:
            loaded.append((yield from kernel.bpf_prog_load(count * size, verified=count)))

        return step

    def free(kernel: KernelHandle) -> Calls:
        for program in loaded[stay:]:
            yield from kernel.bpf_prog_free(program)

    return [*map(load, instructions), free]


def key_steps(sites: int) -> list[Step]:
    """Switch a static key."""

    def flip(kernel: KernelHandle) -> Calls:
        yield from kernel.static_key_toggle(sites)

    return [flip]
