"""All shootdown protocols, by name: pmsim's own, those of installed packages, and the user's.

Packages name theirs in the entry-point group ``pmsim.protocols``: a decorated class, or a module of
them (`shootdown.own`). They are looked for when somebody asks for all, or for one that is not
pmsim's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Final

from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.holders import COHERENT, DIRECTORY
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Protocol, Shootdown
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.shootdown.sbi import SBI
from pmsim.hardware.shootdown.tlbi import TLBI

ENTRY_POINT_GROUP: Final = "pmsim.protocols"

SHIPPED: Final = (IPI, TLBI, SBI, COHERENT, DIRECTORY, RAR, DEFERRED, LATR)
"""Pmsim's own, in the order of the numbers that the machine writes for them."""


class Protocols(Mapping[str, Protocol]):
    """The protocols that are known, in the order of the machine's numbers for them."""

    def __init__(self) -> None:
        self._known = {one.name: one for one in SHIPPED}
        self._numbers = {one.name: number for number, one in enumerate(SHIPPED)}
        self._looked = False

    def __getitem__(self, name: str) -> Protocol:
        if name not in self._known:
            self._look()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(self._known)

    def __len__(self) -> int:
        self._look()
        return len(self._known)

    def of(self, name: str) -> Protocol | None:
        """Return one that has been registered, without a look at what packages name."""
        return self._known.get(name)

    def add(self, protocol: Protocol) -> None:
        """Enter a protocol; the same class again (a notebook cell run twice) replaces itself.

        Raises
        ------
        ValueError
            If another class has the name.
        """
        known = self._known.get(protocol.name)
        if known is not None and _origin(known) != _origin(protocol):
            raise ValueError(
                f"the protocol '{protocol.name}' is already {'.'.join(_origin(known))}:"
                " choose another name"
            )
        self._known[protocol.name] = protocol
        self._numbers.setdefault(protocol.name, len(self._numbers))

    def number(self, protocol: Protocol) -> int:
        """Return the number by which the machine's rows name a protocol, in this process."""
        return self._numbers.setdefault(protocol.name, len(self._numbers))

    def names(self) -> list[str]:
        """Return the names by their numbers, of protocols that are forgotten again too."""
        return list(self._numbers)

    def codes(self) -> dict[str, str]:
        """Return the hash of the code of each registered protocol that is not pmsim's own."""
        known = self._known.items()
        return {name: one.code_sha256 for name, one in known if one.own is not None}

    @contextmanager
    def scoped(self) -> Iterator[Protocols]:
        """Let the protocols that are registered within a block end with it."""
        self._look()
        before = dict(self._known)
        try:
            yield self
        finally:
            self._known = before

    def _look(self) -> None:
        """Import what packages name as their protocols, once."""
        if self._looked:
            return
        self._looked = True
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            try:
                entry.load()
            except Exception as error:
                # Another package's fault must not take away the protocols that work.
                warnings.warn(
                    f"protocol '{entry.name}' of {entry.value} cannot be loaded: {error}",
                    stacklevel=2,
                )


def _origin(protocol: Protocol) -> tuple[str, str]:
    cls = protocol.own or Protocol
    return (cls.__module__, cls.__qualname__)


PROTOCOLS: Final = Protocols()

BY_INTERRUPTS: Final = Shootdown(IPI)
"""How a machine is told that nothing else is said of; and how it makes the cross-calls that remain
where the hardware drops translations."""


def protocol_named(name: str) -> Protocol:
    """Return a protocol by its name."""
    return PROTOCOLS[name]


def number_of(protocol: Protocol) -> int:
    """Return the number by which the machine's rows name a protocol."""
    return PROTOCOLS.number(protocol)


def calls_of(shootdown: Shootdown) -> Shootdown:
    """Return how cross-calls are made: as shootdowns are, if these are cross-calls."""
    return shootdown if shootdown.protocol.interrupts else BY_INTERRUPTS
