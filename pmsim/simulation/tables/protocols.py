"""The protocols by which shootdowns are made, for those who read tables of them."""

from __future__ import annotations

from typing import Final

from pmsim.hardware.shootdown.protocol import Count, Holds, Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS

__all__ = ["PROTOCOLS", "SILENT", "TOLD", "Count", "Holds", "Shootdown"]

SILENT: Final = frozenset(name for name, one in PROTOCOLS.items() if not one.by_calls)
"""Those of which nobody has a handler."""

TOLD: Final = {name: one.told for name, one in PROTOCOLS.items() if one.told}
"""How the answer speaks of those that are not the ordinary way."""
