"""A summary in words: what shootdowns cost, who paid, when the transient ended."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from pmsim.formatting import (
    counted,
    from_to,
    number,
    quantity,
    rate_in_words,
    share,
    time,
    times_a_second,
    written,
)
from pmsim.simulation.answer.calm import Calm
from pmsim.simulation.answer.deferral import deferral_words
from pmsim.simulation.answer.frozen import frozen_words
from pmsim.simulation.answer.isolation import Isolated
from pmsim.simulation.answer.lock_waits import lock_words
from pmsim.simulation.answer.safety import attack, exposure, held_back, unsafe
from pmsim.simulation.answer.summary import (
    Calls,
    ShootdownCounts,
    Summary,
    UsedConstant,
    UserWork,
)
from pmsim.simulation.tables.protocols import SILENT, place, told
from pmsim.simulation.tables.tally import is_dominated
from pmsim.units import S

MOST_CALLS = 2
"""Kinds of calls into the kernel that are spoken of, of each workload the costliest."""

NEGLIGIBLE = 0.1
"""A kind with a smaller share of its workload's time in the kernel is not spoken of."""

MOST_CONSTANTS = 3
"""Constants that the lost time is said to hang on, those with the largest parts of it."""
ENOUGH = 0.8
"""When so much of it is said, the rest is not."""
LITTLE = 0.05
"""A constant with a smaller part is not spoken of."""

NOTABLE = 10
"""So many times slower than the mean is worth a sentence of its own."""

SLIGHT = 0.01
"""A part of the lost time with a smaller share of it is not spoken of."""

OUTSTANDING = 2
"""A CPU that lost so many times the mean is named."""

NOTABLE_WAKING = 0.1
"""From this part of the waiting on, that targets had to wake up is spoken of."""

TOO_OFTEN = 0.05
"""With so many failures for each call the answer begins with them."""

MANY_PAGES = 64
"""A ranged flush of more pages says how many: x86 flushes no more than 33 one by one."""

_WAITED_FOR = {
    "irqs_off": "had interrupts off",
    "idle_exit": "had to wake up",
    "busy_handler": "was in another handler",
    "frozen": "did not run, or the initiator did not (frozen)",
    "ride": "took the call with another one's interrupt (coalesced)",
    "distance": "had nothing in the way but the distance",
}
"""What the CPU did that a shootdown waited for, by reason."""


def sentences(summary: Summary) -> list[str]:
    """Return the answers that a summary gives, one sentence or two each.

    What cost most comes first. Of several runs, times and numbers are those of the mean run.
    """
    failed = _failures(summary)
    first, last = (failed, []) if _are_the_story(summary) else ([], failed)
    danger = unsafe(summary)
    if not summary.broadcasts.total:
        quiet = "No CPU had to be told anything: there was no shootdown."
        spent = _cost(summary) if summary.cost.lost_ps else []
        isolated = _isolated(summary)
        return [
            *danger, *first, quiet, *isolated, *spent, *_calls(summary), *exposure(summary),
            *attack(summary), *last, *_detail(summary),
        ]  # fmt: skip
    return [
        *danger,
        *over_budget(summary),
        *first,
        *_cost(summary),
        *lock_words(summary),
        *_woken(summary),
        *frozen_words(summary),
        *_hanging(summary),
        *_left_open(summary),
        _shootdowns(summary),
        _latency(summary),
        *_slowest(summary),
        *_isolated(summary),
        *_calls(summary),
        *exposure(summary),
        *held_back(summary),
        *attack(summary),
        _calm(summary),
        *_user_work(summary),
        *last,
        *_detail(summary),
    ]


def _cost(summary: Summary) -> list[str]:
    """Say what tasks lost, and to what, the largest part first; then who lost most."""
    cost, runs = summary.cost, summary.replications
    if not cost.lost_ps:
        return ["No task lost any time."]
    said = (
        f"Tasks lost {share(cost.share)} of all CPU time: {time(cost.lost_ps / runs)} of"
        f" {counted(summary.cpus, 'CPU')} in {_duration(summary)}"
    )
    words = _taker_words(summary)
    parts = sorted(cost.parts.items(), key=lambda part: -part[1])
    told = [f"{time(ps / runs)} {words[name]}" for name, ps in parts if ps >= SLIGHT * cost.lost_ps]
    told[0] += f" ({share(parts[0][1] / cost.lost_ps)})"
    return [f"{said}: {', '.join(told)}{_who_lost_most(summary)}."]


def _taker_words(summary: Summary) -> dict[str, str]:
    """Return what each part of the lost time was lost to."""
    ways = set(summary.broadcasts.by_protocol)
    stalls = ["stalls by TLB broadcasts"] if ways & SILENT else []
    handlers = ["handlers"] if ways - SILENT else []
    return {
        "handlers": f"to {' and '.join(stalls + handlers)}",
        "locks": "spinning for locks",
        "answers": "waiting for shootdowns",
        "sending": "enqueuing and sending" if ways else "flushing their own CPUs",
        "refill": "refilling TLBs",
    }


def _who_lost_most(summary: Summary) -> str:
    """Say which CPU lost most, where that is far more than the others did."""
    if not summary.paid.cpus:
        return ""
    worst = summary.paid.cpus[0]
    if worst.lost_ps * summary.cpus < OUTSTANDING * summary.cost.lost_ps:
        return ""
    text = f". CPU {worst.cpu} lost most, {time(worst.lost_ps / summary.replications)}"
    return f"{text}, by spinning" if worst.spin_ps > worst.lost_ps / 2 else text


def _woken(summary: Summary) -> list[str]:
    """Tell of the idle CPUs that were woken, which cost no task anything."""
    cost, runs = summary.cost, summary.replications
    if not cost.woken:
        return []
    said = [
        f"Idle CPUs were woken {_times(cost.woken, runs)}, and awake for"
        f" {time(cost.awake_ps / runs)}: no task lost that time."
    ]
    waking = cost.waking_ps / (cost.initiators_ps or 1)
    if waking >= NOTABLE_WAKING:
        said.append(
            f"{share(waking)} of what initiators waited for shootdowns,"
            f" {time(cost.waking_ps / runs)} of {time(cost.initiators_ps / runs)}, is waking the"
            " slowest target, not flushing."
        )
    return said


def _hanging(summary: Summary) -> list[str]:
    """Say which constants make most of the lost time, and how well they are known."""
    said: list[str] = []
    told = 0.0
    for one in summary.constants[:MOST_CONSTANTS]:
        if told >= ENOUGH or one.lost_share < LITTLE:
            break
        told += one.lost_share
        said.append(f"{share(one.lost_share)} on {_constant(one)}")
    if not said:
        return []
    first, rest = said[0].replace(" on ", " of the lost time hangs on ", 1), said[1:]
    return [f"{', '.join([first, *rest])}."]


def _left_open(summary: Summary) -> list[str]:
    """Say how far the ranges of constants may move the lost time."""
    found = summary.left_open.get("lost_share")
    if found is None:
        return []
    ends = from_to(share(found.low), share(found.high))
    seeds = " and seeds" if found.seeds > 1 else ""
    return [
        f"With constants{seeds} from their ranges, {share(found.level)} of {found.n:,} runs lose"
        f" {ends} of all CPU time."
    ]


def _constant(one: UsedConstant) -> str:
    """Say what a constant is, and what it rests on."""
    basis = one.basis or "no source"
    known = basis if one.low is None or one.high is None else f"{basis}, {between(one)}"
    product = _PRODUCTS.get(one.name, "")
    return f"{one.name} = {written(one.value)} ({known}){product}"


_PRODUCTS = {"tlb.walk": " and the working sets", "tlbi.share": " and how long broadcasts take"}
"""What a constant is multiplied by, where that is no mere number of events."""


def between(one: UsedConstant) -> str:
    """Write the range of a constant; nothing where it has none."""
    if one.low is None or one.high is None:
        return ""
    return from_to(written(one.low), written(one.high))


def _told(calls: ShootdownCounts, runs: int) -> str:
    """Say which shootdowns were no IPI calls; nothing where all were."""
    counts, total = calls.by_protocol, calls.total
    said = [
        f"{'all' if count == total else _number(count, runs)} of them {told(name)}"
        for name, count in sorted(counts.items(), key=lambda one: place(one[0]))
        if told(name)
    ]
    return f", {', '.join(said)}" if said else ""


def _duration(summary: Summary) -> str:
    """Write how long a run is, and of how many runs it is the mean."""
    runs = summary.replications
    text = time(summary.duration_ps / runs)
    return text if runs == 1 else f"{text} (means of {runs:,} runs)"


def _number(count: int, runs: int) -> str:
    """Write how many things there are in the mean run."""
    return f"{count:,}" if runs == 1 else number(count / runs)


def _times(count: int, runs: int) -> str:
    """Write how often something happens in the mean run."""
    text = _number(count, runs)
    return ("once" if text == "1" else f"{text} times") + (" a run" if runs > 1 else "")


def _shootdowns(summary: Summary) -> str:
    """Say how many shootdowns there were, of what kind, and who waited for them."""
    calls, runs = summary.broadcasts, summary.replications
    kinds = [
        f"{_number(n, runs)} {kind}{_pages(calls) if kind == 'range' else ''}"
        for kind, n in calls.by_kind.items()
    ]
    initiators = ", ".join(dict.fromkeys(one.workload for one in summary.paid.initiators))
    one = _number(calls.total, runs) == "1"
    return (
        f"There {'was' if one else 'were'} {_number(calls.total, runs)}"
        f" shootdown{'' if one else 's'}{' a run' if runs > 1 else ''} ({', '.join(kinds)})"
        f"{_told(calls, runs)}{_unheard(calls)}; {initiators} waited"
        f" {time(summary.cost.initiators_ps / runs)} for {'it' if one else 'them'}."
    )


def _unheard(calls: ShootdownCounts) -> str:
    """Say that calls were for nobody but their initiators, as those of idle CPUs' processes are."""
    if calls.targets or set(calls.by_protocol) & SILENT:
        return ""
    return ", for which nobody had to be interrupted"


def _pages(calls: ShootdownCounts) -> str:
    """Say of how many pages ranged flushes are, where that is more than x86 would flush so."""
    pages = calls.pages_p50
    return f" of {pages:,} pages each" if pages is not None and pages > MANY_PAGES else ""


def _latency(summary: Summary) -> str:
    latency, count = summary.latency_ps, summary.broadcasts.total
    found = {
        "half within": latency.p50,
        "p99": latency.p99,
        "p99.9": latency.p99_9,
        "the slowest": latency.max,
    }
    known = [f"{name} {time(ps)}" for name, ps in found.items() if ps is not None]
    if count == 1:
        return f"The shootdown took {quantity(latency.max, 'ps')}."
    if {time(ps) for ps in (latency.p50, latency.mean) if ps is not None} == {
        time(latency.max or 0)
    }:
        return f"Shootdowns took {quantity(latency.max, 'ps')} each."
    if is_dominated(count, count * (latency.mean or 0), latency.max or 0):
        return f"A shootdown took: {', '.join(known)}, as long as all others together."
    return f"A shootdown took {quantity(latency.mean, 'ps')} on average: {', '.join(known)}."


def _slowest(summary: Summary) -> list[str]:
    """Tell of the slowest shootdown, where it was far slower than the others."""
    one = summary.slowest
    if one is None or one.latency_ps < NOTABLE * (summary.latency_ps.mean or 0):
        return []
    text = (
        f"The slowest shootdown ({one.cause}) was made by {one.workload} on CPU {one.cpu},"
        f" from {time(one.at_ps)} on"
    )
    why = _WAITED_FOR.get(one.slowest_reason)
    if one.slowest_cpu is not None and why is not None:
        text += f": it waited for CPU {one.slowest_cpu}, which {why}"
    return [f"{text}."]


def _calls(summary: Summary) -> list[str]:
    """Tell what each workload asked of the kernel, the costliest calls of it."""
    by_workload: dict[str, list[Calls]] = {}
    for one in summary.calls:
        by_workload.setdefault(one.workload, []).append(one)
    said = []
    for calls in by_workload.values():
        least = NEGLIGIBLE * sum(_held(one) for one in calls)
        said += [_call(one, summary) for one in calls[:MOST_CALLS] if _held(one) >= least]
    return said


def _held(one: Calls) -> int:
    """Return how long calls ran, or were held up by locks and shootdowns: not what they slept."""
    return one.total_ps - one.delay_ps


def _call(one: Calls, summary: Summary) -> str:
    runs = summary.replications
    text = f"{one.workload} called {one.kind} "
    if one.count == 1:
        return f"{text}once: {time(one.total_ps)}, {_made(one.broadcasts)}."
    often = "" if _is_over(summary) else f" ({rate_in_words(one.per_s)})"
    text += f"{_times(one.count, runs)}{often}: "
    if is_dominated(one.count, one.total_ps, one.longest_ps):
        text += f"half within {time(one.median_ps)}"
        outlier = True
    else:
        text += f"{time(one.mean_ps)} each"
        outlier = one.longest_ps > NOTABLE * one.mean_ps
    if one.delay_ps > one.total_ps / 2:
        text += f" ({share(one.delay_ps / one.total_ps)} of that asleep or off the CPU)"
    if outlier:
        text += f", once {time(one.longest_ps)}"
    made = f"{_made(one.broadcasts, runs)} in all" if one.broadcasts else "no shootdown"
    return f"{text}, {made}."


def _made(shootdowns: int, runs: int = 1) -> str:
    """Write how many shootdowns something made in the mean run."""
    number = _number(shootdowns, runs) if shootdowns else "no"
    return f"{number} shootdown{'' if number in ('no', '1') else 's'}"


def _calm(summary: Summary) -> str:
    """Say when the shootdowns calm down, on most runs, and what they cost before and after."""
    runs, told = summary.transients, summary.calm
    if runs and runs[0].verdict == "given":
        alike, text = list(runs), ""
    else:
        alike = [one for one in runs if one.verdict == told.verdict]
        text = f"In {len(alike):,} of {len(runs):,} runs: " if len(alike) < len(runs) else ""
    ends = [one.end_ps for one in alike if one.end_ps is not None]
    if not ends:
        return text + _untold(told, summary)
    end, run = fmean(ends), summary.duration_ps / summary.replications
    mean = "" if len(alike) == 1 else f" (means of {len(alike):,} runs)"
    before = _part([(one.per_s_before, one.lost_share_before) for one in alike])
    after = _part([(one.per_s_after, one.lost_share_after) for one in alike])
    if alike[0].verdict == "given":
        given = f"In the warm-up of {time(end)} that the scenario gives"
        return f"{given}: {before}; after it: {after}."
    if told.period_ps is not None and alike[0].verdict == "periodic":
        since = f" from {time(end)} on" if end else ""
        per_s = fmean(one.per_s_after or 0.0 for one in alike)
        come = come_every(told.period_ps, per_s)
        return f"{text}{come}{since}{mean}: {after}."
    if not end:
        return f"{text}There is no transient: {after}, from the start{mean}."
    left = f" (the last {share(max(0.0, 1 - end / run))} of the run)" if run / 2 < end < run else ""
    if not any(one.broadcasts_after for one in alike):
        return f"{text}The transient ends at {time(end)}{mean}: no shootdown comes after it{left}."
    return f"{text}The transient ends at {time(end)}{mean}: {before}; after it{left}: {after}."


_BURST: Final = 1.5
"""Shootdowns in a period from which on it is one of bursts."""


def come_every(period_ps: int, per_s: float) -> str:
    """Say in which rhythm shootdowns come: one in each period, or a burst."""
    bursts = " in bursts" if per_s * period_ps / S > _BURST else ""
    return f"Shootdowns come{bursts} every {time(period_ps)}"


def _untold(told: Calm, summary: Summary) -> str:
    if told.verdict == "still_changing":
        return "Shootdowns still become more or fewer when the run ends: no part of it is steady."
    count = summary.broadcasts.total / summary.replications
    return f"Too few shootdowns ({number(count)} in a run) to tell whether they calm down."


def _part(runs: Sequence[tuple[float | None, float | None]]) -> str:
    """Say how often shootdowns came in a part of some runs, and what they cost, on average."""
    per_s, lost = (fmean(value or 0 for value in values) for values in zip(*runs, strict=True))
    return f"{number(per_s)} shootdowns/s, {share(lost)} of all CPU time lost"


def _user_work(summary: Summary) -> list[str]:
    said = []
    for one in summary.user_work:
        if one.slowdown is None:
            said.append(f"User work ({one.workload}) got nothing done.")
        else:
            tasks = counted(one.tasks // summary.replications, "task")
            said.append(
                f"User work ({one.workload}, {tasks}) took {_longer(one.slowdown)};"
                f" {_interrupted(one, summary)}."
            )
    return said


def over_budget(summary: Summary) -> list[str]:
    """Return a sentence for each limit of the budget that was not kept."""
    found = () if summary.isolated is None else summary.isolated.violations
    return [f"Over budget: {one}." for one in found]


def _isolated(summary: Summary) -> list[str]:
    """Say how often isolated CPUs were interrupted, by what, how long; and what was deferred."""
    one = summary.isolated
    if one is None:
        return []
    return [_interruptions(one, summary), *deferral_words(summary)]


def _interruptions(one: Isolated, summary: Summary) -> str:
    """Say how often they were interrupted, by what, and how long."""
    cpus = (
        f"{'An' if one.cpus == 1 else f'Each of {one.cpus:,}'} isolated CPU{'s' * (one.cpus > 1)}"
    )
    length = one.length_ps
    if length.max is None:
        text = f"{cpus} was never interrupted"
    else:
        most = one.by[0]
        by = f", {share(most.interrupts / one.interrupts)} of it by {most}"
        over = _is_over(summary)
        times = number(one.interrupts / one.cpus / summary.replications)
        often = f"{times} times" if over else times_a_second(one.per_s)
        text = f"{cpus} was interrupted {often}{by}: half within {time(length.p50 or length.max)}"
        if length.p99_99 is not None:
            text += f", 99.99 % within {time(length.p99_99)}"
        text += f", the longest {time(length.max)} ({one.longest_by})"
        mean = one.interrupted_ps / one.interrupts
        if not over:
            text += f"; in a day {number(one.per_day)} times, {time(mean * one.per_day)} in all"
    if one.stalled_ps:
        text += f"; stalls by TLB broadcasts took {time(one.stalled_ps)} of all of them"
    return f"{text}."


def _is_over(summary: Summary) -> bool:
    """Return whether shootdowns stop for good, so that they have no rate that would go on."""
    runs = summary.transients
    return bool(runs) and all(one.verdict == "silent_from" for one in runs)


def _longer(slowdown: float) -> str:
    """Say how much longer something took, in per cent as long as these are below a hundred."""
    return f"{share(slowdown)} longer" if slowdown < 1 else f"{number(1 + slowdown)} times as long"


def _interrupted(work: UserWork, summary: Summary) -> str:
    """Say how often the CPUs of some user work were interrupted."""
    count = work.interrupts
    if not count:
        return "its CPUs were never interrupted"
    often = _times(count, summary.replications)
    if _is_over(summary):
        each = number(count / work.cpus)  # no rate: none of it goes on
        return (
            f"its CPUs were interrupted {often}, each {'once' if each == '1' else f'{each} times'}"
        )
    run = summary.duration_ps / summary.replications
    return f"its CPUs were interrupted {often}, each {times_a_second(count / work.cpus * S / run)}"


def _are_the_story(summary: Summary) -> bool:
    """Whether so much of what workloads asked for was refused that the answer begins with it."""
    failed = sum(one.count for one in summary.failures)
    asked = sum(one.count for one in summary.calls)
    return failed > 0 and failed >= TOO_OFTEN * asked


def _failures(summary: Summary) -> list[str]:
    return [
        f"{one.kind} failed {_times(one.count, summary.replications)}, first at"
        f" {time(one.first_at_ps)}, for {one.first_by}: {one.first}."
        for one in summary.failures
    ]


def _detail(summary: Summary) -> list[str]:
    """Say of which part of the first run everything was kept, and whether all of it."""
    if not summary.detail:
        return []
    kept = summary.detail[0]
    start = time(kept.start_ps) if kept.start_ps else "the start"
    end = "the end" if kept.end_ps is None else time(kept.end_ps)
    text = (
        f"Everything from {start} to {end} is kept: {kept.calls:,} shootdowns with their"
        f" {kept.targets:,} targets"
    )
    if kept.cut_ps is not None:
        text += f"; after {time(kept.cut_ps)} there was no room for more"
    return [f"{text}."]
