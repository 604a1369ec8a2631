"""A task: a thread of execution on one CPU, and what it has other CPUs do.

What it does on its own one is in `thread`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import call
from pmsim.hardware.thread import Thread
from pmsim.steps import Steps

if TYPE_CHECKING:
    from pmsim.hardware.shootdown.protocol import Protocol as ShootdownProtocol
    from pmsim.hardware.shootdown.tlbi import Invalidation
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.tlb import FlushFunction

Checked = npt.NDArray[np.int64]
"""Targets of a call that have been checked: ascending, the initiator left out."""

EVERYONE: Checked = np.zeros(0, dtype=np.int64)
NO_JITTER: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)


class Task(Thread):
    """A thread of execution on one CPU, that can call others."""

    __slots__ = ("_distances", "_jitter", "_slot")

    def __init__(self, machine: Silicon, index: int, cpu: int, *args: Any) -> None:
        super().__init__(machine, index, cpu, *args)
        self._distances = machine.fabric.distances
        self._jitter = machine.jitter is not None
        self._slot = machine.slots[cpu % len(machine.slots)] if machine.slots else None

    def cross_call(
        self,
        function: FlushFunction,
        *,
        cause: int = 0,
        operation: int = -1,
        pages: int = -1,
        targets: Sequence[int] | Checked | None = None,
    ) -> Steps:
        """Have a function run on other CPUs and on this one, and wait until all have.

        Parameters
        ----------
        function
            What each CPU runs.
        cause, operation, pages
            Written to the call's row: numbers that mean something to the caller.
        targets
            CPUs to call, this one left out; ``None`` for every other CPU. An array of them has been
            checked, and is ascending.

        Raises
        ------
        ProgramError
            If a target is out of range or named twice.
        """
        yield from self.boundary()
        machine, words = self.machine, self._words
        began = words[layout.NOW]
        if targets is None:
            chosen, n = EVERYONE, machine.n_cpus - 1
        else:
            chosen = self._checked(targets)
            n = len(chosen)
            if n == 0:
                chosen = np.array([self.cpu], dtype=np.int64)
        slot = self._slot if n else None
        if slot is not None:
            if slot.owner is None:
                slot.owner = self
            else:
                asked = self.now
                yield from slot.lock(self)
                words[layout.WAITED] = self.now - asked
        task = call(
            self._state,
            self._distances,
            chosen,
            machine.draw_jitter(n) if self._jitter else NO_JITTER,
            self.cpu,
            n,
            *function.arguments,
            int(cause),
            operation,
            pages,
        )
        if task != self.index and task != layout.OVER:
            yield task
        if slot is not None:
            slot.unlock(self)
        if machine.keep_acks:
            machine.note_acks(self.cpu)
        if machine.interruptions is not None:
            told = (self.cpu, self.number, int(function.kind), int(cause), operation)
            machine.interruptions.note(told, began)
        if task == layout.OVER:
            machine.flush_log()

    def free_lazily(
        self,
        function: FlushFunction,
        *,
        cause: int = 0,
        if_full: int = 0,
        operation: int = -1,
        pages: int = -1,
        targets: Sequence[int],
    ) -> Generator[Any, Any, bool]:
        """Flush its own CPU, and leave others a note that they take at their ticks or switches.

        Where the machine has no such ticks, where nobody else is concerned, or where the CPU's ring
        is full, it is a `cross_call`, whose parameters it has; ``if_full`` is the cause then.

        Returns
        -------
        bool
            Whether the others drop it later.
        """
        yield from self.boundary()
        machine, words = self.machine, self._words
        chosen, rings = self._checked(targets), machine.rings
        n = len(chosen)
        if rings is not None and n:
            began = words[layout.NOW]
            words[layout.IF_FULL] = layout.NONE if self._jitter else int(if_full)
            cost, flags, kind = function.arguments
            task = call(
                self._state,
                self._distances,
                chosen,
                rings[self.cpu],
                self.cpu,
                n,
                cost,
                flags | layout.IS_LAZY,
                kind,
                int(cause),
                operation,
                pages,
            )
            if task != layout.NO_ROOM:
                is_noted = words[self.row + layout.C_TARGETS] == 0
                if task != self.index and task != layout.OVER:
                    yield task
                if machine.keep_acks:
                    if is_noted:
                        machine.acks.append({})
                    else:
                        machine.note_acks(self.cpu)
                if machine.interruptions is not None and not is_noted:
                    told = (self.cpu, self.number, kind, int(if_full), operation)
                    machine.interruptions.note(told, began)
                if task == layout.OVER:
                    machine.flush_log()
                return is_noted
            cause = if_full
        yield from self.cross_call(
            function, cause=cause, operation=operation, pages=pages, targets=chosen
        )
        return False

    def _checked(self, targets: Sequence[int] | Checked) -> Checked:
        """Return targets ascending and without the initiator; see `cross_call`."""
        if isinstance(targets, np.ndarray):
            return targets
        chosen, n_cpus = sorted(targets), self.machine.n_cpus
        if len(set(chosen)) != len(chosen):
            raise self.error("names a target of a cross-call twice")
        if chosen and not (chosen[0] >= 0 and chosen[-1] < n_cpus):
            raise self.error(f"calls a CPU that is not there: the machine has {n_cpus}")
        own = bisect_left(chosen, self.cpu)
        if own < len(chosen) and chosen[own] == self.cpu:
            del chosen[own]
        return np.array(chosen, dtype=np.int64)

    def invalidate(
        self,
        invalidation: Invalidation,
        *,
        cause: int = 0,
        operation: int = -1,
        pages: int = -1,
    ) -> Steps:
        """Have the interconnect invalidate on every CPU, and wait until all have acted on it.

        Parameters
        ----------
        invalidation
            What goes out.
        cause, operation, pages
            Written to its row: numbers that mean something to the caller.

        Raises
        ------
        ProgramError
            If the machine cannot do that: its costs have no ``tlbi``; or if it takes longer than
            `LONGEST_FLUSH`.
        """
        yield from self.boundary()
        machine = self.machine
        if machine.broadcasts is None:
            raise self.error("invalidates by broadcast (tlbi), which this machine cannot")
        operations, service, more = machine.broadcasts.work(invalidation)
        task = call(
            self._state,
            self._distances,
            EVERYONE,
            more,
            self.cpu,
            operations,
            service,
            -layout.BY_TLBI,
            int(invalidation.kind),
            int(cause),
            operation,
            pages,
        )
        if task != self.index:
            yield task
        if machine.keep_acks:
            machine.acks.append({})

    def wait_for_holders(
        self,
        protocol: ShootdownProtocol,
        pages: int,
        *,
        cause: int = 0,
        operation: int = -1,
        holders: Sequence[int] | None = None,
    ) -> Steps:
        """Have the hardware tell all who hold a translation, and wait for their answers.

        Parameters
        ----------
        protocol
            In which way: ``COHERENT`` or ``DIRECTORY`` of `shootdown.holders`.
        pages
            How many were changed; -1: everything.
        cause, operation
            Written to its row: numbers that mean something to the caller.
        holders
            The other CPUs that hold it; None: all.

        Raises
        ------
        ProgramError
            If the machine cannot do that: its costs have no such group; or if it takes longer than
            `LONGEST_FLUSH`.
        """
        yield from self.boundary()
        machine = self.machine
        hardware = machine.holders.get(protocol.name)
        if hardware is None:
            raise self.error(f"relies on {protocol.name}, which this machine does not have")
        what = hardware.wait(self.cpu, pages, holders)
        task = call(
            self._state,
            self._distances,
            EVERYONE,
            what.more,
            self.cpu,
            *what.arguments,
            int(cause),
            operation,
            pages,
        )
        if task != self.index and task != layout.OVER:
            yield task
        if machine.keep_acks:
            machine.acks.append({})
        if task == layout.OVER:
            machine.flush_log()
