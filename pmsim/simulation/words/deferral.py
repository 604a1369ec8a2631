"""What a run with the protocol ``deferred`` says: which flushes left isolated CPUs out."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import number
from pmsim.simulation.answer.summary import Summary

DEFERRED: Final = "deferred"
"""The protocol that leaves isolated CPUs out."""
REVOKING: Final = "attributes"
"""The cause of what revokes permissions, and makes deferral unsafe."""
NEVER_DEFERRED: Final = (
    "changed permissions (set_memory_ro), splits, freed page tables and patched code interrupt"
    " isolated CPUs all the same"
)
"""What the patches never put off (V. Schneider, v7 of 14 November 2025)."""


def deferral_words(summary: Summary) -> list[str]:
    """Say which flushes left isolated CPUs out, and which did not, where any could have."""
    calls = summary.broadcasts
    if DEFERRED not in calls.by_protocol:
        return []
    left_out = sum(calls.left_out.values()) / summary.replications
    causes = ", ".join(calls.left_out)
    first = "Deferral left no isolated CPU out."
    if left_out:
        first = (
            f"Deferral spared isolated CPUs {number(left_out)} interrupts ({causes}): they drop"
            " everything when they next enter the kernel."
        )
    if REVOKING in calls.left_out:
        return [f"{first} That is unsafe: set_memory_ro returns while they can still write."]
    kept = ", ".join(cause for cause in calls.by_cause if cause not in calls.left_out)
    return [f"{first} Never deferred are others ({kept}): {NEVER_DEFERRED}." if kept else first]
