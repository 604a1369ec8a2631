"""Pools of recently freed areas, one set per node, of kernels from 6.9 on.

Stands for ``struct vmap_node`` and what works on it in mm/vmalloc.c (6.12: ``vmap_init_nodes``,
``node_alloc``, ``node_pool_add_va``, ``decay_va_pool_node``, ``purge_vmap_node``). An area that is
freed goes back to the node of the CPU that allocated it, and from a purge on waits there for a
request of its size, so that CPUs seldom meet in the tree of free addresses; areas in use are kept
in one tree per node too, and so are freed ones. Left out: the shrinker, which empties pools when
memory is short.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from pmsim.kernel.addresses.ranges import TREE, AddressRange, FreedArea, Share, merged
from pmsim.units import CpuId, Pages

MOST_NODES: Final = 128
"""Nodes at most (``vmap_init_nodes``): one for each possible CPU up to here."""

POOLED_PAGES: Final = 256
"""The largest area, its guard included, that is pooled (``MAX_VA_SIZE_PAGES``)."""

ZONE_PAGES: Final = 16
"""Pages of address space in a row that belong to one node (``vmap_zone_size``)."""

_NODE_LOCKS: Final = ("vmap_node.pool_lock", "vmap_node.busy.lock", "vmap_node.lazy.lock")

Pool = deque[FreedArea]
"""Areas of one size; the next to serve is the last."""


class NodePools:
    """The nodes of a kernel.

    What they know is in trees, which are not walked one area after the other.

    Parameters
    ----------
    cpus
        Possible CPUs.
    pooled
        The range whose areas are pooled: the whole of vmalloc's. Modules are not.
    """

    steps = 0
    most_steps = 0

    def __init__(self, cpus: int, pooled: AddressRange) -> None:
        self.nodes = min(max(cpus, 1), MOST_NODES)
        self._pooled = pooled
        # With one node all is as before, without pools.
        self._enabled = self.nodes > 1
        self._pools: list[dict[Pages, Pool]] = [{} for _ in range(self.nodes)]
        # That of the tree of free areas comes first (`TREE`), then the three of each node.
        self.locks = ("free_vmap_area_lock", *(_NODE_LOCKS * self.nodes))
        # Node of every area of the pooled range, by its first page, from allocation to purge.
        self._owner: dict[int, int] = {}

    def search_lock(self, cpu: CpuId, where: AddressRange, pages: Pages) -> int:
        """Return the node's own lock if its pool has such an area, else that of the tree."""
        node = cpu % self.nodes
        return 1 + 3 * node if where is self._pooled and self._pools[node].get(pages) else TREE

    def busy_lock(self, page: int) -> int:
        """Return the lock of the node that the address belongs to."""
        return 2 + 3 * self._zone(page)

    def lazy_lock(self, page: int) -> int | None:
        """Return the lock of the node that the area goes back to."""
        return 3 + 3 * self._node(page)

    def take(self, cpu: CpuId, where: AddressRange, pages: Pages, align: Pages) -> int | None:
        """Take an area of that size from the CPU's pool, or the lowest place of all.

        See `AddressSearch.take`.
        """
        if not self._enabled or where is not self._pooled:
            return where.space.take(pages, align)
        node = cpu % self.nodes
        page = self._from_pool(node, pages, align)
        if page is None:
            page = where.space.take(pages, align)
        if page is not None:
            self._owner[page] = node
        return page

    def before_purge(self, *, full: bool) -> None:
        """Free a quarter of every pool, or all of it (``decay_va_pool_node``)."""
        freed = []
        for pools in self._pools:
            for size, pool in list(pools.items()):
                count = len(pool) if full else len(pool) // 4
                freed += [pool.pop() for _ in range(count)]
                if not pool:
                    del pools[size]
        self._free(freed)

    def shares(self, areas: list[FreedArea]) -> list[Share]:
        """Tell areas apart by node: of who allocated them, else of their address."""
        shares: dict[int, list[FreedArea]] = {}
        for area in areas:
            shares.setdefault(self._node(area.page), []).append(area)
        return [Share(node, shares[node]) for node in sorted(shares)]

    def give(self, share: Share, *, full: bool) -> None:
        """Put a node's areas into its pools, those that are too large or not its own elsewhere."""
        node, areas = share
        pools, rest = self._pools[node], []
        for area in areas:
            owned = self._owner.pop(area.page, None) is not None
            if owned and not full and area.pages <= POOLED_PAGES:
                pools.setdefault(area.pages, deque()).append(area)
            else:
                rest.append(area)
        self._free(rest)

    def _zone(self, page: int) -> int:
        """Return the node of an address (``addr_to_node_id``)."""
        return page // ZONE_PAGES % self.nodes

    def _node(self, page: int) -> int:
        """Return the node of an area: whose CPU asked for it, else that of its address."""
        return self._owner.get(page, self._zone(page))

    def _from_pool(self, node: int, pages: Pages, align: Pages) -> int | None:
        """Take the area that was pooled last; one that is not aligned goes to the far end."""
        pool = self._pools[node].get(pages)
        if not pool:
            return None
        if pool[-1].page % align:
            pool.rotate(1)
            return None
        return pool.pop().page

    def _free(self, areas: list[FreedArea]) -> None:
        for page, pages, where in merged(sorted(areas, key=_page)):
            where.space.give(page, pages)


def _page(area: FreedArea) -> int:
    return area.page
