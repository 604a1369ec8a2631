"""What both implementations are given to run, and what they have to agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pmsim.hardware.costs import CrosscallOrder, MachineCosts
from pmsim.hardware.host import BARE_METAL, Host
from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS, calls_of
from pmsim.hardware.topology import Topology
from tests.reference.turns import Turns, always

Step = tuple[str, object]
"""An operation and its argument.

============== ==================== ===========================================================
operation      argument             what the task does
============== ==================== ===========================================================
compute        ps                   needs that much CPU time
user           ps                   the same, in user mode
kernel         ps                   needs that much CPU time for the kernel's own work
irqs_off       ps                   holds the CPU for exactly that long, interrupts off
sleep          ps                   gives the CPU up; a timer wakes it
flush_kernel   pages                calls the flush of so many pages on every other CPU
free_tables    pages                the same, and frees page tables behind it
flush_user     pages                calls the flush of so many pages of user space
flush_cold     pages                the same, and takes `queue` longer there than here
flush_own      pages                flushes so many pages of user space on its own CPU alone
call           (pages, targets)     as flush_kernel, on some CPUs only
free           (pages, targets)     frees pages of user space that some CPUs may hold
sync_core      None                 calls a serialising instruction on every other CPU
empty          ps                   calls a function of that cost on every other CPU
invalidate     pages                has the interconnect invalidate them, or everything (0)
coherent       pages[, holders]     changes them (-1: everything) where TLBs follow stores
directory      pages[, holders]     the same where a directory tells the holders
mutex_lock     number of the lock   mutexes, semaphores and spinlocks are numbered apart
mutex_unlock   number of the lock
write_lock     number of the lock   takes a reader-writer semaphore to write
write_unlock   number of the lock
downgrade      number of the lock   goes on as a reader
read_lock      number of the lock   takes it to read
read_unlock    number of the lock
spin_lock      number of the lock
spin_unlock    number of the lock
preempt_off    None                 keeps its CPU; it nests
preempt_on     None                 takes that back once
============== ==================== ===========================================================
"""


@dataclass(frozen=True)
class TaskSpec:
    """One task: where it lives, its number (unique in a program), and its steps."""

    cpu: int
    number: int
    working_set: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Program:
    """A machine and what runs on it.

    ``jitter`` is what the run's stream of jitter yields, one number per target of each call in
    the order of the calls' starts, repeated from its beginning when it is used up; without any,
    no delivery jitters. ``duration`` cuts the run; without one it runs until done. ``shootdown`` is
    how cross-calls are made, ``host`` what the machine is a guest of. ``repeat_sync`` is what of an
    invalidation is repeated; where anything is, cross-calls are made in the ordinary way.
    ``drops_all``: operations on pages drop everything. ``isolated`` are the CPUs that may be left
    out of calls where flushes are deferred.
    """

    topology: Topology
    costs: MachineCosts
    tasks: tuple[TaskSpec, ...]
    order: CrosscallOrder = "concurrent"
    ceiling: int = 33
    jitter: tuple[int, ...] = ()
    duration: int | None = None
    shootdown: Shootdown = BY_INTERRUPTS
    host: Host = BARE_METAL
    repeat_sync: str = "none"
    drops_all: bool = False
    isolated: tuple[int, ...] = ()

    @property
    def call_costs(self) -> Any:
        """What a cross-call costs: the group of its protocol."""
        return self.shootdown.protocol.call_costs_on(self.costs)

    @property
    def defers(self) -> str:
        """What may be deferred: nothing, ``purge`` or ``all``."""
        return self.shootdown.value("defers")

    def turns(self, cpu: int) -> Turns:
        """Return when a CPU runs; a host that freezes CPUs has a phase for each."""
        host = self.host
        if not host.freezes:
            return always()
        return Turns(host.phases[cpu] % host.period, host.slice, host.period)

    @property
    def ticks(self) -> LatrCosts | None:
        """What ticks cost at which CPUs drop what was freed, if they do."""
        return self.costs.latr if self.shootdown.protocol.drops_at == "tick" else None

    @property
    def drops_on_entry(self) -> bool:
        """Whether isolated CPUs drop everything as they enter the kernel from user mode."""
        return self.shootdown.protocol.drops_at == "kernel_entry"

    @property
    def send(self) -> int:
        """What a write that sends takes: the firmware and the host have a part in it."""
        costs = self.call_costs
        return int(costs.send + getattr(costs, "ecall", 0) + self.host.exit)

    @property
    def entry(self) -> int:
        """What lies between a handler's start and its look into the queue."""
        return int(getattr(self.call_costs, "entry", 1) + self.host.inject)

    @property
    def exit(self) -> int:
        """What lies between a handler's last function and its end."""
        return int(getattr(self.call_costs, "exit", 0))

    @property
    def has_shorthand(self) -> bool:
        """Whether one write tells all other CPUs, of a call of just these."""
        chosen = calls_of(self.shootdown).value("shorthand")
        if chosen == "native":
            return bool(getattr(self.call_costs, "shorthand", False))
        return chosen == "true"

    def reached_by_a_write(self, n: int) -> int:
        """Return how many consecutive CPUs one write reaches, in a call of ``n`` others."""
        n_cpus = self.topology.n_cpus
        all_at_once = self.has_shorthand and n == n_cpus - 1
        return n_cpus if all_at_once else getattr(self.call_costs, "fanout", 1)

    @property
    def jitters(self) -> bool:
        """Whether deliveries jitter: the protocol's may, and there are numbers to draw."""
        return bool(self.jitter) and hasattr(self.call_costs, "jitter")


class JitterStream:
    """The numbers of `Program.jitter`, handed out ``n`` at a time."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers
        self.used = 0

    def __call__(self, n: int) -> list[int]:
        """Return the next ``n`` numbers."""
        if not self.numbers:
            return [0] * n
        drawn = [self.numbers[(self.used + k) % len(self.numbers)] for k in range(n)]
        self.used += n
        return drawn


@dataclass(frozen=True)
class CallRecord:
    """One cross-call or invalidation that ended.

    ``acks`` says when each target of a call acknowledged, ``served`` when the service of an
    invalidation ended. ``gone`` says when the last CPU had dropped what it was about: None where
    nothing was, or where that is not in the run.
    """

    cpu: int
    task: int
    start: int
    end: int
    acks: dict[int, int]
    served: int | None = None
    gone: int | None = None


@dataclass(frozen=True)
class CpuAccount:
    """Where one CPU's time went.

    ``refill`` is the part of ``busy`` that paid debts; ``lock_spin`` that of ``spin`` for locks;
    ``awake`` that of ``stolen`` in which no task was there, and ``woken`` how many handlers, or
    wakings up for one, began then. ``frozen`` is the time in which the CPU did not run.
    """

    busy: int
    spin: int
    irqs_off: int
    stolen: int
    idle: int
    refill: int
    handlers: int
    lock_spin: int = 0
    awake: int = 0
    woken: int = 0
    frozen: int = 0


@dataclass(frozen=True)
class Result:
    """All that the two implementations must agree on, to the picosecond.

    ``calls`` are sorted by start, CPU and task; ``task_ends`` maps a task's number to its end.
    """

    end: int
    calls: tuple[CallRecord, ...]
    cpus: tuple[CpuAccount, ...]
    task_ends: dict[int, int]


def in_order(calls: list[CallRecord]) -> tuple[CallRecord, ...]:
    """Return calls as `Result` holds them."""
    return tuple(sorted(calls, key=lambda call: (call.start, call.cpu, call.task)))
