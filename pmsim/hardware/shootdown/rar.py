"""The cross-call by remote action requests, which Intel has described.

It stands for the kernel patches of 2025 that were not merged (van Riel, RAR v4,
20250619200442.1694583-1-riel@surriel.com) on what Intel's white paper 341431 describes: the
initiator writes a payload, marks it in the action table of each target and sends; the target's
processor acts by itself, whatever interrupts are off, and the initiator waits until every mark is
cleared. A what-if. The rules are in section 12 of the machine-model page.

Left out: that code which makes CPUs serialise, and empty calls, remain interrupts; that a processor
acts between two instructions, and so not within a long one.
"""

from __future__ import annotations

from typing import Final

from pmsim.hardware.proposals import RarCosts
from pmsim.hardware.shootdown.protocol import Holds, Protocol

RAR: Final = Protocol(
    name="rar",
    text="Remote action: the processors of the targets act themselves on what the initiator has"
    " written down, whatever interrupts are off; the initiator waits for the last one.",
    told="remote actions (rar), which interrupt nobody's program but take its time",
    costs=RarCosts,
    interrupts=True,
    held_off=False,
    at_return=Holds.GONE,
    pays="the initiator, which waits, and every target, whose processor acts",
    source="RAR v4, 20250619200442.1694583-1-riel@surriel.com; Intel white paper 341431",
)
