"""What the generations of pmalloc do differently, each a small class.

The series changed what a pool may be asked for and which calls it makes, never how objects are laid
out. Sources: v21 (27 March 2018, cover letter 20180327153742.17328-1), v23 (23 April 2018,
20180423125458.5338-1, and mm/pmalloc.c of the author's tree of that time), prmem v1 (23 October
2018, patch 04/17, 20181023213504.28905-5). *modern* was never written: it is v21 brought to a
kernel with ``VM_FLUSH_RESET_PERMS`` (5.2 and later).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, get_args

from pmsim.kernel.pmalloc.modes import AUTOMATIC, PoolMode

if TYPE_CHECKING:
    from pmsim.kernel.pmalloc.pools import Pool, PoolArea


class V21:
    """pmalloc v21: pools are writable until they are protected, and then read-only for good.

    Attributes
    ----------
    name
        The value of a profile's key ``pmalloc``.
    modes
        What a pool may be.
    rare_writes
        The calls by which protected memory is changed, by the names of prmem.
    flush_reset_perms
        Whether areas are freed as ``VM_FLUSH_RESET_PERMS`` has it.
    """

    name: ClassVar[str] = "v21"
    modes: ClassVar[frozenset[PoolMode]] = frozenset({"ro"})
    rare_writes: ClassVar[frozenset[str]] = frozenset()
    flush_reset_perms: ClassVar[bool] = False

    def to_protect(self, pool: Pool) -> list[PoolArea]:
        """Return the areas that a protection makes read-only, in its order.

        The walk stops at the first protected area: all older ones are protected too.
        """
        return pool.unprotected()

    def superseded(self, pool: Pool) -> list[PoolArea]:
        """Return the areas to make read-only because a new one takes their place."""
        return []

    def made_writable(self, area: PoolArea) -> bool:
        """Return whether an area is made writable before it is freed."""
        return True


class V23(V21):
    """pmalloc v23: rare writes, automatic protection; a walk that leaves protected areas out."""

    name = "v23"
    modes = frozenset({"ro", "wr", "auto", "auto_wr"})
    rare_writes = frozenset({"wr_memcpy", "wr_ptr"})

    def to_protect(self, pool: Pool) -> list[PoolArea]:
        """Return every area that is not protected, newest first."""
        return [area for area in reversed(pool.areas) if not area.protected]

    def superseded(self, pool: Pool) -> list[PoolArea]:
        """Return the newest area of an automatic pool, unless it is protected."""
        newest = pool.areas[-1:] if pool.mode in AUTOMATIC else []
        return [area for area in newest if not area.protected]

    def made_writable(self, area: PoolArea) -> bool:
        """Return whether the area was ever made read-only."""
        return area.protected


class Prmem(V21):
    """prmem v1: areas may be protected from the start; whoever protects looks at no flag."""

    name = "prmem"
    modes = frozenset({"ro", "wr", "auto", "auto_wr", "start"})
    rare_writes = frozenset({"wr_memset", "wr_memcpy", "wr_ptr"})

    def to_protect(self, pool: Pool) -> list[PoolArea]:
        """Return every area, those that are protected included."""
        return list(reversed(pool.areas))

    def superseded(self, pool: Pool) -> list[PoolArea]:
        """Return the newest area of an automatic pool, even if it is protected."""
        return pool.areas[-1:] if pool.mode in AUTOMATIC else []


class Modern(V21):
    """v21 on a kernel of today: freeing an area flushes it, once, and resets the direct map."""

    name = "modern"
    flush_reset_perms = True

    def made_writable(self, area: PoolArea) -> bool:
        """Return False: freeing it resets its permissions."""
        return False


GENERATIONS: Final[Mapping[str, V21]] = MappingProxyType(
    {kind.name: kind() for kind in (V21, V23, Prmem, Modern)}
)
"""The generations by name."""


def refusal(generation: str, mode: PoolMode) -> str | None:
    """Return why pools of a generation cannot have a mode; None if they can.

    Examples
    --------
    >>> from pmsim.kernel.pmalloc.generations import refusal
    >>> refusal("v21", "start")
    'pmalloc v21 has no pools of mode start'
    >>> refusal("prmem", "start") is None
    True
    """
    if mode in GENERATIONS[generation].modes:
        return None
    return f"pmalloc {generation} has no pools of mode {mode}"


def with_mode(mode: PoolMode) -> str:
    """Return how to get pools of a mode, for hints: the generations that have them."""
    names = [name for name, kind in GENERATIONS.items() if mode in kind.modes]
    if not names:
        return f"the modes are {', '.join(get_args(PoolMode))}"
    return "set pmalloc to " + " or ".join(names) + " under kernel"
