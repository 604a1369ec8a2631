"""Cross-calls in a trace: from the queue of each target to the end of the function there.

Events ``csd:csd_queue_cpu``, ``csd_function_entry`` and ``csd_function_exit`` (6.6 on,
kernel/smp.c), ``ipi:ipi_send_cpu`` and ``ipi_send_cpumask`` (6.4 on, include/trace/events/ipi.h),
``irq_vectors:call_function_entry`` and ``call_function_single_entry`` (x86). The initiator queues a
call at each target, sends interrupts to those whose queue was empty, runs the function itself, and
waits. A target whose queue was not empty gets no interrupt: the call is coalesced.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from pmsim.cpulist import cpus_of
from pmsim.imports.spread import Spread
from pmsim.readers.formats import MOST_CPUS

IDLE: Final = b"<idle>"
"""What ftrace calls the idle task; perf says ``swapper``."""
IDLE_NAMES: Final = (IDLE, b"swapper")
SCHEDULER: Final = ("sched_ttwu_pending", "nohz_csd_func")
"""Functions by which the scheduler wakes tasks and CPUs (kernel/sched/core.c)."""
SLOWEST: Final = 10
"""Deliveries that are kept one by one: the slowest."""
MOST_PENDING: Final = 1 << 16
"""Calls that may be under way at once; beyond, their ends are lost, and all are given up."""
ENOUGH_TO_TELL: Final = 20
"""Functions that a CPU ran for others from which on they tell whether it is mostly idle."""
MOST_FUNCTIONS: Final = 1 << 12
"""Functions that are told apart; calls of further ones are those of *others*."""
MOST_TASKS: Final = 1 << 12
"""Names of interrupted tasks that are told apart on one CPU."""

_QUEUED: Final = re.compile(rb"cpu=(\d+).* func=([\w.]+).* csd=0*(\S*)")
_RUN: Final = re.compile(rb"func=([\w.]+).*,? csd=0*(\S*)")
_SENT: Final = re.compile(rb"cpu=(\d+).* callback=(\w+)")
_SENT_MASK: Final = re.compile(rb"cpumask=(\S*).* callback=(\w+)")
_CALL_INTERRUPTS: Final = (
    b"generic_smp_call_function_single_interrupt",
    b"generic_smp_call_function_interrupt",
)
_NO_CALLBACK: Final = (b"0x0", b"NULL", b"")
"""What stands for the callback where the scheduler interrupts a CPU."""
_WORD: Final = 8
"""Hexadecimal digits between the commas of a mask."""


@dataclass(slots=True)
class Call:
    """A function that a CPU has others run.

    Attributes
    ----------
    function, initiator
        Which, and whose CPU.
    queued_ps, sent_ps
        When it was queued first, and when its last interrupt was sent; that is 0 where none was.
    targets
        CPUs in whose queue it is.
    left
        How many have not run it yet.
    interrupted
        Those that were sent an interrupt for it.
    closed
        Whether the initiator has queued it everywhere.
    """

    function: str
    initiator: int
    queued_ps: int
    sent_ps: int = 0
    targets: set[int] = field(default_factory=set)
    left: int = 0
    interrupted: set[int] = field(default_factory=set)
    closed: bool = False


@dataclass(slots=True)
class Function:
    """What is known of one function that CPUs have others run.

    Attributes
    ----------
    calls, queued, interrupts
        Calls, the targets in whose queues they were, and the interrupts sent for them.
    delay
        From queue to entry, of each target (ps).
    duration
        Of the function there (ps).
    whole
        From the last interrupt's sending to the last exit, of each call that was seen whole (ps).
    """

    calls: int = 0
    queued: int = 0
    interrupts: int = 0
    delay: Spread = field(default_factory=Spread)
    duration: Spread = field(default_factory=Spread)
    whole: Spread = field(default_factory=Spread)


@dataclass(slots=True)
class Target:
    """What one CPU ran for others.

    Attributes
    ----------
    functions, idle
        Functions that it ran for others, and how many of them while it was idle.
    sent
        Interrupts that were sent to it for calls.
    taken
        Interrupts that it took for calls, where the trace tells of them.
    rescheduled
        Interrupts of the scheduler that were sent to it.
    tasks
        What was interrupted, by name, idle left out.
    delay
        From queue to entry (ps).
    """

    functions: int = 0
    idle: int = 0
    sent: int = 0
    taken: int = 0
    rescheduled: int = 0
    tasks: dict[bytes, int] = field(default_factory=dict)
    delay: Spread = field(default_factory=Spread)


@dataclass(frozen=True, slots=True, order=True)
class Slow:
    """One of the slowest deliveries."""

    delay_ps: int
    at_ps: int
    number: int
    cpu: int
    initiator: int
    function: str
    task: bytes


class Calls:
    """All cross-calls of a trace.

    Attributes
    ----------
    functions, targets
        What is known by function, and by CPU.
    slowest
        The slowest deliveries, in no order.
    busy
        From queue to entry, of CPUs that were not idle and were sent an interrupt (ps).
    entry
        From the interrupt's entry to the first function, where the trace tells both (ps).
    unmatched
        Functions that ran for a call whose queueing is not in the trace.
    negative
        Deliveries that ended before they began: clocks of CPUs that differ.
    """

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.targets: dict[int, Target] = {}
        self.slowest: list[Slow] = []
        self.busy = Spread()
        self.entry = Spread()
        self.unmatched = 0
        self.negative = 0
        self._open: dict[int, Call] = {}
        self._pending: dict[tuple[bytes, int], tuple[int, Call]] = {}
        self._running: dict[int, tuple[int, Call | None, str]] = {}
        self._taken: dict[int, int] = {}
        self._numbers = count()

    @property
    def busy_cpus(self) -> tuple[int, ...]:
        """CPUs that most functions found running something, ascending; of enough functions."""
        return tuple(
            cpu
            for cpu, target in sorted(self.targets.items())
            if target.functions >= ENOUGH_TO_TELL and 2 * target.idle < target.functions
        )

    def target(self, cpu: int) -> Target:
        """Return what is known of a CPU."""
        found = self.targets.get(cpu)
        if found is None:
            found = self.targets[cpu] = Target()
        return found

    def lost(self, cpu: int) -> None:
        """Give up what is under way on a CPU of which events are missing."""
        self._open.pop(cpu, None)
        self._running.pop(cpu, None)
        self._taken.pop(cpu, None)
        for key in [key for key in self._pending if key[1] == cpu]:
            del self._pending[key]

    # Handlers of events.

    def csd_queue_cpu(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        """Note that a call is put into the queue of a CPU."""
        found = _QUEUED.search(rest)
        if found is None:
            return
        on, what, csd = int(found[1]), found[2].decode(), found[3]
        call = self._open.get(cpu)
        if call is None or call.closed or call.function != what or on in call.targets:
            call = self._open[cpu] = Call(what, cpu, time)
            self._function(what).calls += 1
        call.targets.add(on)
        call.left += 1
        self._function(what).queued += 1
        if len(self._pending) >= MOST_PENDING:
            self._pending.clear()
        self._pending[csd, on] = time, call

    def ipi_send_cpu(self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes) -> None:
        """Note that an interrupt is sent to a CPU."""
        found = _SENT.search(rest)
        if found is not None:
            self._sent(time, cpu, int(found[1]), found[2])

    def ipi_send_cpumask(
        self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note that an interrupt is sent to several CPUs at once."""
        found = _SENT_MASK.search(rest)
        if found is not None:
            targets = cpus_of_mask(found[1])
            if found[2] not in _CALL_INTERRUPTS:  # 6.4 names the function itself here
                known = self._function(found[2].decode())
                known.calls += 1
                known.queued += len(targets)
            for on in targets:
                self._sent(time, cpu, on, found[2])

    def _sent(self, time: int, cpu: int, on: int, callback: bytes) -> None:
        if callback in _NO_CALLBACK:
            self.target(on).rescheduled += 1
            return
        self.target(on).sent += 1
        call = self._open.get(cpu)
        if call is not None and on in call.targets:
            call.sent_ps = time
            call.interrupted.add(on)
            self._function(call.function).interrupts += 1

    def csd_function_entry(
        self, time: int, cpu: int, name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note that a CPU begins a function: for another one, or its own share of a call."""
        found = _RUN.search(rest)
        if found is None:
            return
        what, csd = found[1].decode(), found[2]
        if not csd:
            mine = self._open.get(cpu)
            if mine is not None and mine.function == what:
                mine.closed = True
            return
        target = self.target(cpu)
        target.functions += 1
        taken = self._taken.pop(cpu, None)
        if taken is not None and time >= taken:
            self.entry.add(time - taken)
        if name in IDLE_NAMES:
            target.idle += 1
        elif name in target.tasks or len(target.tasks) < MOST_TASKS:
            target.tasks[name] = target.tasks.get(name, 0) + 1
        queued = self._pending.pop((csd, cpu), None)
        if queued is None:
            self.unmatched += 1
            self._running[cpu] = time, None, what
            return
        self._running[cpu] = time, queued[1], what
        delay = time - queued[0]
        if delay < 0:
            self.negative += 1
            return
        known = what if what in self.functions else queued[1].function
        self._function(known).delay.add(delay)
        target.delay.add(delay)
        if name not in IDLE_NAMES and cpu in queued[1].interrupted:
            self.busy.add(delay)
        if len(self.slowest) < SLOWEST or delay > self.slowest[0].delay_ps:
            one = Slow(delay, time, next(self._numbers), cpu, queued[1].initiator, what, name)
            keep = heapq.heappush if len(self.slowest) < SLOWEST else heapq.heappushpop
            keep(self.slowest, one)

    def csd_function_exit(
        self, time: int, cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note that a CPU has run a function for another one."""
        found = _RUN.search(rest)
        if found is None or not found[2]:
            return
        began, call, what = self._running.pop(cpu, (0, None, ""))
        if what != found[1].decode():
            return
        known = self._function(what)
        known.duration.add(time - began)
        if call is None:
            return
        call.left -= 1
        if not call.left and call.sent_ps and time >= call.sent_ps:
            known.whole.add(time - call.sent_ps)

    def call_interrupt(
        self, time: int, cpu: int, _name: bytes, _flags: bytes, _rest: bytes
    ) -> None:
        """Note that a CPU takes an interrupt that was sent for calls."""
        self.target(cpu).taken += 1
        self._taken[cpu] = time

    def _function(self, what: str) -> Function:
        found = self.functions.get(what)
        if found is None:
            if len(self.functions) >= MOST_FUNCTIONS:
                what = "others"
            found = self.functions.setdefault(what, Function())
        return found


def cpus_of_mask(mask: bytes) -> list[int]:
    """Return the CPUs of a mask as the kernel writes it (``%*pb``) or trace-cmd does (a list).

    A call of one CPU alone is no mask, so that one number is a word of bits and no list.
    """
    text = mask.strip(b"{}[]").decode()
    words = text.split(",")
    if "-" in text or any(len(word) != _WORD for word in words[1:]):
        return list(cpus_of(text, MOST_CPUS))
    bits = int("".join(words).removeprefix("0x") or "0", 16)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]
