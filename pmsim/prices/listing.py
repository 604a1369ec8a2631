"""The list itself: the prices of every operation on some kernels, each on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pmsim.kernel.profile import KernelProfile
from pmsim.prices.catalogue import CATALOGUE, Sizes
from pmsim.prices.meter import Price, price
from pmsim.scenario.machine import MachineDescription

WORKING_SET: Final = 512
"""TLB entries that other work is taken to need: 2 MiB in pages of 4 KiB."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """What everything costs on one kernel, on one machine.

    Attributes
    ----------
    kernel, machine, cpus
        Names of the two, and how many CPUs the machine has.
    sizes
        What the operations were about.
    working_set
        TLB entries that each other CPU's work fills again after a full flush.
    prices
        By the names of `CATALOGUE`; `None` where the kernel does not do it.
    """

    kernel: str
    machine: str
    cpus: int
    sizes: Sizes
    working_set: int
    prices: Mapping[str, Price | None]


def price_list(
    machine: MachineDescription,
    profile: KernelProfile,
    sizes: Sizes | None = None,
    working_set: int = WORKING_SET,
    label: str | None = None,
) -> PriceList:
    """Find out what every operation costs, each on a kernel that was just booted.

    Parameters
    ----------
    machine, profile
        What is booted on what.
    sizes
        What the operations are about.
    working_set
        TLB entries that each other CPU's work fills again after a full flush.
    label
        What the list calls the kernel; by default its name.

    Examples
    --------
    >>> from pmsim.kernel.profiles import load_profile
    >>> from pmsim.scenario.platform import load_platform
    >>> prices = price_list(load_platform("opteron-2008"), load_profile("linux-6.1-x86_64"))
    >>> prices.prices["protect"].broadcasts
    10
    """
    sizes = sizes or Sizes()
    prices = {
        name: price(machine, profile, priced, sizes, working_set)
        for name, priced in CATALOGUE.items()
    }
    name, cpus = label or profile.name, machine.topology.n_cpus
    return PriceList(name, machine.name, cpus, sizes, working_set, prices)
