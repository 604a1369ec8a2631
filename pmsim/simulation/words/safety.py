"""What the answer says of safety: who could still use what, and how long pools were open."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import counted, number, share, time
from pmsim.simulation.answer.summary import Summary

_COULD: Final = {
    "write_after_protect": "use what it had revoked",
    "use_after_free": "use what it had given back",
    "table_reuse": "walk a page table that it had given back",
}

_TOO_LATE: Final = (
    "Memory that waits for ticks (latr) is used again when those are over, whether every CPU has"
    " swept by then or not: one that has not kept interrupts off over its ticks."
)
"""Why that happens where frees wait."""


def unsafe(summary: Summary) -> list[str]:
    """Say first of all that CPUs could use what they must not, where they could."""
    found = summary.safety
    if found is None or found.first is None:
        return []
    first = found.first
    parts = [
        f", {counted(times, 'time')}, {_COULD[kind]} ({kind})"
        for kind, times in found.by_kind.items()
    ]
    until = "for the rest of the run" if first.to_ps is None else (
        f"for {time(first.to_ps - first.from_ps)}"
    )  # fmt: skip
    call = f" after {first.call} of {counted(first.pages, 'page')}" if first.call else ""
    said = (
        f"Unsafe: when the kernel went on, a CPU could still{' and'.join(parts)};"
        f" first CPU {first.cpu} at {time(first.from_ps)}, {until}{call}."
    )
    return [said, _TOO_LATE] if found.held_pages and first.kind == "use_after_free" else [said]


def exposure(summary: Summary) -> list[str]:
    """Say how long pools could be overwritten, where something of them was protected."""
    found, runs = summary.exposure, summary.replications
    if found is None or not found.stale_total_ps:
        return []
    text = (
        f"Pools were writable for {number(found.writable_byte_s / runs)} byte-seconds before they"
        f" were protected, and for {number(found.stale_byte_s / runs)} more by old translations,"
        f" an area at most {time(found.stale_ps)}"
    )
    if found.closed_share:
        text += f"; {share(found.closed_share)} of that time nobody could have used them"
    return [f"{text}."]


def held_back(summary: Summary) -> list[str]:
    """Say what freed memory of processes waited for ticks, and how often there was no room."""
    found, runs = summary.safety, summary.replications
    if found is None or not found.held_pages:
        return []
    full = summary.broadcasts.by_cause.get("ring_full", 0)
    text = (
        f"{counted(round(found.held_pages / runs), 'freed page')} waited for ticks (latr), which"
        f" held {number(found.held_byte_s / runs)} byte-seconds back"
    )
    if full:
        text += f"; {counted(round(full / runs), 'free')} found no room for a note, and called"
    return [f"{text}."]


def attack(summary: Summary) -> list[str]:
    """Say what became of an attack, where there was one."""
    found = summary.overwritten
    if found is None:
        return []
    text = (
        f"Of {counted(found.writes, 'write')} to pools {found.landed:,} landed before protection,"
        f" {found.stale:,} by an old translation, and {found.faulted:,} faulted"
    )
    if found.last_landed_ps is not None:
        text += f"; the last landed at {time(found.last_landed_ps)}"
    return [f"{text}."]
