"""What one replication is measured by: every metric declared once, with its unit and a sentence.

The columns of a sweep, the labels of its figures, the rows of a comparison and the reference pages
all come from here. The number itself is taken from the replication's summary and tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pmsim import formatting
from pmsim.scenario.faults import did_you_mean
from pmsim.simulation.answer.measured import Measured, measured
from pmsim.simulation.answer.summary import Cost, Exposed, Latency, Parts, Summary
from pmsim.simulation.tables.source import TableSource
from pmsim.simulation.tables.tally import Tally

Kind = Literal["mean", "quantile", "extreme", "rate", "share", "time", "count", "amount"]
"""What sort of number it is; over replications, quantiles and extremes are bootstrapped."""

Dimension = Literal["", "operation", "workload", "cause"]
"""What there is one number for each of; empty: one number for the whole replication."""

QUANTILE: Final = 0.99
"""The quantile of the times of kernel operations that is reported."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that a replication is measured by.

    Attributes
    ----------
    name
        Its name in tables; with a dimension, one column ``name[label]`` for each label.
    unit
        ``ps``, ``1/s``, ``B``, ``B s``, ``pages`` or ``1`` (a share, a number of things).
    kind, dimension
        What sort of number it is, and of what there is one each.
    label
        What the axis of a figure says, without the unit.
    sentence
        What it means.
    take
        The number, from what was `Measured`; a mapping by label where there is a dimension. `None`
        where the replication does not tell it.
    headline
        Whether ``--precision`` waits for it, and the terminal shows it.
    """

    name: str
    unit: str
    kind: Kind
    label: str
    sentence: str
    take: Callable[[Measured], Any]
    dimension: Dimension = ""
    headline: bool = False

    @property
    def form(self) -> str:
        """The unit as `pmsim.formatting` writes values: that of a share is per cent."""
        return formatting.SHARE if self.kind == "share" else self.unit

    @property
    def skewed(self) -> bool:
        """Whether replications of it have a tail to one side, so that t would mislead."""
        return self.kind in ("quantile", "extreme")


def measure(files: TableSource, summary: Summary) -> dict[str, float]:
    """Return every metric of one replication by its column; unknown ones are left out.

    Parameters
    ----------
    files
        Its tables, with the rows of this replication alone.
    summary
        Their headline numbers.
    """
    return dict(_columns(measured(files, summary)))


def _columns(of: Measured) -> Iterator[tuple[str, float]]:
    for metric in METRICS.values():
        taken = metric.take(of)
        if metric.dimension:
            labelled = {column(metric.name, label): value for label, value in taken.items()}
        else:
            labelled = {metric.name: taken}
        for name, value in labelled.items():
            if value is not None:
                yield name, float(value)


def column(metric: str, label: str = "") -> str:
    """Return the column of a metric, for one label of its dimension where it has one."""
    return f"{metric}[{label}]" if label else metric


def metric_of(name: str) -> tuple[Metric, str]:
    """Return the metric and the label that a column stands for.

    Raises
    ------
    KeyError
        If it is no metric's.
    """
    bare, _, rest = name.partition("[")
    if bare not in METRICS:
        raise KeyError(f"no metric is called '{bare}': {did_you_mean(bare, METRICS)}")
    return METRICS[bare], rest.removesuffix("]")


def is_metric(name: str) -> bool:
    """Return whether a column is that of a metric."""
    return name.partition("[")[0] in METRICS


def absent(name: str) -> float:
    """Return what a column is in a replication that does not mention it.

    What was counted by label and is not there did not occur; of all else nothing is known.
    """
    metric, label = metric_of(name)
    return 0.0 if label and metric.kind == "count" else math.nan


def ordered(names: set[str]) -> list[str]:
    """Return columns in the order of declaration, labels in alphabetical order."""
    place = {name: number for number, name in enumerate(METRICS)}
    return sorted(names, key=lambda name: (place[name.partition("[")[0]], name))


def _part_of(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(times: Tally) -> float:
    return times.total / times.count


def _paid(summary: Summary) -> int:
    """Return what calls into the kernel took, those who made them and all others."""
    cost = summary.cost
    lost = cost.stolen_ps - cost.awake_ps + cost.refill_ps
    return sum(one.total_ps - one.delay_ps for one in summary.calls) + lost


def _exposure(
    name: str, unit: str, kind: Kind, label: str, sentence: str, what: Callable[[Exposed], Any]
) -> Metric:
    """Return a metric of how long pools could be overwritten; None without pools."""
    return Metric(
        name, unit, kind, label, sentence,
        lambda m: None if m.summary.exposure is None else what(m.summary.exposure),
    )  # fmt: skip


def _operation(what: Callable[[Any], Any]) -> Callable[[Measured], dict[str, Any]]:
    """Return a metric's `take`: a statistic of the times of each kind of operation."""
    return lambda m: {kind: what(times) for kind, times in m.operations.items()}


def _cost(
    name: str, part: Callable[[Cost], int], what: str, label: str, *, headline: bool = False
) -> Metric:
    return Metric(
        name, "1", "share", label, f"Share of all CPU time {what}.",
        lambda m: m.share(part(m.summary.cost)), headline=headline,
    )  # fmt: skip


def _latency(
    name: str,
    which: Callable[[Latency], int | None],
    kind: Kind,
    label: str,
    *,
    headline: bool = False,
) -> Metric:
    sentence = f"{label[0].upper()}{label[1:]}, from its start to its initiator's next step."
    return Metric(
        name, "ps", kind, label, sentence, lambda m: which(m.summary.latency_ps),
        headline=headline,
    )  # fmt: skip


def _part(
    side: str, when: str, of: Callable[[Parts], tuple[float | None, float | None, float | None]]
) -> tuple[Metric, ...]:
    """Return what the initial or the steady part of a run is measured by."""
    return (
        Metric(
            f"{side}_per_s", "1/s", "rate", f"shootdowns per second {when}",
            f"Shootdowns per second {when}.", lambda m: of(m.parts)[0],
        ),
        Metric(
            f"{side}_lost_share", "1", "share", f"CPU time lost {when}",
            f"Share of all CPU time {when} that tasks lost.",
            lambda m: of(m.parts)[1],
        ),
        Metric(
            f"{side}_latency_mean_ps", "ps", "mean", f"mean latency of a shootdown {when}",
            f"Mean latency of the shootdowns that began {when}.",
            lambda m: of(m.parts)[2],
        ),
    )  # fmt: skip


_DECLARED = (
    Metric(
        "duration_ps", "ps", "time", "simulated time", "Length of the run.",
        lambda m: m.summary.duration_ps,
    ),
    _cost("lost_share", lambda cost: cost.lost_ps,
          "that tasks lost to shootdowns and locks: not what woke idle CPUs", "CPU time lost",
          headline=True),
    _cost("stolen_share", lambda cost: cost.stolen_ps,
          "that handlers, waking up for them and stalls by TLB broadcasts took",
          "CPU time in handlers"),
    _cost("awake_share", lambda cost: cost.awake_ps,
          "that idle CPUs were awake for: the part of stolen_share that no task lost",
          "CPU time of idle CPUs awake"),
    Metric(
        "woken", "1", "count", "idle CPUs woken",
        "Interrupt handlers that began on CPUs without a task.", lambda m: m.summary.cost.woken,
    ),
    _cost("spin_share", lambda cost: cost.spin_ps, "that initiators and waiters for spinlocks spun",
          "CPU time spinning"),
    _cost("lock_spin_share", lambda cost: cost.lock_spin_ps,
          "that waiters for spinlocks and mutexes spun: a part of spin_share",
          "CPU time spinning for locks"),
    _cost("irqs_off_share", lambda cost: cost.irqs_off_ps,
          "that enqueuing and sending IPI calls took",
          "CPU time enqueuing and sending"),
    _cost("refill_share", lambda cost: cost.refill_ps, "that refilling TLBs took",
          "CPU time refilling TLBs"),
    Metric(
        "broadcasts", "1", "count", "shootdowns",
        "Shootdowns that ended: IPI calls, firmware calls and TLB broadcasts.",
        lambda m: m.summary.broadcasts.total,
    ),
    Metric(
        "broadcasts_per_s", "1/s", "rate", "shootdowns per second",
        "Shootdowns that ended, per second.", lambda m: m.summary.broadcasts.per_s, headline=True,
    ),
    Metric(
        "broadcasts_by_cause", "1", "count", "shootdowns", "Shootdowns by their cause.",
        lambda m: m.summary.broadcasts.by_cause, "cause",
    ),
    Metric(
        "tlb_operations", "1", "count", "operations of TLB broadcasts",
        "Operations (TLBI, INVLPGB) that TLB broadcasts consisted of.",
        lambda m: sum(m.sent.values()) if m.sent else None,
    ),
    Metric(
        "tlb_operations_by_cause", "1", "count", "operations of TLB broadcasts",
        "Operations of TLB broadcasts by the cause of these.", lambda m: m.sent, "cause",
    ),
    Metric(
        "handlers", "1", "count", "handlers", "Interrupt handlers run.", lambda m: m.handlers
    ),
    Metric(
        "held_up_ps", "ps", "time", "lock holders frozen",
        "How long virtual CPUs were frozen while their tasks held locks that others waited for"
        " (lock-holder preemption); unknown where no CPU was ever frozen.",
        lambda m: None if m.summary.frozen is None else m.summary.frozen.held_up_ps,
    ),
    Metric(
        "latency_mean_ps", "ps", "mean", "mean latency of a shootdown",
        "Mean latency of a shootdown, from its start to its initiator's next step.",
        Measured.mean_latency, headline=True,
    ),
    _latency("latency_p50_ps", lambda all: all.p50, "quantile", "median latency of a shootdown"),
    _latency("latency_p99_ps", lambda all: all.p99, "quantile", "p99 of the latency of a shootdown",
             headline=True),
    _latency("latency_max_ps", lambda all: all.max, "extreme", "latency of the slowest shootdown"),
    Metric(
        "waking_share", "1", "share", "part of the latency in which CPUs wake up",
        "Part of the latency of shootdowns in which the slowest target woke from an idle state.",
        lambda m: _part_of(m.summary.cost.waking_ps, m.summary.cost.initiators_ps),
    ),
    Metric(
        "taken_mean_ps", "ps", "mean", "CPU time that a shootdown takes from others",
        "Mean CPU time that a shootdown takes from what computes: handlers, stalls by TLB"
        " broadcasts, TLBs refilled. What its initiator waits is its latency.",
        lambda m: m.of_a_shootdown(
            lambda cost: cost.stolen_ps - cost.awake_ps + cost.refill_ps
        ),
    ),
    Metric(
        "transient_end_ps", "ps", "time", "end of the transient",
        "Where the transient at the start ends; unknown where shootdowns still change, or are few.",
        lambda m: m.parts.end_ps,
    ),
    *_part(
        "before", "in the transient",
        lambda of: (of.per_s_before, of.lost_share_before, of.latency_mean_ps_before),
    ),
    *_part(
        "after", "after the transient",
        lambda of: (of.per_s_after, of.lost_share_after, of.latency_mean_ps_after),
    ),
    Metric(
        "slowdown", "1", "share", "slowdown of user work",
        "How much longer user work took than it would have taken alone.",
        lambda m: {one.workload: one.slowdown for one in m.summary.user_work},
        "workload",
    ),
    Metric(
        "operation_count", "1", "count", "operations", "Kernel operations of a kind.",
        _operation(lambda times: times.count), "operation",
    ),
    Metric(
        "operation_mean_ps", "ps", "mean", "mean time of an operation",
        "Mean time of a kernel operation of a kind.", _operation(_mean), "operation",
    ),
    Metric(
        "operation_p99_ps", "ps", "quantile", "p99 of the time of an operation",
        "p99 of the time of a kernel operation of a kind; unknown for fewer than a hundred.",
        _operation(lambda times: times.quantile(QUANTILE)), "operation",
    ),
    Metric(
        "operation_max_ps", "ps", "extreme", "time of the slowest operation",
        "Time of the slowest kernel operation of a kind.",
        _operation(lambda times: times.at(times.count)), "operation",
    ),
    Metric(
        "operation_crosscalls", "1", "count", "shootdowns",
        "Shootdowns made by the operations of a kind, those inside them included.",
        lambda m: {one.kind: one.crosscalls for one in m.summary.operations},
        "operation",
    ),
    Metric(
        "pool_pages", "pages", "amount", "pages of pools", "Pages of all pools.",
        lambda m: m.pools.get("pages"),
    ),
    Metric(
        "pool_lost_bytes", "B", "amount", "bytes of pools lost",
        "Bytes of all pools lost to alignment, to ends of areas, and to protection.",
        lambda m: m.pools.get("lost"),
    ),
    Metric(
        "pool_exposed_byte_s", "B s", "amount", "exposure",
        "Bytes of pools allocated and writable, times how long.",
        lambda m: m.pools.get("exposed"),
    ),
    _exposure(
        "pool_writable_byte_s", "B s", "amount", "exposure before protection",
        "Bytes of pools times how long they were writable, up to the change of their entries.",
        lambda of: of.writable_byte_s,
    ),
    _exposure(
        "pool_stale_byte_s", "B s", "amount", "exposure by old translations",
        "Bytes of pools times how long a TLB could still hold an old translation of theirs.",
        lambda of: of.stale_byte_s,
    ),
    _exposure(
        "pool_stale_ps", "ps", "extreme", "longest time by old translations",
        "How long that was at most, of an area.",
        lambda of: of.stale_ps,
    ),
    _exposure(
        "pool_open_byte_s", "B s", "amount", "exposure of pools",
        "Both together: bytes of pools times how long they could be overwritten, one way or the"
        " other.",
        lambda of: of.writable_byte_s + of.stale_byte_s,
    ),
    Metric(
        "pool_paid_ps", "ps", "amount", "time in calls and lost by others",
        "Time of calls into the kernel, their shootdowns included, and what handlers, stalls and"
        " refills took from all others.",
        lambda m: None if m.summary.exposure is None else _paid(m.summary),
    ),
    Metric(
        "overwrites_landed", "1", "count", "writes of an attack that landed",
        "Writes of an attack on pools that landed before protection.",
        lambda m: None if m.summary.overwritten is None else m.summary.overwritten.landed,
    ),
    Metric(
        "overwrites_stale", "1", "count", "writes of an attack by old translations",
        "Writes of an attack on pools that landed by an old translation.",
        lambda m: None if m.summary.overwritten is None else m.summary.overwritten.stale,
    ),
    Metric(
        "violations", "1", "count", "violations",
        "How often a CPU could use what the kernel took for forgotten.",
        lambda m: None if m.summary.safety is None else m.summary.safety.violations,
    ),
    Metric(
        "isolated_interrupts_per_s", "1/s", "rate", "interrupts, isolated CPU",
        "Interruptions of an isolated CPU per second, on average of them.",
        lambda m: m.isolated(lambda all: all.per_s),
    ),
    Metric(
        "isolated_longest_ps", "ps", "extreme", "longest interruption of an isolated CPU",
        "The longest interruption of an isolated CPU.",
        lambda m: m.isolated(lambda all: all.length_ps.max),
    ),
    Metric(
        "isolated_own_share", "1", "share", "time that isolated CPUs have for themselves",
        "Share of the time of isolated CPUs in which nothing was stolen from them.",
        lambda m: m.isolated(lambda all: all.own_share),
    ),
    Metric(
        "over_budget", "1", "count", "limits of the budget not kept",
        "Limits of measure.budget that were not kept.",
        lambda m: m.isolated(lambda all: len(all.violations)),
    ),
    Metric(
        "failures", "1", "count", "failures", "Simulated faults and failed calls.",
        lambda m: sum(one.count for one in m.summary.failures),
    ),
)  # fmt: skip

METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _DECLARED}
"""Every metric by its name, in the order of tables."""

HEADLINES: Final = tuple(metric.name for metric in _DECLARED if metric.headline)
"""The metrics that ``--precision`` waits for, and that the terminal shows."""
