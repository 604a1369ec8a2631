"""The protocols by which shootdowns are made, for those who read tables of them."""

from __future__ import annotations

from typing import Final

from pmsim.constants import Constant, declarations
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.protocol import Count, Holds, Protocol, Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS, SHIPPED
from pmsim.hardware.topology import ByDistance
from pmsim.units import format_time

__all__ = [
    "PROTOCOLS",
    "SHIPPED_NAMES",
    "SILENT",
    "Count",
    "Holds",
    "Shootdown",
    "calls_of",
    "place",
    "protocol_costs",
    "told",
]

SILENT: Final = frozenset(one.name for one in SHIPPED if not one.by_calls)
"""Those of which nobody has a handler."""

SHIPPED_NAMES: Final = frozenset(one.name for one in SHIPPED)
"""Pmsim's own."""

_TOLD: Final = {one.name: one.told for one in SHIPPED if one.told}


def told(name: str) -> str:
    """Return how the answer speaks of a protocol; empty for the ordinary way.

    What is not pmsim's own goes by its name: who reads a result need not have its code.
    """
    return _TOLD.get(name, "" if name == IPI.name else f"by {name}")


def protocol_costs(protocol: Protocol) -> list[tuple[str, str]]:
    """Return the costs of a protocol that is not pmsim's own, and what each is: with its default.

    Those of pmsim's own are in the reference.
    """
    if protocol.own is None:
        return []
    found: list[tuple[str, str]] = []
    declared: type = protocol.costs
    for one in declarations(declared):
        default = "" if one.required else f" (default: {_written(one.default)})"
        text = one.note.text if isinstance(one.note, Constant) else ""
        found.append((f"costs: {one.key}", f"{text}{default}"))
    return found


def _written(time: int | ByDistance) -> str:
    """Write a time, or a table of times by distance."""
    times = dict.fromkeys([time] if isinstance(time, int) else time)
    return ", ".join(format_time(one) for one in times)


def place(name: str) -> int:
    """Return where a protocol stands among all; those that are not pmsim's own come last."""
    names = [one.name for one in SHIPPED]
    return names.index(name) if name in names else len(names)


def calls_of(name: str) -> str:
    """Return the group whose costs the calls of a protocol have."""
    return name if any(one.name == name for one in SHIPPED) else IPI.name
