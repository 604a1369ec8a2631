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

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.shootdown.calls import CallTable, Protocol


def call_table(costs: MachineCosts) -> CallTable:
    """Return what a cross-call through the firmware costs on a machine.

    Raises
    ------
    ValueError
        If the machine has no costs for it.
    """
    sbi = costs.sbi
    if sbi is None:
        raise ValueError("the machine has no costs for calls through the firmware (sbi)")
    return CallTable(
        protocol=Protocol.SBI,
        trap=sbi.trap,
        queue=sbi.queue,
        send=sbi.send,
        fanout=1,
        delivery=sbi.delivery,
        line=sbi.line,
        entry=sbi.entry,
        exit=sbi.exit,
        jitter=None,
        held_off=False,
    )
