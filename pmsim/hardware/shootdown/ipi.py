"""The cross-call by inter-processor interrupts, which x86 and Arm have.

It stands for ``smp_call_function_many_cond`` (kernel/smp.c): a request is put into the queue of
every target, those whose queue was empty are interrupted, each runs what it finds, and the
initiator waits for all of them. The rules are in sections 3 to 5 of the machine-model page.

Left out: the initiator has interrupts off while it queues and sends, not on; a write to the
interrupt controller takes the same whether or not it is busy; handlers do not slow each other
through shared caches.
"""

from __future__ import annotations

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.shootdown.calls import CallTable, Protocol


def call_table(costs: MachineCosts) -> CallTable:
    """Return what a cross-call by interrupts costs on a machine."""
    ipi = costs.ipi
    return CallTable(
        protocol=Protocol.IPI,
        trap=0,
        queue=ipi.queue,
        send=ipi.send,
        fanout=ipi.fanout,
        delivery=ipi.delivery,
        line=ipi.line,
        entry=ipi.entry,
        exit=ipi.exit,
        jitter=ipi.jitter,
        held_off=True,
    )
