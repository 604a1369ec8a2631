"""Random machines and programs, from any source of choices.

The same generator serves the seeded fuzz script and the property tests, which differ in the
`Source` alone. Costs mostly lie on a coarse grid, so that many things happen at one instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from pmsim.constants import Constant, Kind, declarations
from pmsim.hardware.costs import IdleState, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.host import BARE_METAL, Host
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS, SHIPPED
from pmsim.hardware.topology import ByDistance, Topology
from tests.reference.examples import OWN
from tests.reference.program import Program, Result, Step, TaskSpec

T = TypeVar("T")

NEVER = 10**9
"""A quantum that no random program reaches."""


TASTES = (
    ("compute", "compute", "irqs_off", "flush_kernel", "free_tables", "call", "others"),
    ("flush_kernel", "free_tables", "call"),
    ("compute", "call"),
    ("compute", "compute", "irqs_off", "call"),
    ("compute", "irqs_off", "free_tables", "flush_kernel"),
    ("compute", "invalidate", "call", "irqs_off"),
    ("kernel", "user", "flush_user", "flush_own", "flush_kernel"),
    ("kernel", "compute", "flush_kernel", "invalidate", "flush_user"),
    ("compute", "coherent", "directory", "call", "invalidate"),
    ("user", "user", "flush_kernel", "flush_kernel", "compute"),
    ("user", "user", "user", "flush_kernel", "call", "irqs_off"),
    ("compute", "irqs_off", "flush_cold", "call"),
    ("user", "free", "free", "compute"),
    ("user", "compute", "free", "call", "irqs_off", "flush_kernel"),
)
"""What a program's plain steps are chosen from."""

USER_TASTES = (
    ("compute", "flush_user", "flush_user", "flush_kernel"),
    ("compute", "irqs_off", "flush_user", "flush_cold", "call"),
    ("user", "user", "flush_user", "flush_kernel"),
    ("flush_user", "flush_kernel", "invalidate", "kernel", "compute"),
)
"""The same where flushes of user space leave out who does not run."""

OF_THE_KERNEL = ("request_lines",)
"""Constants that no part of the machine reads."""

BROADCAST_TASTES = (
    ("compute", "compute", "invalidate"),
    ("compute", "compute", "invalidate", "flush_kernel"),
)
"""The same where CPUs are to stand still for long, and while much else happens to them."""


SERVED = ("operation", "everything", "barrier")
"""What a server takes, which is stretched where CPUs are to stand still for long."""

WILD = (
    "mutex_lock",
    "mutex_unlock",
    "spin_lock",
    "spin_unlock",
    "preempt_off",
    "preempt_on",
)
"""What may stand anywhere, right or wrong."""

ATOMIC = ("spin", "preempt")
"""Sections in which a task must not sleep."""

HIGHEST = {"tick": 12, "trap": 3, "entry": 3, "barrier": 3, "everything": 4, "recovery": 6}
"""The most steps of the grid that a time takes, where it is not 2."""

FARTHEST = {"delivery": (10,), "round_trip": (6,)}
"""The same of tables by distance, one of these."""


class Source(Protocol):
    """Where choices come from."""

    def integer(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""

    def chance(self, percent: int) -> bool:
        """Return true in so many cases of a hundred."""


def random_program(source: Source, max_cpus: int = 5) -> Program:
    """Return a random program on a random machine."""
    return _Generator(source, max_cpus).program()


def random_cut(source: Source, program: Program, result: Result) -> Program:
    """Return the program cut by a duration at, or next to, an instant where something happens."""
    instants = {result.end, *result.task_ends.values()}
    for call in result.calls:
        instants |= {call.start, call.end, *call.acks.values()}
        instants |= {call.served} if call.served is not None else set()
    instant = source.choice(sorted(instants))
    offset = source.choice((0, 0, 1, -1, program.exit, -program.entry))
    return replace(program, duration=max(1, instant + offset))


class _Generator:
    def __init__(self, source: Source, max_cpus: int) -> None:
        self.source = source
        self.max_cpus = max_cpus
        self.grid = source.choice((100, 50, 50, 10, 1))
        self.odd = source.chance(15)
        self.locks = source.integer(1, 2)
        self.wild = source.chance(15)  # lock orders and releases may be wrong
        self.lock_percent = source.choice((10, 25, 50)) if not self.wild else 50
        self.sleep_percent = source.choice((5, 20, 40))
        self.contended = source.chance(30)  # most of a program is waiting for mutexes
        self.sleeping_locks = source.choice((("mutex",), ("mutex",), ("write", "read", "read")))
        self.compute_percent = 0
        if self.contended:
            self.locks = source.integer(1, 3)
            self.lock_percent = 70
            self.compute_percent = source.choice((0, 30, 70))
        self.stretch = source.choice((1, 1, 4))  # of the service of invalidations
        self.operations = source.choice(TASTES if self.stretch == 1 else BROADCAST_TASTES)

    def time(self, low: int, high: int) -> int:
        """Return a time from ``low`` to ``high`` steps of the grid."""
        on_grid = self.grid * self.source.integer(low, high)
        return on_grid + (self.source.integer(0, self.grid) if self.odd else 0)

    def program(self) -> Program:
        topology = self.topology()
        shootdown = self.shootdown()
        host = self.host(topology.n_cpus)
        if shootdown.value("ack") == "entry":
            # When such a function is gone that a drop delays is known too late (section 10).
            host = replace(host, pv_flush=False)
        if shootdown.protocol.drops_at == "tick":
            host = replace(host, overcommit=1, pv_flush=False)  # refused with any other
        if shootdown.protocol.own is not None:
            host = replace(host, pv_flush=False)
        if host.pv_flush:
            self.operations = self.source.choice(USER_TASTES)
        costs = self.costs(topology.n_cpus)
        if shootdown.protocol.drops_at == "tick":
            costs = self.with_time_between_ticks(costs, host, topology.n_cpus)
        return Program(
            topology=topology,
            costs=costs,
            tasks=self.tasks(topology.n_cpus),
            order=self.source.choice(("concurrent", "serial")),
            ceiling=self.source.choice((33, 2)),
            jitter=self.jitter(),
            shootdown=shootdown,
            host=host,
            isolated=tuple(c for c in range(topology.n_cpus) if self.source.chance(60)),
            drops_all=self.source.chance(10),
            repeat_sync=self.repeat_sync() if shootdown == BY_INTERRUPTS else "none",
        )

    def with_time_between_ticks(self, costs: MachineCosts, host: Host, n_cpus: int) -> MachineCosts:
        """Return costs of ticks so rare that CPUs come to something else."""
        assert costs.latr is not None
        busy = costs.ipi.entry + host.inject + costs.ipi.exit
        busy += n_cpus * costs.latr.scan + 4 * costs.latr.sweep
        period = max(costs.latr.tick, self.source.choice((2, 3, 5)) * busy)
        return replace(costs, latr=replace(costs.latr, tick=period))

    # -- the machine --------------------------------------------------------------------------

    def topology(self) -> Topology:
        source = self.source
        cpus = source.integer(1, self.max_cpus)
        if cpus == 1 and source.chance(80):
            cpus = min(3, self.max_cpus)  # alone on the machine, there is not much to call
        packages, dies, cores, threads = (source.choice((1, 1, 2, 3)) for _ in range(4))
        bare = Topology(packages, dies, cores, threads, cpus=cpus)
        if not source.chance(30):
            return bare
        numbers = range(bare.n_packages)
        hops = tuple(tuple(0 if p == q else source.integer(1, 3) for q in numbers) for p in numbers)
        return replace(bare, hops=hops)

    def costs(self, n_cpus: int) -> MachineCosts:
        of_protocols = {one.name: self.group(one.costs, n_cpus) for one in SHIPPED}
        own = tuple(self.group(one.costs, n_cpus) for one in OWN.values())
        tlb, sched = self.tlb(), self.sched()
        if sched.quantum <= tlb.entries * tlb.walk:
            # Where each preemption empties a TLB, a task that refills for a quantum never ends.
            tlb = replace(tlb, walk=0)
        return MachineCosts(tlb=tlb, sched=sched, idle=self.idle(), own=own, **of_protocols)

    def shootdown(self) -> Shootdown:
        """Return a protocol that interrupts, or has ticks, with any of its options."""
        calls = [one for one in SHIPPED if one.interrupts or one is LATR]
        protocol = self.source.choice(calls)
        if self.source.chance(8):
            protocol = self.source.choice(list(OWN.values()))
        options = {
            option.name: self.source.choice([value.name for value in option.values])
            for option in protocol.options
        }
        return with_options(protocol, options)

    def host(self, n_cpus: int) -> Host:
        """Return what the machine is a guest of, most of the time nothing that costs."""
        if not self.source.chance(40):
            return BARE_METAL
        host = Host(exit=self.time(0, 3), kick=self.time(0, 2), inject=self.time(0, 4))
        overcommit = self.source.choice((1, 2, 2, 3, 4))
        if overcommit == 1:
            return host
        turns = replace(
            host, overcommit=overcommit, slice=self.time(1, self.source.choice((3, 20, 60)))
        )
        return replace(
            turns,
            phases=tuple(self.phase(turns.period) for _ in range(n_cpus)),
            pv_flush=self.source.chance(60),
        )

    def phase(self, period: int) -> int:
        """Return when a turn begins: on the grid, or anywhere."""
        if self.source.chance(50):
            return self.grid * self.source.integer(0, (period - 1) // self.grid)
        return self.source.integer(0, period - 1)

    def repeat_sync(self) -> str:
        """Return what of invalidations is repeated."""
        return self.source.choice(("none", "none", "per_sync", "per_operation"))

    def group(self, group: type, n_cpus: int) -> Any:
        """Return costs of any group, constant by constant; a cost that is 0 is common."""
        return group(
            **{
                one.field: self.constant(one.field, one.note, n_cpus)
                for one in declarations(group)
                if isinstance(one.note, Constant) and one.field not in OF_THE_KERNEL
            }
        )

    def constant(self, name: str, constant: Constant, n_cpus: int) -> Any:
        match constant.kind:
            case Kind.TIME:
                stretch = self.stretch if name in SERVED else 1
                return self.time(constant.least, HIGHEST.get(name, 2) * stretch)
            case Kind.TIME_BY_DISTANCE:
                return self.by_distance(self.source.choice(FARTHEST.get(name, (0, 2))))
            case Kind.COUNT:
                return self.source.choice((1, 1, 2, 3, n_cpus))
            case Kind.SHARE:
                return self.source.choice((0, 250_000, 500_000, 1_000_000, 333_333))
            case Kind.SWITCH:
                # Operations on ranges are the kernel's arithmetic.
                return name in ("shorthand", "own_barrier") and self.source.chance(30)
            case Kind.JITTER:
                return None  # drawn beside the costs: both implementations are given the delays
        raise ValueError(f"no program draws a constant of the kind {constant.kind}")

    def by_distance(self, high: int) -> ByDistance:
        if self.source.chance(30):
            high *= 4
        near, thread, core, die, package = (self.time(0, high) for _ in range(5))
        return near, thread, core, die, package

    def tlb(self) -> TlbCosts:
        return TlbCosts(
            invlpg=self.time(0, 1),
            flush_all=self.time(0, 5),
            walk=self.time(0, 2),
            entries=self.source.integer(0, 4),
            kernel_entries=self.source.integer(0, 3),
            flush_fixed=self.time(0, 1),
            flush_user=self.time(0, 2),
            sync_core=self.time(0, 2),
        )

    def sched(self) -> SchedCosts:
        return SchedCosts(
            quantum=self.time(1, 10) if self.source.chance(70) else NEVER,
            context_switch=self.time(0, 2),
            wakeup=self.time(0, 3),
            mutex=self.source.choice(("adaptive",) * 4 + ("sleeping",)),
        )

    def idle(self) -> tuple[IdleState, ...]:
        count = self.source.choice((0, 1, 2, 3))
        residencies = sorted(self.time(0, 8) for _ in range(count))
        exits = [self.time(0, 6) for _ in range(count)]
        return tuple(
            IdleState(f"C{k}", exit=exits[k], residency=residencies[k]) for k in range(count)
        )

    def jitter(self) -> tuple[int, ...]:
        if not self.source.chance(30):
            return ()
        return tuple(self.time(0, 8) for _ in range(self.source.integer(1, 7)))

    # -- the tasks ----------------------------------------------------------------------------

    def tasks(self, n_cpus: int) -> tuple[TaskSpec, ...]:
        source = self.source
        counts = (0, 1, 1, 1, 2, 3) if not self.contended else (1, 1, 2, 2, 3)
        counts = counts if n_cpus <= 8 else (0,) * (n_cpus // 4) + (1, 1, 2)
        cpus = [c for c in range(n_cpus) for _ in range(source.choice(counts))]
        numbers = list(range(len(cpus)))
        if source.chance(50):
            numbers.reverse()
        return tuple(
            TaskSpec(cpu, number, source.integer(0, 5), tuple(self.steps(cpu, n_cpus)))
            for cpu, number in zip(cpus, numbers, strict=True)
        )

    def steps(self, cpu: int, n_cpus: int) -> list[Step]:
        steps: list[Step] = []
        for _ in range(self.source.integer(1, 6)):
            steps += self.some_steps(cpu, n_cpus, may_sleep=True, free=range(self.locks))
        return steps

    def some_steps(self, cpu: int, n_cpus: int, may_sleep: bool, free: Sequence[int]) -> list[Step]:
        """Return a step, or a section under a lock; ``free`` are the locks not yet held."""
        source = self.source
        if self.wild and source.chance(5):
            operation = source.choice(WILD)
            return [(operation, source.integer(0, self.locks - 1))]
        if free and source.chance(self.lock_percent):
            return self.section(cpu, n_cpus, may_sleep, free)
        if may_sleep and source.chance(self.sleep_percent):
            return [("sleep", self.time(0, 6))]
        if source.chance(self.compute_percent):
            return [("compute", self.time(0, 8))]
        return [self.plain_step(cpu, n_cpus)]

    def section(self, cpu: int, n_cpus: int, may_sleep: bool, free: Sequence[int]) -> list[Step]:
        """Return steps under a lock, or with preemption off.

        Locks nest in ascending order unless things are wild.
        """
        sleeping = self.sleeping_locks * (7 if self.contended else 1)
        kind = self.source.choice((*sleeping, *ATOMIC) if may_sleep else ATOMIC)
        lock = self.source.choice(free)
        inner_free = [n for n in free if (n != lock if self.wild else n > lock)]
        inner: list[Step] = []
        for _ in range(self.source.integer(0, 3)):
            inner += self.some_steps(cpu, n_cpus, may_sleep and kind not in ATOMIC, inner_free)
        if kind == "preempt":
            return [("preempt_off", None), *inner, ("preempt_on", None)]
        if kind == "write" and self.source.chance(30):
            inner += [("downgrade", lock)]
            inner += self.some_steps(cpu, n_cpus, may_sleep, inner_free)
            return [("write_lock", lock), *inner, ("read_unlock", lock)]
        return [(f"{kind}_lock", lock), *inner, (f"{kind}_unlock", lock)]

    def plain_step(self, cpu: int, n_cpus: int) -> Step:
        source = self.source
        match source.choice(self.operations):
            case "compute" | "user" | "kernel" as operation:
                return operation, self.time(0, 20)
            case "irqs_off":
                return "irqs_off", self.time(0, 8)
            case "flush_kernel":
                return "flush_kernel", self.pages()
            case "coherent" | "directory" as operation:
                pages = self.source.choice((-1, self.pages()))
                if source.chance(50):
                    return operation, pages
                others = [c for c in range(n_cpus) if c != cpu]
                return operation, (pages, tuple(c for c in others if source.chance(40)))
            case "free_tables" | "invalidate" as operation:
                return operation, self.pages()
            case "flush_user" | "flush_cold" | "flush_own" as operation:
                return operation, self.pages()
            case "call" | "free" as operation:
                others = [c for c in range(n_cpus) if c != cpu]
                return operation, (self.pages(), tuple(c for c in others if source.chance(50)))
        return source.choice((("sync_core", None), ("empty", self.time(0, 3))))

    def pages(self) -> int:
        return self.source.choice((0, 1, 1, 2, 3, 34, 34))
