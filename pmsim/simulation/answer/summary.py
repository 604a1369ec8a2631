"""The headline numbers of a result: what shootdowns cost, who paid, when the transient ended.

Each number is declared here once. Its field is the key in ``summary.json`` and the attribute of
``result.summary``; its meaning stands in the reference. Times are picoseconds, and sums are over
all replications unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pmsim.confidence import Estimate
from pmsim.record import Record
from pmsim.simulation.answer.calm import Calm, Verdict
from pmsim.simulation.answer.isolation import Isolated


@dataclass(frozen=True, slots=True, eq=False)
class ShootdownCounts(Record):
    """How many shootdowns there were."""

    total: Annotated[int, "All of them, IPI calls, firmware calls and TLB broadcasts."]
    per_s: Annotated[float, "The same per second."]
    by_kind: Annotated[Mapping[str, int], "By what the CPUs had to do: full, range, sync_core."]
    by_cause: Annotated[Mapping[str, int], "By why: attributes, split, purge, reset_perms, ..."]
    by_protocol: Annotated[Mapping[str, int], "By how the CPUs were told: ipi, sbi, tlbi."]
    targets: Annotated[int, "CPUs that had to answer, one for each shootdown."]
    pages_p50: Annotated[int | None, "Pages of a ranged flush, their median; none without any."]
    left_out: Annotated[
        Mapping[str, int],
        "Isolated CPUs that were left out, one for each shootdown, by its cause.",
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Latency(Record):
    """How long shootdowns took: from the start to the initiator's next step."""

    mean: Annotated[int | None, "Mean; none without a shootdown."]
    p50: Annotated[int | None, "Median, a value that occurred."]
    p99: Annotated[int | None, "99th percentile; none for fewer than a hundred."]
    p99_9: Annotated[int | None, "99.9th percentile; none for fewer than a thousand."]
    max: Annotated[int | None, "The slowest."]
    above_p99: Annotated[int | None, "How many took longer than the 99th percentile."] = None
    above_p99_share: Annotated[float | None, "Their part of the latency of all."] = None


@dataclass(frozen=True, slots=True, eq=False)
class Cost(Record):
    """CPU time that shootdowns and waiting for locks cost."""

    initiators_ps: Annotated[int, "Latency of all shootdowns together; overlaps with what is lost."]
    stolen_ps: Annotated[int, "In handlers, in waking up for them, and stalled by TLB broadcasts."]
    awake_ps: Annotated[int, "The part of stolen that idle CPUs were awake for: no task lost it."]
    woken: Annotated[int, "How often idle CPUs were woken: handlers that began without a task."]
    spin_ps: Annotated[int, "Spinning: for acknowledgements, csd locks, spinlocks and mutexes."]
    lock_spin_ps: Annotated[int, "The part of spin that waited for spinlocks and mutexes."]
    irqs_off_ps: Annotated[int, "Enqueuing and sending with interrupts off."]
    refill_ps: Annotated[int, "Refilling TLBs after full flushes."]
    lost_ps: Annotated[
        int, "What tasks lost: stolen less awake, and spin, irqs_off and refill with it."
    ]
    share: Annotated[float, "The lost time as a share of all CPU time."]
    waking_ps: Annotated[
        int, "The part of initiators' latency in which the slowest target woke from an idle state."
    ] = 0

    @property
    def parts(self) -> Mapping[str, int]:
        """What the lost time consists of."""
        return {
            "handlers": self.stolen_ps - self.awake_ps,
            "locks": self.lock_spin_ps,
            "answers": self.spin_ps - self.lock_spin_ps,
            "sending": self.irqs_off_ps,
            "refill": self.refill_ps,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Frozen(Record):
    """Virtual CPUs of a guest that did not always run."""

    share: Annotated[float, "The time in which they did not, as a share of all CPU time."]
    latency_ps: Annotated[int, "The part of initiators' latency that waited for one to run."]
    held_up_ps: Annotated[
        int, "How long they were frozen while their tasks held locks that others waited for."
    ]
    left_out: Annotated[int, "Frozen CPUs that flushes of user space left out, one for each."]


@dataclass(frozen=True, slots=True, eq=False)
class PayingCpu(Record):
    """A CPU whose tasks lost time."""

    cpu: Annotated[int, "Its number."]
    lost_ps: Annotated[int, "What they lost on it, windows with interrupts off not counted."]
    stolen_ps: Annotated[int, "Stolen from it by handlers and by waking up for them."]
    awake_ps: Annotated[int, "The part of that in which it had no task."]
    spin_ps: Annotated[int, "Spent spinning."]
    refill_ps: Annotated[int, "Spent on refilling its TLB."]
    handlers: Annotated[int, "Interrupt handlers that it ran."]


@dataclass(frozen=True, slots=True, eq=False)
class Initiator(Record):
    """A task that made shootdowns."""

    cpu: Annotated[int, "Where it runs."]
    task: Annotated[int, "Its number there."]
    workload: Annotated[str, "Whose it is."]
    waited_ps: Annotated[int, "Latency of its shootdowns together."]


@dataclass(frozen=True, slots=True, eq=False)
class Paid(Record):
    """Who paid for shootdowns, at most five of each."""

    cpus: Annotated[tuple[PayingCpu, ...], "The CPUs whose tasks lost most."]
    initiators: Annotated[tuple[Initiator, ...], "The tasks that waited longest."]


@dataclass(frozen=True, slots=True, eq=False)
class Slowest(Record):
    """The shootdown that took longest."""

    at_ps: Annotated[int, "When it began."]
    latency_ps: Annotated[int, "How long it took."]
    cpu: Annotated[int, "Its initiator's CPU."]
    workload: Annotated[str, "Whose it was."]
    cause: Annotated[str, "Why it was made."]
    protocol: Annotated[str, "How the CPUs were told."]
    slowest_cpu: Annotated[int | None, "The CPU that it waited for; none where it waited for none."]
    slowest_reason: Annotated[str, "Why that CPU was last."]


@dataclass(frozen=True, slots=True, eq=False)
class Parts(Record):
    """A replication before and after the end of its transient; none where it has no end."""

    end_ps: Annotated[int | None, "Where the transient ends; none if that cannot be told."]
    verdict: Annotated[
        Verdict | Literal["given"],
        "What comes after it, or given: the scenario says where it ends.",
    ]
    broadcasts_before: Annotated[int | None, "Shootdowns that began before the end."] = None
    per_s_before: Annotated[float | None, "The same per second."] = None
    latency_mean_ps_before: Annotated[float | None, "Their mean latency; none without any."] = None
    broadcasts_after: Annotated[int | None, "Shootdowns that began after the end."] = None
    per_s_after: Annotated[float | None, "The same per second."] = None
    latency_mean_ps_after: Annotated[float | None, "Their mean latency; none without any."] = None
    lost_share_before: Annotated[
        float | None, "Share of CPU time lost in intervals of the timeline that began before it."
    ] = None
    lost_share_after: Annotated[
        float | None, "Share of CPU time lost in intervals that began after it."
    ] = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON; nothing of parts that there are not."""
        whole = Record.as_dict(self)
        return (
            whole if self.end_ps is not None else {key: whole[key] for key in ("end_ps", "verdict")}
        )


@dataclass(frozen=True, slots=True, eq=False)
class UserWork(Record):
    """What shootdowns did to the tasks of one workload that only compute."""

    workload: Annotated[str, "Its name."]
    tasks: Annotated[int, "Its tasks, of all replications."]
    work_ps: Annotated[int, "The work that they did, as long as it takes undisturbed."]
    elapsed_ps: Annotated[int, "How long that took."]
    slowdown: Annotated[float | None, "How much longer it took, as a share; none for no work."]
    cpus: Annotated[int, "CPUs that they ran on, counted in each replication."]
    interrupts: Annotated[int, "Interrupt handlers that ran on those CPUs."]
    fewest: Annotated[int, "Those on the one that had fewest, in any run."]
    most: Annotated[int, "Those on the one that had most, in any run."]


@dataclass(frozen=True, slots=True, eq=False)
class Calls(Record):
    """What one workload asked of one function of the kernel, calls inside others left out."""

    workload: Annotated[str, "Who called."]
    kind: Annotated[str, "The kernel function."]
    count: Annotated[int, "How many calls."]
    per_s: Annotated[float, "The same per second."]
    mean_ps: Annotated[int, "Mean time of a call."]
    median_ps: Annotated[int, "Its median, a value that occurred."]
    total_ps: Annotated[int, "Time of all calls."]
    delay_ps: Annotated[int, "The part in which they did not run: asleep, interrupted, in line."]
    broadcasts: Annotated[int, "Shootdowns that they made."]
    lock_wait_ps: Annotated[int, "Time that they waited for locks."]
    longest_ps: Annotated[int, "Time of the longest call."]
    longest_at_ps: Annotated[int, "When that one began."]


@dataclass(frozen=True, slots=True, eq=False)
class Operations(Record):
    """The kernel operations of one kind, those inside others too."""

    kind: Annotated[str, "The kernel function."]
    count: Annotated[int, "How many."]
    mean_ps: Annotated[int, "Mean time."]
    median_ps: Annotated[int, "Median, a value that occurred."]
    longest_ps: Annotated[int, "The longest."]
    total_ps: Annotated[int, "Time of all."]
    delay_ps: Annotated[int, "The part in which they did not run: asleep, interrupted, in line."]
    crosscalls: Annotated[int, "Shootdowns made in them."]


@dataclass(frozen=True, slots=True, eq=False)
class LockWaits(Record):
    """A lock that tasks waited for, spinning or asleep; locks of one name are one."""

    lock: Annotated[str, "Its name."]
    waits: Annotated[int, "How often a task waited for it."]
    waited_ps: Annotated[int, "How long, all together."]
    longest_wait_ps: Annotated[int, "The longest wait."]
    waiter: Annotated[str, "The workload that waited longest on one CPU, or a kernel's task."]
    waiter_cpu: Annotated[int, "That CPU."]
    frozen_ps: Annotated[int, "How long the CPUs of its holders were frozen while others waited."]
    held_ps: Annotated[int, "The longest that it was held while others waited."]
    holder: Annotated[str | None, "The workload that held it then, or a kernel's task."]
    holder_cpu: Annotated[int | None, "On which CPU."]
    doing: Annotated[str | None, "In which kernel operation; none: in none."]
    held_from_ps: Annotated[int | None, "From when on."]


@dataclass(frozen=True, slots=True, eq=False)
class Failures(Record):
    """Simulated faults and refused calls of one kind."""

    kind: Annotated[str, "What failed."]
    count: Annotated[int, "How often."]
    first_at_ps: Annotated[int, "When first."]
    first_by: Annotated[str, "The workload that it first happened to."]
    first: Annotated[str, "The first in words."]


@dataclass(frozen=True, slots=True, eq=False)
class FirstViolation(Record):
    """The first time that a CPU could use what it must not."""

    kind: Annotated[str, "What it could do: write_after_protect, use_after_free or table_reuse."]
    call: Annotated[str | None, "The kernel function that relied on it; none: no operation."]
    pages: Annotated[int, "Pages that it is about."]
    cpu: Annotated[int, "The CPU that could."]
    from_ps: Annotated[int, "From when on."]
    to_ps: Annotated[int | None, "Up to when; none: to the end of the run."]


@dataclass(frozen=True, slots=True, eq=False)
class Safe(Record):
    """Whether every CPU had forgotten what the kernel took away when it relied on that."""

    violations: Annotated[int, "How often one had not: one for each CPU, of all replications."]
    by_kind: Annotated[Mapping[str, int], "The same by what it could do; only what there was."]
    first: Annotated[FirstViolation | None, "The first; none without any."]
    trusted_areas: Annotated[
        int, "Areas whose pages vfree gave back first, as Linux does: no violations."
    ]
    trusted_pages: Annotated[int, "Their pages."]
    held_pages: Annotated[int, "Freed pages of processes that waited for ticks (latr)."]
    held_byte_s: Annotated[float, "Their byte-seconds, to where they may be used again."]


@dataclass(frozen=True, slots=True, eq=False)
class Exposed(Record):
    """How long memory of pools could be overwritten, all pools of all replications together."""

    pools: Annotated[int, "Pools."]
    writable_byte_s: Annotated[float, "Byte-seconds writable, up to the change of their entries."]
    stale_byte_s: Annotated[float, "Byte-seconds writable from then on, by an old translation."]
    stale_ps: Annotated[int, "The longest that an area was stale."]
    stale_total_ps: Annotated[int, "The same of all areas together."]
    closed_share: Annotated[
        float | None, "Share of that in which no CPU ran code that could use it; none of nothing."
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Overwritten(Record):
    """What became of an attack's writes to pools (workload overwrite)."""

    writes: Annotated[int, "All of them."]
    landed: Annotated[int, "Those to memory that was not protected yet."]
    stale: Annotated[int, "Those by an old translation, to memory that was."]
    faulted: Annotated[int, "Those that faulted."]
    last_landed_ps: Annotated[int | None, "When the last landed, one way or the other."]


@dataclass(frozen=True, slots=True, eq=False)
class Detail(Record):
    """The part of one run that ``measure.detail`` kept in full: a row of the table ``detail``."""

    replication: Annotated[int, "Whose."]
    start_ps: Annotated[int, "Where the part begins."]
    end_ps: Annotated[int | None, "Where it ends; none: with the run."]
    cut_ps: Annotated[int | None, "When there was no room for more; none if never."]
    calls: Annotated[int, "Shootdowns kept, each with all of its targets."]
    targets: Annotated[int, "Their targets."]
    stretches: Annotated[int, "Waits and windows with interrupts off that were kept."]


@dataclass(frozen=True, slots=True, eq=False)
class UsedConstant(Record):
    """A cost that the run used, and what is known of it."""

    name: Annotated[str, "Its keys below the machine's costs."]
    value: Annotated[str, "As it stands in a file."]
    low: Annotated[str | None, "Lower end of the range in which the truth may lie; none: as is."]
    high: Annotated[str | None, "Its upper end."]
    basis: Annotated[str, "What it rests on: quoted, derived, memory, estimate; empty: not said."]
    source: Annotated[str, "Where it comes from; empty where nobody says."]
    lost_ps: Annotated[int, "How much of the lost CPU time is a number times this constant."]
    lost_share: Annotated[
        float, "The same as a share of the lost time; products count for each of their factors."
    ]


@dataclass(frozen=True, slots=True, eq=False)
class LeftOpen(Record):
    """How far the ranges of constants may move a figure: no confidence interval over seeds."""

    value: Annotated[float, "The figure as run; of several runs their mean."]
    low: Annotated[float, "Lower end of the interval."]
    median: Annotated[float, "Half of the runs with other constants lie below."]
    high: Annotated[float, "Upper end of the interval."]
    level: Annotated[float, "How many of the runs with other constants lie in it, as a share."]
    n: Annotated[int, "Runs with other constants."]
    seeds: Annotated[int, "Replications that took turns in them; 1: the constants alone differ."]


@dataclass(frozen=True, slots=True, eq=False)
class Summary(Record):
    """The headline numbers of a result."""

    duration_ps: Annotated[int, "Simulated time, all replications together."]
    replications: Annotated[int, "Runs."]
    cpus: Annotated[int, "Logical CPUs of the machine."]
    broadcasts: Annotated[ShootdownCounts, "Shootdowns."]
    latency_ps: Annotated[Latency, "Latency of a shootdown."]
    cost: Annotated[Cost, "CPU time that shootdowns cost."]
    paid: Annotated[Paid, "Who paid for them."]
    slowest: Annotated[Slowest | None, "The shootdown that took longest; none without any."]
    transient_end_ps: Annotated[
        int | None, "Where the transient of the first replication ends; none if never."
    ]
    calm: Annotated[Calm, "When the shootdowns calm down: the verdict on most replications."]
    transients: Annotated[tuple[Parts, ...], "Each replication before and after its transient."]
    user_work: Annotated[tuple[UserWork, ...], "Work that was disturbed, by workload."]
    calls: Annotated[
        tuple[Calls, ...],
        "What workloads asked of the kernel, first what took most time without its delay.",
    ]
    operations: Annotated[tuple[Operations, ...], "Kernel operations by kind, in the same order."]
    locks: Annotated[tuple[LockWaits, ...], "Locks that were waited for, the longest first."]
    failures: Annotated[tuple[Failures, ...], "What failed, by kind."]
    detail: Annotated[tuple[Detail, ...], "What was kept in full, for each such run."]
    safety: Annotated[Safe | None, "What CPUs could still do that they must not."] = None
    exposure: Annotated[
        Exposed | None, "How long pools could be overwritten; none without pools."
    ] = None
    overwritten: Annotated[
        Overwritten | None, "What an attack could write; none where there was none."
    ] = None
    isolated: Annotated[
        Isolated | None, "What became of isolated CPUs; none where the machine has none."
    ] = None
    frozen: Annotated[
        Frozen | None, "What virtual CPUs missed that did not always run; none where all did."
    ] = None
    intervals: Annotated[
        Mapping[str, Estimate],
        "How well the mean of each metric is known: over replications, or within a single run.",
    ] = field(default_factory=dict)
    constants: Annotated[
        tuple[UsedConstant, ...],
        "The costs that the run used, those first on which most of the lost time hangs.",
    ] = ()
    left_open: Annotated[
        Mapping[str, LeftOpen],
        "What their ranges leave open of each headline metric, where `--uncertainty` was asked.",
    ] = field(default_factory=dict)
