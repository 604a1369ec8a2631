"""The host of a virtual machine, and what it adds to interrupts between virtual CPUs.

A virtual CPU that sends an interrupt leaves the guest for it, unless the host's processors send by
themselves (Intel's IPI virtualisation, AMD's AVIC). One that gets an interrupt while it runs leaves
the guest, is injected the interrupt, and comes back, unless the processors post it (Intel's posted
interrupts). Both are costs of every protocol that sends or has handlers. The rules are in section
10 of the machine-model page.

Left out: virtual CPUs that do not run, which is what overcommitting makes of them; the host's own
interrupts; nested page tables, which make each refill longer (``tlb.walk``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pmsim.constants import Constant, Group, Kind
from pmsim.hardware.topology import MAX_CPUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Group):
    """The host that a machine is a guest of."""

    exit: Annotated[
        int,
        Constant(
            text="Initiator: leaving the guest, added to every write that sends; nothing where the"
            " host virtualises that."
        ),
    ] = 0
    kick: Annotated[
        int,
        Constant(
            text="Initiator: what the host takes for each target of a write, one after the other."
        ),
    ] = 0
    inject: Annotated[
        int,
        Constant(
            text="Target: leaving the guest, being injected the interrupt and coming back, added to"
            " the entry of every handler; nothing where the host virtualises that."
        ),
    ] = 0
    overcommit: Annotated[
        int,
        Constant(
            text="Virtual CPUs to each of the host's; 1, as they all run all the time.",
            kind=Kind.COUNT,
            least=1,
            most=MAX_CPUS,
        ),
    ] = 1
    pv_flush: Annotated[
        bool,
        Constant(
            text="Whether a flush of user space leaves out virtual CPUs that do not run (KVM); with"
            " an overcommit of 1 there are none.",
            kind=Kind.SWITCH,
        ),
    ] = False


BARE_METAL: Final = Host()
"""What adds nothing."""
