"""A summary in words: what synchronization cost, who paid, when the transient ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pmsim.units import format_time

Summary = Mapping[str, Any]


def sentences(summary: Summary) -> list[str]:
    """Return the answers that a summary gives, one sentence or two each."""
    if not summary["broadcasts"]["total"]:
        return ["No CPU had to be told anything: nothing was broadcast.", *_failures(summary)]
    return [
        _cost(summary),
        _latency(summary),
        _who_paid(summary),
        _transient(summary),
        *_user_work(summary),
        *_failures(summary),
    ]


def about(ps: float) -> str:
    """Write a time to three digits."""
    return format_time(round(ps), 3)


def share(part: float) -> str:
    """Write a part of a whole in per cent, small ones with enough digits to differ from none."""
    percent = 100 * part
    if 0 < percent < 0.001:
        return "less than 0.001 %"
    return f"{percent:.3g} %"


def rate(per_second: float) -> str:
    """Write a rate to three digits."""
    rounded = float(f"{per_second:.3g}")
    return f"{rounded:,.0f} broadcasts/s" if rounded >= 100 else f"{rounded:g} broadcasts/s"


def _cost(summary: Summary) -> str:
    calls, cost = summary["broadcasts"], summary["cost"]
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in calls["by_kind"].items())
    return (
        f"Synchronization cost {share(cost['share'])} of all CPU time:"
        f" {about(cost['lost_ps'])} of {summary['cpus']:,} CPUs in {_duration(summary)},"
        f" for {calls['total']:,} broadcasts ({kinds})."
    )


def _duration(summary: Summary) -> str:
    text = about(summary["duration_ps"])
    runs = summary["replications"]
    return text if runs == 1 else f"{text} ({runs:,} runs)"


def _latency(summary: Summary) -> str:
    latency = summary["latency_ps"]
    known = [
        f"{name} {about(latency[key])}"
        for key, name in (("p50", "half within"), ("p99", "p99"), ("p99_9", "p99.9"))
        if latency[key] is not None
    ]
    known.append(f"the slowest {about(latency['max'])}")
    return f"A broadcast took {about(latency['mean'])} on average: {', '.join(known)}."


def _who_paid(summary: Summary) -> str:
    cost, paid = summary["cost"], summary["paid"]
    initiators = {one["workload"] for one in paid["initiators"]}
    text = (
        f"The initiators ({', '.join(sorted(initiators))}) waited {about(cost['initiators_ps'])};"
        f" handlers took {about(cost['stolen_ps'])} from whatever else ran"
    )
    if cost["refill_ps"]:
        text += f", and refilling TLBs {about(cost['refill_ps'])}"
    if paid["cpus"]:
        worst = paid["cpus"][0]
        text += f"; CPU {worst['cpu']} lost most, {about(worst['stolen_ps'])}"
    return text + "."


def _transient(summary: Summary) -> str:
    found = summary["transients"][0]
    if found["end_ps"] is None:
        return "The transient does not end within the run: the broadcasts never become steady."
    end = about(found["end_ps"])
    if not found["broadcasts_after"]:
        return f"The transient ends at {end}: nothing is broadcast after it."
    if not found["end_ps"]:
        return f"There is no transient: {rate(found['per_s_after'])} from the start."
    return (
        f"The transient ends at {end}: {rate(found['per_s_before'])} before,"
        f" {rate(found['per_s_after'])} after, when handlers take"
        f" {share(found['stolen_share_after'])} of all CPU time."
    )


def _user_work(summary: Summary) -> list[str]:
    said = []
    for one in summary["user_work"]:
        if one["slowdown"] is None:
            said.append(f"User work ({one['workload']}) got nothing done.")
        else:
            tasks = "1 task" if one["tasks"] == 1 else f"{one['tasks']:,} tasks"
            said.append(
                f"User work ({one['workload']}, {tasks}) took {share(one['slowdown'])} longer."
            )
    return said


def _failures(summary: Summary) -> list[str]:
    return [
        f"{one['count']:,} x {one['kind']} failed; first at {about(one['first_at_ps'])},"
        f" {one['first_by']}: {one['first']}."
        for one in summary["failures"]
    ]
