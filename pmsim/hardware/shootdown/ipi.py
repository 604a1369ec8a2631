"""The cross-call by inter-processor interrupts, which x86 and Arm have.

It stands for ``smp_call_function_many_cond`` (kernel/smp.c): a request is put into the queue of
every target, those whose queue was empty are interrupted, each drains its queue, and the initiator
waits for all of them. The rules are in sections 3 to 5 of the machine-model page.

Left out: the initiator has interrupts off while it queues and sends, not on; a write to the
interrupt controller takes the same whether or not it is busy; handlers do not slow each other
through shared caches.
"""

from __future__ import annotations

from typing import Final

from pmsim.constants import Group
from pmsim.hardware.costs import IpiCosts
from pmsim.hardware.shootdown.protocol import Holds, Option, Protocol, Shootdown, Value

ACK: Final = Option(
    name="ack",
    text="When a target acknowledges a call: at the end of its own function, or at its start.",
    values=(
        Value("completion", "at the end of its own function, as Linux does"),
        Value(
            "entry",
            "at the start of its own function, as FreeBSD does (sys/amd64/amd64/mp_machdep.c) and"
            " as was proposed for Linux (Amit, Tai and Wei, EuroSys 2020); at the end where page"
            " tables are freed behind it",
            at_return=Holds.CLOSED,
        ),
    ),
)

SHORTHAND: Final = Option(
    name="shorthand",
    text="Whether a call of all other CPUs is sent by one write.",
    values=(
        Value(
            "native",
            "where the interrupt controller can (`costs.ipi.shorthand`) and the kernel does so (its"
            " key `ipi_shorthand`)",
        ),
        Value("true", "by one write, whatever machine and kernel say"),
        Value("false", "by a write for each group of `fanout` CPUs, as any other set of CPUs"),
    ),
)

IPI: Final = Protocol(
    name="ipi",
    text="IPI call: every target is interrupted, runs the function and acknowledges it;"
    " the initiator waits for the last one.",
    told="",
    costs=IpiCosts,
    interrupts=True,
    held_off=True,
    at_return=Holds.GONE,
    pays="the initiator, which waits, and every target, whose handler takes its time",
    source="kernel/smp.c, smp_call_function_many_cond; arch/x86/mm/tlb.c",
    options=(ACK, SHORTHAND),
)


def by_shorthand(calls: Shootdown, costs: Group | None) -> bool:
    """Return whether calls of all other CPUs are sent by one write on a machine of these costs."""
    chosen = calls.value(SHORTHAND.name)
    if chosen == "native":
        return isinstance(costs, IpiCosts) and costs.shorthand
    return chosen == "true"
