"""The yardstick: cross-calls simulated the plain way, compiled, an event for every single thing.

It is what one would write first, in C++ or, as here, in Numba: a binary heap of events, and an
event each time that a call is queued on a target, that a group of interrupts is sent, that an
interrupt arrives, that a handler takes its queue, acknowledges a call or ends, that the initiator
has seen a target's answer, that a compute ends and that a task steps. The rules are those of the
machine-model page, sections 3 to 5, for machines with one task on every CPU: computing tasks from
which handlers steal time, and any number of initiators whose calls go to all other CPUs.

Left out, since nothing that is timed needs it: run queues, locks, windows, idle states, jitter.

It is as fast as the same program in C++ (``std::priority_queue``, g++ 12 -O2), side by side on the
machine on which it was written: 0.8 of it with one initiator of 64 CPUs, 0.9 of 1,024, 1.0 of
4,096, and 1.1 of it with 16 or 64 initiators.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.tlb import FlushFunction, refill_debt
from pmsim.hardware.topology import Topology

_compiled = numba.njit(cache=True, error_model="numpy")

Ints = npt.NDArray[np.int64]

# Kinds of events, in the order in which those of one instant happen: calls are queued, interrupts
# arrive, then all else; the steps of tasks come last. Within a kind, CPUs ascend.
_QUEUE: Final = 0
_ARRIVE: Final = 1
_SEND: Final = 2
_LOCAL_END: Final = 3
_TAKE: Final = 4
_ACK: Final = 5
_EXIT: Final = 6
_VISIT: Final = 7
_COMPUTE_END: Final = 8
_STEP: Final = 9
_CPU_BITS: Final = 16

# What a task is in.
_BETWEEN: Final = 0
_COMPUTES: Final = 1
_CALLS: Final = 2
_ENDED: Final = 3

# A CPU: its interrupts, its queue of calls (a ring), its task, and the task's call.
_CPU: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("pending", "off", "handler_since", "stolen", "handlers"),
            *("head", "queued", "taken"),
            *("doing", "since", "debt", "work", "end_on_heap", "step_due", "at", "rounds"),
            *("slot", "start", "cost", "full", "next", "awaited"),
        )
    ]
)

# What a call knows of a target.
_NOTHING: Final = 0
_TO_INTERRUPT: Final = 1
_ANSWERED: Final = 2

_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Program:
    """A task: what it does again and again.

    Attributes
    ----------
    steps
        Picoseconds to compute, or the function of a call to all other CPUs.
    rounds
        How often it takes all of its steps.
    counts
        Whether the run waits for its end.
    """

    steps: Sequence[int | FlushFunction]
    rounds: int = 1
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came out of a run.

    Attributes
    ----------
    calls
        CPU, start and end of every call in picoseconds, by their ends, shape ``(calls, 3)``.
    stolen, handlers
        Of every CPU: picoseconds, and how many.
    events
        How many were taken from the heap.
    seconds
        CPU time that they took, without laying the machine out.
    """

    calls: Ints
    stolen: Ints
    handlers: Ints
    events: int
    seconds: float


class _Model(NamedTuple):
    """The whole state: a heap of (time, kind and CPU), words of CPUs, and what is constant."""

    heap: Ints
    counts: npt.NDArray[np.void]
    cpus: npt.NDArray[np.void]
    queues: Ints
    targets: npt.NDArray[np.int8]
    ended: Ints
    codes: npt.NDArray[np.uint8]
    delivery: Ints
    line: Ints
    steps: Ints
    bounds: Ints
    counted: Ints
    queue: int
    send: int
    fanout: int
    entry: int
    exit: int
    refill: int


# Running numbers of the whole run.
_COUNTS: Final = np.dtype(
    [
        (name, np.int64)
        for name in ("on_heap", "events", "calls_ended", "awaited_tasks", "handlers_running")
    ]
)


def simulate(
    topology: Topology, costs: MachineCosts, programs: Sequence[Program], working_set: int = 0
) -> Simulated:
    """Run a program on each CPU until those that count have ended.

    Parameters
    ----------
    topology, costs
        The machine, of at least two CPUs; its idle states and jitter are not looked at.
    programs
        One for each CPU.
    working_set
        TLB entries that each task refills after a full flush.
    """
    model = _laid_out(topology, costs, programs, refill_debt(costs.tlb, working_set))
    started = time.process_time()
    _run(model)
    seconds = time.process_time() - started
    counts = model.counts[0]
    return Simulated(
        model.ended[: counts["calls_ended"]],
        model.cpus["stolen"],
        model.cpus["handlers"],
        int(counts["events"]),
        seconds,
    )


def _laid_out(
    topology: Topology, costs: MachineCosts, programs: Sequence[Program], refill: int
) -> _Model:
    n, ipi = topology.n_cpus, costs.ipi
    hops = range(1, topology.max_code() - 2)
    delivery, line = (
        np.array([*table[:4], *(table[4] * h for h in hops)]) for table in (ipi.delivery, ipi.line)
    )
    calls = [sum(not isinstance(step, int) for step in p.steps) * p.rounds for p in programs]
    slots = np.cumsum([0] + [count > 0 for count in calls])
    cpus = np.zeros(n, dtype=_CPU)
    cpus["handler_since"] = cpus["awaited"] = _NONE
    cpus["slot"] = slots[:-1]
    cpus["rounds"] = [program.rounds for program in programs]
    bounds = np.cumsum([0] + [len(program.steps) for program in programs])
    cpus["at"] = bounds[:-1]
    counts = np.zeros(1, dtype=_COUNTS)
    counts[0]["awaited_tasks"] = sum(program.counts for program in programs)
    return _Model(
        heap=np.empty((8 * n, 2), dtype=np.int64),
        counts=counts,
        cpus=cpus,
        queues=np.empty((n, max(1, slots[-1])), dtype=np.int64),
        targets=np.zeros((max(1, slots[-1]), n), dtype=np.int8),
        ended=np.empty((sum(calls), 3), dtype=np.int64),
        codes=np.ascontiguousarray(topology.codes()),
        delivery=delivery,
        line=line,
        steps=np.array([_as_row(s) for p in programs for s in p.steps]).reshape(-1, 3),
        bounds=bounds,
        counted=np.array([program.counts for program in programs], dtype=np.int64),
        queue=ipi.queue,
        send=ipi.send,
        fanout=ipi.fanout,
        entry=ipi.entry,
        exit=ipi.exit,
        refill=refill,
    )


def _as_row(step: int | FlushFunction) -> tuple[int, int, int]:
    if isinstance(step, int):
        return _COMPUTES, step, 0
    return _CALLS, step.cost, int(step.empties_tlb)


@_compiled
def _push(m: _Model, when: int, kind: int, cpu: int) -> None:
    """Put an event on the heap."""
    at = m.counts[0].on_heap
    m.counts[0].on_heap += 1
    _rise(m.heap, at, when, kind << _CPU_BITS | cpu)


@_compiled
def _rise(heap: Ints, at: int, time: int, order: int) -> None:
    """Let an event rise from a free place of the heap to where it belongs."""
    while at > 0:
        above = (at - 1) >> 1
        if not _before(time, order, heap[above, 0], heap[above, 1]):
            break
        heap[at, 0] = heap[above, 0]
        heap[at, 1] = heap[above, 1]
        at = above
    heap[at, 0] = time
    heap[at, 1] = order


@_compiled
def _before(time: int, order: int, other_time: int, other_order: int) -> bool:
    return (time < other_time) | ((time == other_time) & (order < other_order))


@_compiled
def _pop(m: _Model) -> tuple[int, int]:
    """Take the first event from the heap: its time, and its kind and CPU.

    The free place sinks to the bottom, and the last event rises from there, as in C++'s library.
    """
    heap = m.heap
    first = heap[0, 0], heap[0, 1]
    m.counts[0].events += 1
    m.counts[0].on_heap -= 1
    size = m.counts[0].on_heap
    at, below = 0, 2
    while below < size:
        left = below - 1
        if _before(heap[left, 0], heap[left, 1], heap[below, 0], heap[below, 1]):
            below = left
        heap[at, 0] = heap[below, 0]
        heap[at, 1] = heap[below, 1]
        at, below = below, 2 * below + 2
    if below == size:
        heap[at, 0] = heap[below - 1, 0]
        heap[at, 1] = heap[below - 1, 1]
        at = below - 1
    _rise(heap, at, heap[size, 0], heap[size, 1])
    return first


@_compiled
def _after(m: _Model, i: int, target: int) -> int:
    """Return the first target of CPU ``i`` from ``target`` on; the number of CPUs if none is."""
    return target + 1 if target == i else target


@_compiled
def _queue(m: _Model, now: int, i: int) -> None:
    """The call stands in its next target's queue; a queue that was empty wants an interrupt."""
    c = m.cpus[i].next
    cpu, slots = m.cpus[c], m.queues.shape[1]
    if cpu.queued == cpu.taken:
        m.targets[m.cpus[i].slot, c] = _TO_INTERRUPT
    at = cpu.head + cpu.queued
    m.queues[c, at - slots if at >= slots else at] = i
    cpu.queued += 1
    m.cpus[i].next = _after(m, i, c + 1)
    if m.cpus[i].next < len(m.cpus):
        _push(m, now + m.queue, _QUEUE, i)
    else:
        m.cpus[i].next = _after(m, i, 0)
        _push(m, now + m.send, _SEND, i)


@_compiled
def _send(m: _Model, now: int, i: int) -> None:
    """A group of targets is sent its interrupts; after the last group the local function runs."""
    c, n, slot = m.cpus[i].next, len(m.cpus), m.cpus[i].slot
    group_end = min((c // m.fanout + 1) * m.fanout, n)
    while c < group_end:
        if m.targets[slot, c] == _TO_INTERRUPT:
            _push(m, now + m.delivery[m.codes[i, c]], _ARRIVE, c)
        c = _after(m, i, c + 1)
    m.cpus[i].next = c
    if c < n:
        _push(m, now + m.send, _SEND, i)
    else:
        _push(m, now + m.cpus[i].cost, _LOCAL_END, i)


@_compiled
def _start_handler(m: _Model, now: int, c: int) -> None:
    """A handler starts where an interrupt is pending, none runs and interrupts are on."""
    cpu = m.cpus[c]
    if not cpu.pending or cpu.handler_since != _NONE or cpu.off:
        return
    cpu.pending = 0
    cpu.handler_since = now
    cpu.handlers += 1
    m.counts[0].handlers_running += 1
    if cpu.doing == _COMPUTES:
        ran = now - cpu.since
        paid = min(cpu.debt, ran)
        cpu.debt -= paid
        cpu.work -= ran - paid
        if cpu.debt + cpu.work == 0:
            cpu.doing = _BETWEEN
            cpu.step_due = 1
    _push(m, now + m.entry, _TAKE, c)


@_compiled
def _run_next_function(m: _Model, now: int, c: int) -> None:
    """The handler runs the function of the call at the head of what it has taken, or ends."""
    cpu = m.cpus[c]
    if cpu.taken > 0:
        _push(m, now + m.cpus[m.queues[c, cpu.head]].cost, _ACK, c)
    else:
        _push(m, now + m.exit, _EXIT, c)


@_compiled
def _acknowledge(m: _Model, now: int, c: int) -> None:
    """A function ends: its call is acknowledged, which its initiator may be waiting for."""
    cpu = m.cpus[c]
    i = m.queues[c, cpu.head]
    cpu.head = cpu.head + 1 if cpu.head + 1 < m.queues.shape[1] else 0
    cpu.queued -= 1
    cpu.taken -= 1
    m.targets[m.cpus[i].slot, c] = _ANSWERED
    if m.cpus[i].full:
        cpu.debt = m.refill
    if m.cpus[i].awaited == c:
        m.cpus[i].awaited = _NONE
        _push(m, now + m.line[m.codes[i, c]], _VISIT, i)
    _run_next_function(m, now, c)


@_compiled
def _exit(m: _Model, now: int, c: int) -> None:
    """A handler ends: another one starts, or the task goes on."""
    cpu = m.cpus[c]
    cpu.stolen += now - cpu.handler_since
    cpu.handler_since = _NONE
    m.counts[0].handlers_running -= 1
    cpu.since = now
    _start_handler(m, now, c)
    if cpu.handler_since != _NONE:
        return
    if cpu.step_due:
        cpu.step_due = 0
        _push(m, now, _STEP, c)
    elif cpu.doing == _COMPUTES:
        _go_on_computing(m, now, c)


@_compiled
def _go_on_computing(m: _Model, now: int, c: int) -> None:
    """Have the end of the compute on the heap; one that is there already is looked at in time."""
    cpu = m.cpus[c]
    cpu.since = now
    if not cpu.end_on_heap:
        cpu.end_on_heap = 1
        _push(m, now + cpu.debt + cpu.work, _COMPUTE_END, c)


@_compiled
def _end_compute(m: _Model, now: int, c: int) -> None:
    """A compute ends, unless handlers have pushed its end back since it was put on the heap."""
    cpu = m.cpus[c]
    cpu.end_on_heap = 0
    if cpu.doing != _COMPUTES or cpu.handler_since != _NONE:
        return
    if cpu.since + cpu.debt + cpu.work > now:
        cpu.end_on_heap = 1
        _push(m, cpu.since + cpu.debt + cpu.work, _COMPUTE_END, c)
        return
    cpu.debt = 0
    cpu.doing = _BETWEEN
    _push(m, now, _STEP, c)


@_compiled
def _look_for_answer(m: _Model, now: int, i: int) -> None:
    """The initiator looks at its next target: reads its answer, or waits; the last one ends it."""
    c = m.cpus[i].next
    if c == len(m.cpus):
        _push(m, now, _STEP, i)
    elif m.targets[m.cpus[i].slot, c] == _ANSWERED:
        _push(m, now + m.line[m.codes[i, c]], _VISIT, i)
    else:
        m.cpus[i].awaited = c


@_compiled
def _end_local(m: _Model, now: int, i: int) -> None:
    """The local function ends: interrupts are on again, and the initiator begins to look."""
    cpu = m.cpus[i]
    cpu.off = 0
    if cpu.full:
        cpu.debt = m.refill
    _start_handler(m, now, i)
    cpu.next = _after(m, i, 0)
    _look_for_answer(m, now, i)


@_compiled
def _step(m: _Model, now: int, c: int) -> None:
    """The task steps until it has to wait; not while a handler runs on its CPU."""
    cpu = m.cpus[c]
    if cpu.handler_since != _NONE:
        cpu.step_due = 1
        return
    if cpu.doing == _CALLS:
        cpu.doing = _BETWEEN
        ended = m.counts[0].calls_ended
        m.counts[0].calls_ended += 1
        m.ended[ended, 0] = c
        m.ended[ended, 1] = cpu.start
        m.ended[ended, 2] = now
    while cpu.doing == _BETWEEN:
        if cpu.at == m.bounds[c + 1]:
            cpu.at = m.bounds[c]
            cpu.rounds -= 1
            if cpu.rounds <= 0 or m.bounds[c] == m.bounds[c + 1]:
                cpu.doing = _ENDED
                m.counts[0].awaited_tasks -= m.counted[c]
                return
        doing, length, full = m.steps[cpu.at, 0], m.steps[cpu.at, 1], m.steps[cpu.at, 2]
        cpu.at += 1
        if doing == _CALLS:
            cpu.doing = _CALLS
            cpu.start, cpu.cost, cpu.full, cpu.off = now, length, full, 1
            cpu.next = _after(m, c, 0)
            m.targets[cpu.slot, :] = _NOTHING
            _push(m, now + m.queue, _QUEUE, c)
        elif cpu.debt + length > 0:
            cpu.doing = _COMPUTES
            cpu.work = length
            _go_on_computing(m, now, c)


@_compiled
def _run(m: _Model) -> None:
    """Take event after event until the tasks that count have ended, and the last handler."""
    for c in range(len(m.cpus)):
        _push(m, 0, _STEP, c)
    while m.counts[0].on_heap and (m.counts[0].awaited_tasks or m.counts[0].handlers_running):
        now, order = _pop(m)
        kind, c = order >> _CPU_BITS, order & ((1 << _CPU_BITS) - 1)
        if kind == _QUEUE:
            _queue(m, now, c)
        elif kind == _ARRIVE:
            m.cpus[c].pending = 1
            _start_handler(m, now, c)
        elif kind == _SEND:
            _send(m, now, c)
        elif kind == _LOCAL_END:
            _end_local(m, now, c)
        elif kind == _TAKE:
            m.cpus[c].taken = m.cpus[c].queued
            _run_next_function(m, now, c)
        elif kind == _ACK:
            _acknowledge(m, now, c)
        elif kind == _EXIT:
            _exit(m, now, c)
        elif kind == _VISIT:
            m.cpus[c].next = _after(m, c, m.cpus[c].next + 1)
            _look_for_answer(m, now, c)
        elif kind == _COMPUTE_END:
            _end_compute(m, now, c)
        else:
            _step(m, now, c)
