"""All shootdown protocols, by name."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.holders import COHERENT, DIRECTORY
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Protocol, Shootdown
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.shootdown.sbi import SBI
from pmsim.hardware.shootdown.tlbi import TLBI

PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (IPI, TLBI, SBI, COHERENT, DIRECTORY, RAR, DEFERRED, LATR)
    }
)
"""In the order of the numbers that the machine writes for them."""

_NUMBERS: Final = {name: number for number, name in enumerate(PROTOCOLS)}

BY_INTERRUPTS: Final = Shootdown(IPI)
"""How a machine is told that nothing else is said of; and how it makes the cross-calls that remain
where the hardware drops translations."""


def protocol_named(name: str) -> Protocol:
    """Return a protocol by its name."""
    return PROTOCOLS[name]


def _by_name(protocol: Protocol) -> tuple[Callable[[str], Protocol], tuple[str]]:
    """Pickle a protocol by its name: it is the same one in each process of a sweep."""
    return protocol_named, (protocol.name,)


copyreg.pickle(Protocol, _by_name)


def number_of(protocol: Protocol) -> int:
    """Return the number by which the machine's rows name a protocol."""
    return _NUMBERS[protocol.name]


def calls_of(shootdown: Shootdown) -> Shootdown:
    """Return how cross-calls are made: as shootdowns are, if these are cross-calls."""
    return shootdown if shootdown.protocol.interrupts else BY_INTERRUPTS
