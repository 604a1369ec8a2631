"""The modes of pools."""

from __future__ import annotations

from typing import Final, Literal

PoolMode = Literal["ro", "wr", "auto", "auto_wr", "start"]
"""What a pool lets be done to protected memory, and when it protects.

``ro``: nothing may change it; ``wr``: rare writes may; ``auto`` and ``auto_wr``: the same two, and
an area is protected as soon as the next one takes its place; ``start``: an area is protected before
anything is allocated in it, and rare writes are the only way to fill it. In prmem their names are
``PMALLOC_MODE_RO``, ``_WR``, ``_AUTO_RO``, ``_AUTO_WR`` and ``_START_WR``.
"""

REWRITABLE: Final[frozenset[PoolMode]] = frozenset({"wr", "auto_wr", "start"})
"""Modes whose memory rare writes may change."""

AUTOMATIC: Final[frozenset[PoolMode]] = frozenset({"auto", "auto_wr"})
"""Modes in which a new area makes the one before it read-only."""
