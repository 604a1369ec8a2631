"""Barriers behind the kernel's page-table entries, so that page walks see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.units import Picoseconds

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext


class PteBarriers:
    """What the barriers take that follow valid entries.

    Stands for ``DSB ISHST`` and ``ISB`` in ``__set_pte`` (arch/arm64/include/asm/pgtable.h): behind
    each entry, or since 6.16 one for all that are written in lazy MMU mode, which is left and
    entered for each table (``vmap_pte_range``, ``apply_to_pte_range``; 5fdd05efa1cd). Other
    architectures have none. Left out: that entries which are cleared need none, where
    ``set_direct_map_*`` clears them; entries of higher levels.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._how = context.profile.pte_barriers
        self._entries = context.profile.geometry.entries

    def time(self, entries: int) -> Picoseconds:
        """Return what the barriers of so many entries take that were written together."""
        if self._how == "none":
            return 0
        barriers = entries if self._how == "per_entry" else -(-entries // self._entries)
        return barriers * self._costs.pte_barrier
