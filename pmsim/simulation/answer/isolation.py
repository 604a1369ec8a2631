"""What is told of isolated CPUs, and what may be asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pmsim.formatting import counted, number, time, times_a_second
from pmsim.record import Record


@dataclass(frozen=True, slots=True)
class Isolation:
    """The isolated CPUs of a scenario, and what it allows on them.

    Attributes
    ----------
    cpus
        Their numbers.
    interrupts
        How often each may be interrupted, in events per second; None: as often as it comes.
    longest
        How long an interruption may take, in picoseconds; None: as long as it takes.
    """

    cpus: tuple[int, ...]
    interrupts: Fraction | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lengths(Record):
    """How long interruptions were: from what ran to what ran again."""

    mean: Annotated[int | None, "Mean; none without an interruption."]
    p50: Annotated[int | None, "Median, a value that occurred."]
    p99: Annotated[int | None, "99th percentile; none for fewer than a hundred."]
    p99_9: Annotated[int | None, "99.9th percentile; none for fewer than a thousand."]
    p99_99: Annotated[int | None, "99.99th percentile; none for fewer than ten thousand."]
    max: Annotated[int | None, "The longest."]


@dataclass(frozen=True, slots=True, eq=False)
class Interrupter(Record):
    """What interrupted isolated CPUs."""

    workload: Annotated[str, "Who."]
    call: Annotated[str, "What it asked of the kernel; empty where it called other CPUs itself."]
    cause: Annotated[str, "Why the kernel told the CPUs."]
    protocol: Annotated[str, "How."]
    interrupts: Annotated[int, "Interruptions that it began."]
    per_s: Annotated[float, "The same per second, of each isolated CPU."]
    longest_ps: Annotated[int, "The longest of them."]

    def __str__(self) -> str:
        called = f", {self.call}" if self.call else ""
        return f"{self.workload}{called} ({self.cause})"


@dataclass(frozen=True, slots=True, eq=False)
class Violation(Record):
    """A limit of ``measure.budget`` that was not kept."""

    limit: Annotated[str, "Which: interrupts or longest."]
    allowed: Annotated[float, "What it allows: per second, or picoseconds."]
    found: Annotated[float, "What the CPU that was farthest from it had."]
    cpu: Annotated[int, "That CPU."]
    replication: Annotated[int, "In which run."]
    cpus: Annotated[int, "CPUs over the limit, counted in each replication."]
    by: Annotated[str, "What did it, most of it or the longest."]

    def __str__(self) -> str:
        if self.limit == "interrupts":
            allowed = f"{number(self.allowed)} allowed" if self.allowed else "none allowed"
            what = f"was interrupted {times_a_second(self.found)} ({allowed})"
        else:
            what = f"was interrupted for {time(self.found)} ({time(self.allowed)} allowed)"
        others = f"; {counted(self.cpus - 1, 'other')} over it, too" if self.cpus > 1 else ""
        return f"isolated CPU {self.cpu} {what} by {self.by}{others}"


@dataclass(frozen=True, slots=True, eq=False)
class Isolated(Record):
    """What became of isolated CPUs."""

    cpus: Annotated[int, "How many."]
    interrupts: Annotated[int, "Interruptions of all of them: handlers that ran there."]
    fewest: Annotated[int, "Interruptions of the one that had fewest, in any run."]
    most: Annotated[int, "Interruptions of the one that had most, in any run."]
    per_s: Annotated[float, "Interruptions of each per second, on average."]
    per_day: Annotated[float, "The same per day: what each is to expect at this rate."]
    length_ps: Annotated[Lengths, "How long interruptions were."]
    longest_cpu: Annotated[int | None, "Where the longest was; none without one."]
    longest_at_ps: Annotated[int | None, "When it began."]
    longest_by: Annotated[str, "What made it."]
    interrupted_ps: Annotated[int, "Time taken from them by interruptions."]
    stalled_ps: Annotated[int, "Time stolen from them in other ways: stalls by TLB broadcasts."]
    own_share: Annotated[float, "Share of their time in which nothing was stolen from them."]
    by: Annotated[tuple[Interrupter, ...], "What interrupted them, the most frequent first."]
    violations: Annotated[tuple[Violation, ...], "Limits of ``measure.budget`` not kept."]
