"""Calls by interrupts that leave isolated CPUs in user mode out; those drop everything on entry.

It stands for a series of patches by Valentin Schneider (v7 of 14 November 2025, v8 RFC of 24 March
2026), not merged: a CPU that runs a program in user mode touches no kernel address that was
vmalloc'ed, so that it may drop such translations when it next enters the kernel. What the patches
put off are flushes of lazily freed addresses alone. The rules are in section 13 of the
machine-model page.

Left out: the first instructions of an entry, which run with what the CPU still holds; that is why
nothing else may be put off (``defers: all`` runs with ``unsafe: true`` only).
"""

from __future__ import annotations

from typing import Final

from pmsim.hardware.proposals import DeferredCosts
from pmsim.hardware.shootdown.ipi import ACK, SHORTHAND
from pmsim.hardware.shootdown.protocol import Holds, Option, Protocol, Value

DEFERS: Final = Option(
    name="defers",
    text="Which flushes leave isolated CPUs in user mode out.",
    values=(
        Value(
            "purge",
            "those of lazily freed kernel addresses, as the patches do: set_memory_ro, splits, page"
            " tables and patched code interrupt isolated CPUs all the same",
        ),
        Value(
            "all",
            "every flush; what was revoked can be used until the entry's own flush, so that it is"
            " refused unless unsafe: true",
            at_return=Holds.REQUESTED,
        ),
    ),
)

DEFERRED: Final = Protocol(
    name="deferred",
    text="IPI call that leaves isolated CPUs in user mode out, where lazily freed addresses are"
    " flushed: these drop everything whenever they enter the kernel.",
    told="calls that may leave isolated CPUs out (deferred)",
    costs=DeferredCosts,
    interrupts=True,
    held_off=True,
    at_return=Holds.GONE,
    pays="the initiator and every target that is called; isolated CPUs, on each entry",
    source="V. Schneider, x86: defer IPIs to isolated CPUs, v7 (14 Nov 2025) and v8 RFC (2026)",
    options=(DEFERS, ACK, SHORTHAND),
    calls="ipi",
    drops_at="kernel_entry",
)
