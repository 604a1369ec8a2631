"""Words for tiny machines and programs whose numbers can be worked out by hand.

The plain machine: all CPUs in one package, each a core of its own, and unless a test says otherwise

======== =====  =====================================================================
queue      100  so a lone call at ``t`` on one target is in its queue at ``t + 100``,
send         0
delivery  1000  arrives at ``t + 1100``,
entry       50  is taken at ``t + 1150``, and acknowledged then where it costs nothing;
exit        50  the handler, if the CPU is neither idle deeply nor busy with interrupts
                off, lasts from ``t + 1100`` to ``t + 1200`` and the function's cost
line         0
======== =====  =====================================================================

Functions cost 10 per page (``invlpg``), a full flush 0; walks, switches and wake-ups cost nothing,
the quantum never ends, and there are no idle states.

An invalidation of one page alone takes the server 100 for the operation and 200 for the barrier, so
that one asked for at ``t`` is done at ``t + 300`` and answered at ``t + 1300``; a computing CPU
loses a quarter of that service. Everything at once takes the server 300 + 200.

Where TLBs follow stores, one takes 30; a directory is asked in 200, tells a holder in 20, and is
answered in 1000. Remote actions take 40, and 500 to write down; all else is as with interrupts.

Leaving a CPU out of a call takes 5, an entry from user mode that drops everything 70.

Ticks come every 10 000; a look into a ring takes 3, to drop what one note is about 11, to write one
down 7; a ring has two entries.

Where calls go through the firmware, its costs are those of the plain machine's interrupts, with a
trap of 500 before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pmsim.hardware.costs import (
    CrosscallOrder,
    IdleState,
    IpiCosts,
    MachineCosts,
    MutexRule,
    SbiCosts,
    SchedCosts,
    TlbCosts,
    TlbiCosts,
)
from pmsim.hardware.host import BARE_METAL, Host
from pmsim.hardware.proposals import (
    CoherentCosts,
    DeferredCosts,
    DirectoryCosts,
    LatrCosts,
    RarCosts,
)
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS
from pmsim.hardware.topology import ByDistance, Topology
from tests.reference.program import Program, Result, Step, TaskSpec

NEVER = 10**12

THREAD, CORE, DIE, PACKAGE = range(1, 5)


def same_everywhere(cost: int) -> ByDistance:
    """Return a table by distance with one cost in it."""
    return cost, cost, cost, cost, cost


def tlbi(
    *,
    operation: int = 100,
    everything: int = 300,
    barrier: int = 200,
    round_trip: int | ByDistance = 1000,
    share: int = 250_000,
    pages: int = 1,
    **more: Any,
) -> TlbiCosts:
    """Return what an invalidation costs on the plain machine, changed; ``share`` in millionths."""
    trips = round_trip if isinstance(round_trip, tuple) else same_everywhere(round_trip)
    return TlbiCosts(
        operation=operation,
        everything=everything,
        barrier=barrier,
        round_trip=trips,
        victim_share_ppm=share,
        pages=pages,
        **more,
    )


def sbi(
    *,
    trap: int = 500,
    queue: int = 100,
    send: int = 0,
    delivery: int | ByDistance = 1000,
    line: int | ByDistance = 0,
    entry: int = 50,
    exit: int = 50,
) -> SbiCosts:
    """Return what a call through the firmware costs on the plain machine, changed."""
    by_distance = [
        table if isinstance(table, tuple) else same_everywhere(table) for table in (delivery, line)
    ]
    return SbiCosts(
        trap=trap,
        queue=queue,
        send=send,
        delivery=by_distance[0],
        line=by_distance[1],
        entry=entry,
        exit=exit,
    )


def costs(
    *,
    queue: int = 100,
    send: int = 0,
    ecall: int = 0,
    fanout: int = 1,
    shorthand: bool = False,
    delivery: int | ByDistance = 1000,
    line: int | ByDistance = 0,
    entry: int = 50,
    exit: int = 50,
    invlpg: int = 10,
    flush_all: int = 0,
    walk: int = 0,
    entries: int = 1000,
    kernel_entries: int = 0,
    flush_fixed: int = 0,
    flush_user: int = 0,
    sync_core: int = 0,
    quantum: int = NEVER,
    context_switch: int = 0,
    wakeup: int = 0,
    mutex: MutexRule = "adaptive",
    idle: Sequence[tuple[int, int]] = (),
    tlbi: TlbiCosts | None = tlbi(),  # noqa: B008 - frozen
    sbi: SbiCosts | None = sbi(),  # noqa: B008 - frozen
    **proposed: Any,
) -> MachineCosts:
    """Return the plain machine's costs, changed; ``idle`` are pairs (residency, exit)."""
    by_distance = [
        table if isinstance(table, tuple) else same_everywhere(table) for table in (delivery, line)
    ]
    return MachineCosts(
        ipi=IpiCosts(
            queue=queue,
            send=send,
            ecall=ecall,
            fanout=fanout,
            shorthand=shorthand,
            delivery=by_distance[0],
            line=by_distance[1],
            entry=entry,
            exit=exit,
        ),
        tlb=TlbCosts(
            invlpg, flush_all, walk, entries, sync_core, kernel_entries, flush_fixed, flush_user
        ),
        sched=SchedCosts(quantum, context_switch, wakeup, mutex),
        idle=tuple(IdleState(f"C{k}", out, after) for k, (after, out) in enumerate(idle)),
        tlbi=tlbi,
        sbi=sbi,
        **{
            "coherent": CoherentCosts(store=same_everywhere(30)),
            "directory": DirectoryCosts(lookup=200, message=20, round_trip=same_everywhere(1000)),
            "rar": RarCosts(payload=500, queue=100, delivery=same_everywhere(1000), action=40),
            "deferred": DeferredCosts(check=5, entry_flush=70),
            "latr": LatrCosts(save=7, scan=3, sweep=11, tick=10_000, ring=2),
            **proposed,
        },
    )


def program(
    *tasks: TaskSpec,
    cpus: int | None = None,
    topology: Topology | None = None,
    order: CrosscallOrder = "concurrent",
    ceiling: int = 33,
    jitter: tuple[int, ...] = (),
    duration: int | None = None,
    shootdown: Shootdown = BY_INTERRUPTS,
    host: Host = BARE_METAL,
    repeat_sync: str = "none",
    drops_all: bool = False,
    isolated: tuple[int, ...] = (),
    **changes: Any,
) -> Program:
    """Return a program; tasks without a number are numbered as they are listed.

    Without ``topology`` the machine is plain, with as many CPUs as ``cpus`` says, or as the tasks
    need.
    """
    if topology is None:
        topology = Topology(cores=cpus or 1 + max(task.cpu for task in tasks))
    numbered = tuple(
        task if task.number >= 0 else TaskSpec(task.cpu, k, task.working_set, task.steps)
        for k, task in enumerate(tasks)
    )
    return Program(
        topology,
        costs(**changes),
        numbered,
        order,
        ceiling,
        jitter,
        duration,
        shootdown,
        host,
        repeat_sync,
        drops_all,
        isolated,
    )


def on(cpu: int, *steps: Step, number: int = -1, working_set: int = 0) -> TaskSpec:
    """Return a task."""
    return TaskSpec(cpu, number, working_set, steps)


def compute(ps: int) -> Step:
    """Return a step that needs CPU time."""
    return "compute", ps


def irqs_off(ps: int) -> Step:
    """Return a window with interrupts off."""
    return "irqs_off", ps


def sleep(ps: int) -> Step:
    """Return a sleep."""
    return "sleep", ps


def call(*targets: int, pages: int = 0) -> Step:
    """Return a flush of some pages (none: it costs nothing) on some CPUs."""
    return "call", (pages, targets)


def full_flush(*targets: int) -> Step:
    """Return a full flush on some CPUs."""
    return "call", (10_000, targets)


def invalidate(pages: int) -> Step:
    """Return an invalidation of so many pages on every CPU."""
    return "invalidate", pages


EVERYTHING = invalidate(0)
"""The invalidation of everything."""


def flush_kernel(pages: int) -> Step:
    """Return a flush of some pages on every other CPU."""
    return "flush_kernel", pages


def empty(ps: int) -> Step:
    """Return a call of a function of that cost on every other CPU."""
    return "empty", ps


def mutex_lock(lock: int) -> Step:
    """Return the taking of a mutex."""
    return "mutex_lock", lock


def mutex_unlock(lock: int) -> Step:
    """Return the release of a mutex."""
    return "mutex_unlock", lock


def spin_lock(lock: int) -> Step:
    """Return the taking of a spinlock."""
    return "spin_lock", lock


def spin_unlock(lock: int) -> Step:
    """Return the release of a spinlock."""
    return "spin_unlock", lock


PREEMPT_OFF: Step = "preempt_off", None
"""From here on the task keeps its CPU."""

PREEMPT_ON: Step = "preempt_on", None
"""From here on it may lose it again."""


def call_times(result: Result) -> list[tuple[int, int]]:
    """Return start and end of each call, in the order of their starts."""
    return [(call.start, call.end) for call in result.calls]
