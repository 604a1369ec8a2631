"""The host of a virtual machine, and what it adds to interrupts between virtual CPUs.

A virtual CPU that sends an interrupt leaves the guest for it, unless the host's processors send by
themselves (Intel's IPI virtualisation, AMD's AVIC). One that gets an interrupt while it runs leaves
the guest, is injected the interrupt, and comes back, unless the processors post it (Intel's posted
interrupts). Both are costs of every protocol that sends or has handlers. The rules are in section
10 of the machine-model page.

A host that has more virtual CPUs than CPUs runs them in turn: each has a slice of every period of
``overcommit`` slices, and is *frozen* otherwise.

Left out: turns that depend on who has something to do; the host's own interrupts; nested page
tables, which make each refill longer (``tlb.walk``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt

from pmsim.constants import Constant, Group, Kind
from pmsim.hardware.topology import MAX_CPUS
from pmsim.units import MS


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
            text="Virtual CPUs to each of the host's, which take turns; with 1 all run all the"
            " time.",
            kind=Kind.COUNT,
            least=1,
            most=MAX_CPUS,
        ),
    ] = 1
    slice: Annotated[
        int,
        Constant(
            text="How long a virtual CPU runs in its turn, if it has to take turns.",
            least=1,
            basis="derived",
            note=", Linux 6.6: sysctl_sched_base_slice of 0.75 ms times 1 + log2(8)"
            " (kernel/sched/fair.c)",
        ),
    ] = 3 * MS
    phases: Annotated[
        tuple[int, ...],
        Constant(
            text="When the first turn of each virtual CPU begins: a list of times, one for each, or"
            " random: drawn for each run.",
            kind=Kind.PHASES,
        ),
    ] = ()
    pv_flush: Annotated[
        bool,
        Constant(
            text="Whether a flush of user space leaves out virtual CPUs that do not run (KVM): they"
            " drop everything when they next run, at the costs of `deferred`.",
            kind=Kind.SWITCH,
        ),
    ] = False

    @property
    def period(self) -> int:
        """How long it takes from one turn of a virtual CPU to its next."""
        return self.overcommit * self.slice

    @property
    def freezes(self) -> bool:
        """Whether virtual CPUs do not always run."""
        return self.overcommit > 1


BARE_METAL: Final = Host()
"""What adds nothing."""


def phases_of(
    host: Host | None, n_cpus: int, rng: np.random.Generator | None
) -> npt.NDArray[np.int64]:
    """Return when the first turn of each CPU begins, in picoseconds below the host's period.

    Raises
    ------
    ValueError
        If the host says the phases of another number of CPUs, or they are to be drawn from nothing.
    """
    if host is None or not host.freezes:
        return np.zeros(n_cpus, dtype=np.int64)
    if host.phases:
        if len(host.phases) != n_cpus:
            raise ValueError(f"the host has {len(host.phases)} phases for {n_cpus} CPUs")
        return np.array(host.phases, dtype=np.int64) % host.period
    if rng is None:
        raise ValueError("a host with random phases needs a random generator")
    return rng.integers(0, host.period, n_cpus, dtype=np.int64)
