"""Making other CPUs see code that was changed.

x86 keeps instruction caches coherent, and CPUs must only serialise. Elsewhere the caches of
instructions are told too, by the hardware (Arm) or by a call to every CPU (RISC-V).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pmsim.hardware.tlb import empty_call
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps
    from pmsim.units import Picoseconds

Sync = Callable[["Task"], Iterable[Any]]
"""Tells the other CPUs; used with ``yield from``."""


class CodeSync:
    """The ways of a kernel to let all CPUs run changed code.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    flush_icache_range
        Makes code that was written visible to all CPUs before it is run for the first time:
        `text_poke_sync` where the kernel sends a call for that (arm64 since 4.19,
        arch/arm64/include/asm/cacheflush.h; RISC-V), nothing elsewhere.
    """

    def __init__(self, context: KernelContext) -> None:
        syncs = context.profile.icache_sync
        self.flush_icache_range: Sync = self.text_poke_sync if syncs else self.nothing
        self._switches = 2 * context.machine.costs.sched.context_switch
        self._tlbflush = context.tlbflush
        self._operations = context.operations

    def nothing(self, task: Task) -> Iterable[Any]:
        """Tell nobody."""
        return ()

    def text_poke_sync(self, task: Task) -> Steps:
        """Let all CPUs notice that code has changed; see `TlbFlush.text_poke_sync`."""
        return self._tlbflush.text_poke_sync(task)

    def stop_machine(self, task: Task, work: Picoseconds = 0) -> Steps:
        """Hold all CPUs while one of them works: ``stop_machine``.

        Here it is one cross-call: on every CPU a switch to the stopper thread and back, and the
        work between. Left out: that all of them wait, interrupts off, until the slowest has come,
        so victims lose less here than on Linux by the spread of their arrivals.
        """
        function = empty_call(self._switches + work)
        return self._operations.cross_call(task, function, Cause.TEXT_POKE)
