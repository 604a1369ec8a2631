"""Memory that the pages of processes are charged to: counters that all CPUs write to.

Stands for ``mem_cgroup_charge`` and ``mem_cgroup_uncharge_folios`` (mm/memcontrol.c). A page that
is touched for the first time is charged to the control group of its process, from a stock that its
CPU keeps; that is filled by many pages at once. What is freed is taken off the counters at once,
those of the group and of all groups above it (mm/page_counter.c, ``page_counter_uncharge``). Here
all processes are in one group. Left out: limits, and the stock that a CPU gives back.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from pmsim.kernel.locks import ContendedLines
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

STOCK: Final = 64
"""Pages that fill a CPU's stock (``MEMCG_CHARGE_BATCH``, include/linux/memcontrol.h; 32 before
6.1)."""

LEVELS: Final = 4
"""Groups whose counters a page is charged to. *Estimate*, 1 to 5: of a login under systemd, which
accounts for memory at each, they are the session, the user, all users, and the root."""


class PageCounters:
    """Counters of the groups that processes are in, and each CPU's stock.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._operations = context.operations
        self._counters = [ContendedLines(context.machine, 1) for _ in range(LEVELS)]
        self._stock: defaultdict[CpuId, Pages] = defaultdict(int)

    def charge(self, task: Task, pages: Pages) -> Steps:
        """Charge pages that are touched for the first time."""
        self._stock[task.cpu] -= pages
        while self._stock[task.cpu] < 0:
            self._stock[task.cpu] += STOCK
            yield from self._write(task)

    def uncharge(self, task: Task) -> Steps:
        """Take pages that are given back together off the counters."""
        yield from self._write(task)

    def _write(self, task: Task) -> Steps:
        for counter in self._counters:
            yield from self._operations.fetch(task, counter)
