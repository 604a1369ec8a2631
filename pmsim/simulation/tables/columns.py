"""The tables of a result: every column declared once, with its unit and a sentence.

The schema of the Parquet files, the types of the data frames and the reference pages all come
from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Dtype = Literal["int", "float", "text", "bool"]
"""What a column holds: 64-bit integers, 64-bit floats, one of a few words, or true and false."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    name, dtype, unit, sentence
        What it is called, holds, is counted in, and means.
    nullable
        Whether a row may have none.
    """

    name: str
    dtype: Dtype
    unit: str
    sentence: str
    nullable: bool = False

    def arrow_type(self) -> pa.DataType:
        """Return the type of the column in Arrow."""
        import pyarrow as pa

        match self.dtype:
            case "int":
                return pa.int64()
            case "float":
                return pa.float64()
            case "bool":
                return pa.bool_()
            case "text":
                return pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is, and its columns."""

    name: str
    sentence: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns in order."""
        return tuple(column.name for column in self.columns)

    def schema(self) -> pa.Schema:
        """Return the Arrow schema, each field with its unit and sentence as metadata."""
        import pyarrow as pa

        fields = [
            pa.field(c.name, c.arrow_type(), c.nullable, {"unit": c.unit, "sentence": c.sentence})
            for c in self.columns
        ]
        return pa.schema(fields, {"sentence": self.sentence})


def _count(name: str, sentence: str, *, nullable: bool = False) -> Column:
    return Column(name, "int", "1", sentence, nullable)


def _time(name: str, sentence: str, *, nullable: bool = False) -> Column:
    return Column(name, "int", "ps", sentence, nullable)


def _text(name: str, sentence: str, *, nullable: bool = False) -> Column:
    return Column(name, "text", "", sentence, nullable)


def _pages(name: str, sentence: str, *, nullable: bool = False) -> Column:
    return Column(name, "int", "pages", sentence, nullable)


def _bytes(name: str, sentence: str) -> Column:
    return Column(name, "int", "B", sentence)


REPLICATION = _count("replication", "Number of the run, from 0.")

CPU_TIMES = (
    _time("busy_ps", "Computing, refill and context switches included."),
    _time(
        "spin_ps", "Spinning: for csd locks, spinlocks, mutexes, less what was stolen meanwhile."
    ),
    _time(
        "irqs_off_ps", "Interrupts off: windows, and enqueuing and sending the CPU's own IPI calls."
    ),
    _time(
        "stolen_ps", "Taken by handlers and by waking up for them, or stalled by TLB broadcasts."
    ),
    _time("idle_ps", "The rest."),
    _time("frozen_ps", "Not running: of a virtual CPU, when it was not its turn on the host."),
)
"""How a CPU's time splits, without gap or overlap."""

PARTS_OF_TIMES = (
    _time("lock_spin_ps", "The part of spin that waited for spinlocks and mutexes."),
    _time("awake_ps", "The part of stolen in which no task was there: an idle CPU, awake."),
    _count("woken", "Handlers that began while no task was there: how often idle CPUs were woken."),
)
"""What is told of some of these times beyond their sum."""

OPERATIONS = Table(
    "operations",
    "One row per operation of the kernel, nested ones too.",
    (
        REPLICATION,
        _count("id", "Number of the operation in its run, in order of beginning."),
        _count("parent", "The operation that called it.", nullable=True),
        _text("workload", "The workload, or the kernel's own task, that it ran for."),
        _text("kind", "The kernel's name of the operation."),
        _count("cpu", "Where it began."),
        _count("task", "Number of its task on that CPU."),
        _time("start_ps", "When it began."),
        _time("end_ps", "When it ended."),
        _pages("pages", "Pages it was about; 0 where it was about none."),
        _count(
            "page",
            "Number of the first page of the area that it allocated, freed or changed.",
            nullable=True,
        ),
        _count("crosscalls", "Shootdowns by it and the operations inside it."),
        _time("run_ps", "Computing of its own and of the operations inside it."),
        _time("lock_wait_ps", "Waiting for locks."),
        _time("crosscall_ps", "In shootdowns, from their start to the task's next step."),
        _time("delay_ps", "The rest: stolen, refilling the TLB, asleep, or waiting for the CPU."),
    ),
)

LATENCY_PARTS = (
    _time("queue_ps", "csd enqueue at every target; or waiting for the interconnect."),
    _time("send_ps", "Sending interrupts, up to that of the slowest target."),
    _time("delivery_ps", "From the interrupt's sending to its arrival; or the round trip."),
    _time("irqs_off_ps", "The slowest target had interrupts off."),
    _time("idle_exit_ps", "The slowest target woke from an idle state."),
    _time("busy_handler_ps", "The slowest target was still in a handler."),
    _time("ride_ps", "The call was coalesced: it waited for the interrupt of another call."),
    _time("entry_ps", "IRQ entry at the slowest target."),
    _time(
        "function_ps", "Functions run there, up to this call's end; or the operations themselves."
    ),
    _time("local_ps", "The initiator's own function, where that ended last."),
    _time("visit_ps", "The initiator visiting the csd locks that come after the slowest one."),
    _time(
        "frozen_ps",
        "The initiator, the slowest target or the latter's interrupt waited for a turn"
        " on the host.",
    ),
    _time("resume_ps", "A handler on the initiator's CPU before it could go on."),
)
"""The parts of a shootdown's latency; they add up to ``end_ps - start_ps``.

Of a TLB broadcast, which has no slowest target, the second meaning holds.
"""

CROSSCALLS = Table(
    "crosscalls",
    "One row per shootdown that ended, in order of its end: an IPI call, a firmware call or a TLB"
    " broadcast.",
    (
        REPLICATION,
        _count("cpu", "The initiator's CPU."),
        _count("task", "Number of the initiating task on that CPU."),
        _time("start_ps", "When the initiator began to enqueue it."),
        _time("end_ps", "When the initiator's task could take its next step."),
        _time(
            "gone_ps",
            "When the last CPU had dropped what it was about; none: nothing is dropped, or not in"
            " this run.",
            nullable=True,
        ),
        _text("protocol", "How the targets were told."),
        _text("kind", "What they did: full, range, sync_core or empty."),
        _text("cause", "Why the kernel asked for it."),
        _count("operation", "Id of the operation that made it.", nullable=True),
        _count("targets", "CPUs that had to answer, the initiator's own not counted."),
        _count(
            "left_out",
            "CPUs that were left out, to drop it later: isolated ones on their next entry, frozen"
            " ones when they next run.",
        ),
        _pages("pages", "The span asked for; none: everything.", nullable=True),
        _count("invalidations", "Operations (TLBI, INVLPGB) that the TLB broadcast consists of."),
        _count("slowest_cpu", "The target that was waited for last.", nullable=True),
        _text(
            "slowest_reason",
            "Why that one: distance, irqs_off, idle_exit, busy_handler, or ride (coalesced);"
            " frozen, where frozen_ps is not 0.",
        ),
        *LATENCY_PARTS,
    ),
)

CPUS = Table(
    "cpus",
    "One row per CPU; its times add up to the duration.",
    (
        REPLICATION,
        _count("cpu", "Number of the CPU."),
        *CPU_TIMES,
        _time("refill_ps", "The part of busy that refilled the TLB after full flushes."),
        _count("handlers", "Interrupt handlers run."),
        _count("crosscalls_sent", "Shootdowns that this CPU began."),
        _time(
            "holding_frozen_ps",
            "The part of frozen in which its tasks held a lock that others waited for.",
        ),
        *PARTS_OF_TIMES,
    ),
)

TIMELINE = Table(
    "timeline",
    "One row per interval: what happened in it on all CPUs together.",
    (
        REPLICATION,
        _time("start_ps", "Start of the interval."),
        _time("end_ps", "Its end."),
        _count("broadcasts", "Shootdowns that began in it, of any kind and way."),
        Column("broadcasts_per_s", "float", "1/s", "The same as a rate."),
        _count("full", "Of them full flushes."),
        _count("range", "Of them ranged flushes."),
        _count("sync_core", "Of them calls that only serialise the instruction stream."),
        _count("empty", "Of them calls that touch no TLB."),
        _count("targets", "CPUs called by them."),
        _count("handlers", "Interrupt handlers run."),
        *CPU_TIMES,
        _time("refill_ps", "The part of busy that refilled TLBs."),
        *PARTS_OF_TIMES,
        _time("windows_ps", "The part of irqs_off that workloads asked for."),
        _pages("lazy_pages", "Pages freed and not yet purged, at the interval's end."),
        _pages(
            "vmalloc_pages", "Taken of the vmalloc range then, guards and lazily freed included."
        ),
        _pages("vmalloc_hole_pages", "Its largest hole then."),
        _pages("modules_pages", "Taken of the modules' range, which may be the same, likewise."),
        _pages("modules_hole_pages", "Its largest hole then."),
    ),
)

CPU_TIMELINE = Table(
    "cpu_timeline",
    "One row per CPU and interval, for pictures of CPUs against time.",
    (
        REPLICATION,
        _time("start_ps", "Start of the interval."),
        _time("end_ps", "Its end."),
        _count("cpu", "Number of the CPU."),
        *CPU_TIMES,
    ),
)

TASKS = Table(
    "tasks",
    "One row per task of a workload, children that it forked included: what it got done.",
    (
        REPLICATION,
        _text("workload", "Name of the workload."),
        _text("kind", "Its kind."),
        _count("cpu", "The task's CPU."),
        _count("task", "Its number there."),
        _time("start_ps", "When it was ready: 0, or when it was forked."),
        _time("end_ps", "When it ended, or the run did."),
        Column("finished", "bool", "", "Whether it came to its own end."),
        _time("work_ps", "Compute time that a task of user work got.", nullable=True),
        _time("windows_ps", "Windows with interrupts off that it asked for."),
    ),
)

POOLS = Table(
    "pools",
    "One row per pool of protectable memory, as it stood when it was destroyed or the run ended.",
    (
        REPLICATION,
        _count("pool", "Number of the pool in its run, in order of creation."),
        _bytes("refill", "Growth at least, whole pages."),
        _bytes("align", "Alignment of its objects."),
        _text("mode", "What may be done to its protected memory, and when it is protected."),
        _count("areas", "Areas grown."),
        _pages("pages", "Their pages."),
        _count("allocations", "Objects handed out."),
        _bytes("requested", "Bytes asked for."),
        _bytes("slack", "Bytes lost to alignment, above each object."),
        _bytes("wasted", "Bytes left in an area that was too small for the next object."),
        _bytes("relinquished", "Bytes given up because their area was protected."),
        _count("protects", "Protections of the pool, those with nothing to do included."),
        _count("rare_writes", "Pages that rare writes changed, each as often as it was written."),
        Column("exposed_byte_s", "float", "B s", "Bytes allocated and writable, times how long."),
        Column(
            "writable_byte_s",
            "float",
            "B s",
            "The same up to the instant at which their page's entry was made read-only.",
        ),
        Column(
            "stale_byte_s",
            "float",
            "B s",
            "Bytes times how long from then on a TLB could still hold the old translation.",
        ),
        _time("stale_ps", "How long that was at most, of an area."),
        _time("stale_total_ps", "How long it was of all areas together."),
        _time(
            "closed_ps",
            "The part of that in which no CPU ran code that could have used it: all were in the"
            " handler, or in user mode.",
        ),
        Column("destroyed", "bool", "", "Whether the pool was destroyed within the run."),
    ),
)

FAULTS = Table(
    "faults",
    "One row per simulated fault: a write to protected memory, or a call that failed.",
    (
        REPLICATION,
        _time("at_ps", "When."),
        _text("workload", "Who."),
        _count("cpu", "Where."),
        _count("task", "Number of the task there."),
        _text("kind", "What kind of fault."),
        _text("address", "The address it was about, in hexadecimal.", nullable=True),
        _text("detail", "What happened, in words."),
    ),
)

OVERWRITES = Table(
    "overwrites",
    "One row per write of an attack on pools (workload overwrite), in order.",
    (
        REPLICATION,
        _time("at_ps", "When it began."),
        _text("workload", "Who."),
        _count("cpu", "Where."),
        _count("task", "Number of the task there."),
        _count("page", "Number of the page that it went to."),
        _count("offset", "Where in the page it began."),
        _text(
            "outcome",
            "landed: the page could be written; stale: it was read-only, but the CPU still held the"
            " old translation; faulted.",
        ),
    ),
)

VIOLATIONS = Table(
    "violations",
    "One row per CPU that could still use an old translation when the kernel relied on that it"
    " cannot, by when that began; 10,000 of a run at most.",
    (
        REPLICATION,
        _text(
            "kind",
            "write_after_protect: what a call revoked that has returned; use_after_free: pages or"
            " addresses that were given back; table_reuse: a page table that was.",
        ),
        _count("operation", "Id of the operation that relied on it.", nullable=True),
        _count(
            "area", "Number of the first page that it is about; none: of a process.", nullable=True
        ),
        _pages("pages", "How many pages it is about."),
        _count("cpu", "The CPU that could."),
        _time("from_ps", "From when on: the return, or the reuse."),
        _time("to_ps", "Up to when; none: to the end of the run.", nullable=True),
    ),
)

SAFETY = Table(
    "safety",
    "One row per run: how often a CPU could use what it must not, and what was trusted.",
    (
        REPLICATION,
        _count("write_after_protect", "Violations of that kind, one for each CPU."),
        _count("use_after_free", "The same."),
        _count("table_reuse", "The same."),
        _count(
            "trusted_areas",
            "Areas whose pages vfree gave back before any CPU had forgotten them: the kernel trusts"
            " itself not to touch them.",
        ),
        _pages("trusted_pages", "Their pages."),
        _pages("held_pages", "Freed pages of processes that waited for ticks (latr)."),
        Column("held_byte_s", "float", "B s", "Their bytes, times how long they were held back."),
    ),
)

DETAILED = "detail"
"""What column ``which`` of `ANATOMY` says of the calls that ``measure.detail`` asks for."""

LOCKS = Table(
    "locks",
    "One row per lock that a task waited for in a run; locks of one name are one.",
    (
        REPLICATION,
        _text("lock", "The lock."),
        _count("waits", "How often a task waited for it."),
        _time("waited_ps", "How long all did together, spinning or asleep, up to the run's end."),
        _time("longest_wait_ps", "The longest of these waits."),
        _text("waiter", "The workload that waited longest in all on one CPU, or a kernel's task."),
        _count("waiter_cpu", "That CPU."),
        _time("waiter_ps", "How long it waited there."),
        _time(
            "frozen_ps",
            "How long the CPUs of its holders were frozen while others waited: lock-holder"
            " preemption.",
        ),
        _time("held_ps", "The longest that one was held while others waited."),
        _text("holder", "The workload that held it then, or a kernel's task.", nullable=True),
        _count("holder_cpu", "On which CPU.", nullable=True),
        _text("doing", "In which operation.", nullable=True),
        _time("held_from_ps", "From when on."),
    ),
)

ANATOMY = Table(
    "anatomy",
    "One row per target of the median, the p99 and the slowest IPI call of a run, and of all that"
    " began in the part of it that measure.detail gives: every instant of it. The first two are"
    " calls whose latency is within a 32nd of that quantile (an eighth on more than 256 CPUs).",
    (
        REPLICATION,
        _text("which", "Which call: median, p99 or slowest; detail: one of that part."),
        _count("initiator", "The initiator's CPU."),
        _count("task", "Number of the initiating task on that CPU."),
        _time("start_ps", "When the initiator began to enqueue the call."),
        _time("end_ps", "When the initiator's task could take its next step."),
        _text("protocol", "How the targets were told."),
        _text("kind", "What they did: full, range, sync_core or empty."),
        _text("cause", "Why the kernel asked for it."),
        _count("operation", "Id of the operation that made it.", nullable=True),
        _time("told_ps", "When the call was in every queue (csd enqueue done)."),
        _time("all_sent_ps", "When the last interrupt had been sent."),
        _time("own_start_ps", "When the initiator began to run the function itself."),
        _time("own_end_ps", "When it had run it."),
        _time(
            "looks_ps",
            "When it began to wait for the csd locks in order; none: nobody waited for the call.",
            nullable=True,
        ),
        _time(
            "visited_ps", "When it had seen the last one unlocked; none: the same.", nullable=True
        ),
        _count("cpu", "The target's CPU."),
        _time("queued_ps", "When the call was in its queue."),
        _time(
            "sent_ps", "When its interrupt was sent; none: the call was coalesced.", nullable=True
        ),
        _time("arrives_ps", "When the interrupt was there; none: the same.", nullable=True),
        _text("reason", "Why the handler began when it did, or ride: the call was coalesced."),
        _time("handler_ps", "When the handler that took the call began."),
        _time("taken_ps", "When it drained the queue that the call was in."),
        _time(
            "frozen_ps",
            "How long the CPU did not run (frozen) before the handler began, from when the"
            " interrupt was there; of a coalesced call: before the drain, from when it was in the"
            " queue.",
        ),
        _time("runs_ps", "When the function began, after those of calls enqueued before."),
        _time(
            "ack_ps",
            "When the csd lock was released: when it was done, or as it began, if that was enough"
            " or nobody waited.",
        ),
        _time("done_ps", "When it was done."),
        _time("exit_ps", "When the handler was over, if no other call came behind in it."),
        _time(
            "seen_ps",
            "When the initiator had seen the lock released and went on to the next target; none:"
            " nobody waited for the call.",
            nullable=True,
        ),
    ),
)

STRETCHES = Table(
    "stretches",
    "One row per stretch in which a task kept interrupts off or waited: of those that began in the"
    " part of the run that measure.detail gives, and ended.",
    (
        REPLICATION,
        _count("cpu", "The task's CPU."),
        _count("task", "Its number there."),
        _text("workload", "The workload, or the kernel's own task."),
        _text(
            "kind",
            "irqs_off: interrupts off; spinlock, mutex_spin: spinning for one; mutex, completion,"
            " sleep: asleep until one was there, or for a time.",
        ),
        _text("thing", "The lock or completion it waited for.", nullable=True),
        _time("start_ps", "When it began."),
        _time(
            "end_ps",
            "When it ended: of a window its own end (through the firmware, and of everything else,"
            " the task's next step).",
        ),
    ),
)

INTERRUPTIONS = Table(
    "interruptions",
    "One row per isolated CPU and shootdown that interrupted it, in order of the shootdowns' ends;"
    " those that have not ended with the run come last.",
    (
        REPLICATION,
        _count("cpu", "The isolated CPU."),
        _time("from_ps", "From when on it was away: it began to wake up, or the same as start_ps."),
        _time("start_ps", "When the handler began; rows of one handler have the same."),
        _time("end_ps", "When the handler was over, if no other call came behind in it."),
        Column("opened", "bool", "", "Whether this call's interrupt began it: else, coalesced."),
        _count("initiator", "The initiator's CPU."),
        _count("task", "Number of the initiating task on that CPU."),
        _text("protocol", "How the CPU was told."),
        _text("kind", "What it did: full, range, sync_core or empty."),
        _text("cause", "Why the kernel asked for it."),
        _count("operation", "Id of the operation that made it.", nullable=True),
    ),
)

DETAIL = Table(
    "detail",
    "One row per run with measure.detail: which part was kept in full, and how much that was.",
    (
        REPLICATION,
        _time("start_ps", "Where the part begins."),
        _time("end_ps", "Where it ends; none: with the run.", nullable=True),
        _time(
            "cut_ps",
            "When room ran out: only what ended before was kept; none: there was room for all.",
            nullable=True,
        ),
        _count("calls", "Shootdowns that were kept whole."),
        _count("targets", "Their targets: rows of anatomy."),
        _count("stretches", "Rows of stretches."),
    ),
)

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            OPERATIONS,
            CROSSCALLS,
            CPUS,
            TIMELINE,
            CPU_TIMELINE,
            TASKS,
            POOLS,
            FAULTS,
            OVERWRITES,
            VIOLATIONS,
            SAFETY,
            LOCKS,
            ANATOMY,
            STRETCHES,
            INTERRUPTIONS,
            DETAIL,
        )
    }
)
"""Every table of a result, by name."""


def described(tables: Iterable[Table] = TABLES.values()) -> list[dict[str, str]]:
    """Return a row per column: table, column, type, unit and sentence."""
    return [
        {
            "table": table.name,
            "column": column.name,
            "type": column.dtype + (" or none" if column.nullable else ""),
            "unit": column.unit,
            "meaning": column.sentence,
        }
        for table in tables
        for column in table.columns
    ]
