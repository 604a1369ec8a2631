"""The remote fence by firmware, which RISC-V has.

It stands for the RFENCE extension of the Supervisor Binary Interface (``sbi_remote_sfence_vma``,
``sbi_remote_fence_i``, arch/riscv/kernel/sbi.c) on a firmware that serves it with one interrupt
per hart in machine mode (OpenSBI, lib/sbi/sbi_tlb.c): the kernel traps into the firmware, which
queues the request for each hart, interrupts it, and waits until all have served it. The rules are
in section 9 of the machine-model page.

Left out: harts that a call does not name but that share a queue with those it names; requests that
the firmware merges because their ranges touch; queues that are full; calls that the kernel makes
by itself, through interrupts in supervisor mode (``IPI_CALL_FUNC``): a machine of this kind makes
every cross-call through the firmware.
"""

from __future__ import annotations

from typing import Final

from pmsim.hardware.costs import SbiCosts
from pmsim.hardware.shootdown.protocol import Holds, Protocol

SBI: Final = Protocol(
    name="sbi",
    text="Firmware call: a trap, then one interrupt for each target in"
    " machine mode, which interrupts-off windows do not hold off.",
    told="firmware calls (sbi)",
    costs=SbiCosts,
    interrupts=True,
    held_off=False,
    at_return=Holds.GONE,
    pays="the initiator, which waits in the firmware, and every target, whose hart is interrupted",
    source="arch/riscv/kernel/sbi.c, sbi_remote_sfence_vma; OpenSBI, lib/sbi/sbi_tlb.c",
)
