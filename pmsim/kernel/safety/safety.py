"""The checker: on in every run, it compares what the kernel relies on with what TLBs may hold.

The page table says what was taken away (`stale`), the log of operations which shootdowns there are,
the machine when each CPU had dropped what (`tellings`), and the kernel's parts when they rely on
it: a call that revokes something returns; pages, addresses or page tables are given back. What is
needed then is in `pmsim.hardware.shootdown.promises`. Nothing here takes simulated time or changes
what happens.

It stands for nothing in the kernel. Left out: who would really have used an old translation; what
a TLB has evicted by itself; mappings that the model has no entries for (``kmap``, user pages are
known by process only, descriptors of huge pages, hot-removed memory); and of an address space that
CPUs only borrow, which of them still walk its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.kernel.dropped import Dropped
from pmsim.kernel.safety.found import Found
from pmsim.kernel.safety.held_back import HeldBack
from pmsim.kernel.safety.meetings import Meetings
from pmsim.kernel.safety.processes import Processes
from pmsim.kernel.safety.promised import Promised
from pmsim.kernel.safety.relied import Relied
from pmsim.kernel.safety.stale import StalePages
from pmsim.kernel.safety.tellings import (
    Telling,
    function_ends,
    late_of,
    still_at_it,
)
from pmsim.kernel.safety.violations import Hazard, Revocation, Violation
from pmsim.kernel.safety.waiting import Waits
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.geometry import Geometry
    from pmsim.kernel.operations import OperationLog

_REMEMBERED: Final = 64
"""Shootdowns of everything of which is remembered when they were over."""

_ENTRIES: Final = 256
"""Entries into the kernel that are kept before those are looked for that nobody needs any more."""

Ints = npt.NDArray[np.int64]

_NO_ENTRIES: Final = np.empty((0, layout.DROP_ROW), np.int64)


@dataclass(slots=True)
class Trusted:
    """What ``vfree`` gives back before any CPU has forgotten it, as Linux does on purpose.

    Attributes
    ----------
    areas, pages
        How many areas, and their pages.
    """

    areas: int = 0
    pages: Pages = 0


class Safety:
    """What the kernel relied on, in one run.

    Parameters
    ----------
    machine
        What it runs on.
    geometry
        The shape of its page tables.
    operations
        Its log of operations, which tells of every shootdown.

    Attributes
    ----------
    stale
        Which pages may still be known by their old translations.
    found
        The violations.
    processes
        What CPUs may still know of processes.
    trusted
        What was given back on trust.
    held_back
        What waited for ticks before it was given back.
    """

    def __init__(self, machine: Machine, geometry: Geometry, operations: OperationLog) -> None:
        self.stale = StalePages(machine.n_cpus)
        self.found = Found(machine, operations)
        self.processes = Processes(machine, self.found)
        self.trusted = Trusted()
        # Of a page: the first page and the end of the large leaf that maps it, if one does.
        self.leaf_of: Callable[[int], tuple[int, int] | None] = lambda _page: None
        self._machine = machine
        self._mask = (1 << geometry.address_bits - geometry.page_shift) - 1
        self._page_shift = geometry.page_shift
        self._under_way: dict[Task, Telling] = {}
        self._newest: dict[Task, Telling] = {}
        self._partial: dict[Task, list[Telling]] = {}  # those that did not tell all at once
        self._unlinked: dict[Task, int] = {}
        self._pending: dict[Task, list[Revocation]] = {}
        self._unwaited: list[Telling] = []  # that not all have run
        self._entries = _NO_ENTRIES  # since one that is under way began
        self._most_entries = _ENTRIES
        self.held_back = HeldBack(self.found.keep)
        self._meetings = Meetings(machine, self._under_way, self._pending)
        by_calls = machine.shootdown.protocol.by_calls
        self._ends = self._meetings.drops if by_calls else lambda one: function_ends(one.task)
        self._in_turn = np.zeros(machine.n_cpus, np.uint8)
        self._in_turn[[*machine.in_turn]] = 1
        self._waits = Waits(machine, self.found)
        self._relied = Relied(machine, self.stale, self.found, self._waits)
        self._promised = Promised(machine, self.found.keep)
        operations.watcher = self
        machine.on_drops = self.entered

    # --- shootdowns: the log of operations tells of them ----------------------------------------

    def begins(self, task: Task, what: Dropped) -> None:
        """Note that a shootdown begins, of pages of the kernel or of a process."""
        if what.process is None:
            if not self._under_way:
                self._entries = _NO_ENTRIES
            what = what if what.is_everything else self._widened(what)
            meetings = self._meetings
            self._under_way[task] = Telling(
                task, what, self.stale.generation, task.now, meetings.begun
            )
            meetings.begun += 1
        else:
            self.processes.begins(task, what.process)

    def about(self, task: Task) -> Dropped | None:
        """Return what the shootdown of a task is about that has begun; None where nobody said."""
        telling = self._under_way.get(task)
        return self.processes.about(task) if telling is None else telling.what

    def called(self, task: Task, targets: Sequence[CpuId] | None) -> None:
        """Note that it was a cross-call, and is over; or what a protocol's own code did."""
        telling = self._under_way.pop(task, None)
        if isinstance(task, OwnTask):
            self._made_by_code(task, telling)
        elif telling is None:
            told = None if targets is None else frozenset(targets)
            self.processes.told(task, told, still_at_it(task))
        else:
            telling.note_call(targets, self._in_turn, self._waits.states, self._ends)
            self._told(telling)

    def _made_by_code(self, task: OwnTask, telling: Telling | None) -> None:
        """Note whom a protocol that is not pmsim's own has told, and whom it has left out."""
        told = task.told
        self._settle_calls()
        if telling is None:
            called = (one.cpu for one in told.unwaited)
            known = frozenset((*told.dropped, *called))
            self.processes.told(task, known, late_of(told, task.now))
        else:
            telling.note_code(told)
            self._told(telling)

    def noted(self, task: Task, targets: Sequence[CpuId], freed: Pages) -> None:
        """Note that others drop what a task unmaps later, and that freed pages are held back."""
        words, ticks = self._machine.fabric.words, self._machine.costs.latr
        number = words[layout.SAVES] - 1
        if isinstance(task, OwnTask):
            number, targets = task.told.note, task.told.deferred
        self.processes.tells_by_a_note(task)
        if not freed:
            return
        assert ticks is not None
        held_ps = ticks.reclaim * ticks.tick
        operation = self.found.operation(task)
        self.held_back.noted(targets, number, freed, operation, task.now, held_ps)

    def invalidated(self, task: Task) -> None:
        """Note that the hardware told all CPUs, and that it is over."""
        telling = self._under_way.pop(task, None)
        if telling is None:
            self.processes.told(task, None)
        else:
            telling.note_hardware()
            self._told(telling)

    def flushed_own(self, task: Task) -> None:
        """Note that it was on the task's own CPU alone, and is over."""
        telling = self._under_way.pop(task, None)
        if telling is None:
            self.processes.told(task, frozenset())
        else:
            telling.note_own()
            self._told(telling)

    def _told(self, telling: Telling) -> None:
        what, stale, task = telling.what, self.stale, telling.task
        if self._waits.open and telling.tells_waiting:
            self._waits.told(telling, self._meetings.drops)
        if len(self._entries):
            telling.note_entries(self._entries)
        self._meetings.over(telling)
        self._newest[task] = telling
        told, is_partial = telling.told, len(telling.left_out) > 0
        if telling.late:
            self._remember(telling)
        if self._machine.in_turn:
            self._promised.left_out(telling.left_out, what)
        if telling.unwaited:
            self._going_on(telling)
        elif is_partial or told is not None:
            self._remember(telling)
            if what.is_everything:
                missing = telling.out if told is None else 1 - telling.tells_whom()
                stale.dropped_everything(telling.up_to, missing, asked=told is None)
            elif told is None:
                stale.dropped(what.first, what.end, telling.up_to)
        elif what.is_everything:
            stale.dropped_everything(telling.up_to)
        else:
            stale.dropped(what.first, what.end, telling.up_to)

    def _remember(self, telling: Telling) -> None:
        """Keep a shootdown that has not told all CPUs at once, for its task to rely on."""
        some = self._partial.get(telling.task)
        if some is None:
            self._partial[telling.task] = [telling]
        else:
            some.append(telling)
            del some[:-_REMEMBERED]

    def _going_on(self, telling: Telling) -> None:
        """Note a shootdown of which some have still to run a call that nobody waits for."""
        assert telling.told is not None
        if telling.what.is_everything:
            told_now = telling.tells_whom()
            for cpu in np.flatnonzero(told_now).tolist():
                told_now[cpu] = telling.has_been_run_on(cpu)
            self.stale.dropped_everything(telling.up_to, 1 - told_now)
        self._unwaited.append(telling)
        for one in telling.unwaited:
            one.then(lambda _ended: self._has_run(telling))

    def _has_run(self, telling: Telling) -> None:
        """Note it if all have run what a shootdown has called them for and nobody waited for."""
        if not telling.all_have_run:
            return
        what, stale = telling.what, self.stale
        telling.note_all_have_run()
        self._unwaited.remove(telling)
        if what.is_everything and telling.tells_all and not len(telling.left_out):
            stale.dropped_everything(telling.up_to)
        elif what.is_everything:
            missing = 1 - telling.tells_whom()
            stale.dropped_everything(telling.up_to, missing, asked=telling.tells_all)
        elif telling.tells_all:
            stale.dropped(what.first, what.end, telling.up_to)

    def _settle_calls(self) -> None:
        """Look which calls have been run by now that nobody waits for."""
        if self._machine.call_data is not None:
            self._machine.call_data.settle(self._machine.now)

    def _widened(self, what: Dropped) -> Dropped:
        """Return a range as pages of the tree, with all of the large leaves that it touches."""
        first, end = what.first & self._mask, (what.end - 1 & self._mask) + 1
        if what.end <= what.first:
            return Dropped(first, first)
        start, last = self.leaf_of(first), self.leaf_of(end - 1)
        return Dropped(start[0] if start else first, last[1] if last else end)

    # --- what was taken away, and who relies on that it is gone ----------------------------------

    def page_of(self, address: int) -> int:
        """Return the number of an address's page, as the tree counts them."""
        return address >> self._page_shift & self._mask

    def revoked(self, task: Task, address: int, pages: Pages, before: int) -> None:
        """Note that a task has just changed pages, and relies on it if it took rights away.

        Then there has been a generation since the one ``before`` the change.
        """
        generation = self.stale.generation
        if generation > before:
            page = address >> self._page_shift & self._mask
            one = Revocation(page, pages, generation, task.now)
            self._pending.setdefault(task, []).append(one)

    def returned(self, task: Task) -> list[Revocation]:
        """Look at what a task relies on whose call returns; return what it has revoked."""
        pending = self._pending.pop(task, None)
        if pending is None:
            return []
        self._settle_calls()
        partial, everywhere = self._partial.pop(task, ()), self.stale.everywhere
        if partial and self._relied.are_alike(pending, partial):
            self._relied.relied_on_alike(task, pending, Hazard.WRITE_AFTER_PROTECT)
            return pending
        for one in pending:
            if one.generation <= everywhere and one.first is None and one.is_known and not partial:
                continue  # every CPU has dropped everything since, and was told to
            if not one.is_known and one.left_out_by is None:
                first = self._meetings.first_of(one)
                waited_for = any(one in telling.revoked for telling in self._unwaited)
                if first is not None and not (waited_for and first[0].max() >= layout.INF):
                    one.is_dropped(first)
            self._relied.relied_on(task, one, Hazard.WRITE_AFTER_PROTECT, partial)
        return pending

    def holds(self, cpu: CpuId, address: int) -> bool:
        """Return whether a CPU, whose task takes a step now, may hold an old translation."""
        page, stale = self.page_of(address), self.stale
        self._settle_calls()
        generation = stale.newest(page, 1)
        known = stale.current_on(cpu)
        machine = self._machine
        if cpu in machine.in_turn or machine.shootdown.protocol.drops_at == "runs":
            # It has entered the kernel since it was left out, and dropped everything.
            known = max(known, stale.asked)
        if generation <= known:
            return False
        for telling in self._unwaited:
            if telling.touches(page, 1, generation) and telling.has_been_run_on(cpu):
                return False
        about = (one for one in self._under_way.values() if one.touches(page, 1, generation))
        return not any(one.dropped_on(cpu, self._machine.now) for one in about)

    def freed(self, task: Task, address: int, pages: Pages, *, trusted: bool) -> None:
        """Look at an area whose pages are given back, if not on trust."""
        if trusted:
            self.trusted.areas += 1
            self.trusted.pages += pages
            return
        pending, partial = self._pending.pop(task, []), self._partial.pop(task, ())
        page = self.page_of(address)
        self._settle_calls()
        own = Revocation(page, pages, self.stale.newest(page, pages), task.now)
        for one in [*pending, own]:
            self._relied.relied_on(task, one, Hazard.USE_AFTER_FREE, partial)

    def reused(self, task: Task, page: int, pages: Pages, operation: int | None = None) -> None:
        """Look at addresses that are given out: every CPU has forgotten them, or will in time.

        By an operation of that number, where it is not the one that the task is in.
        """
        page &= self._mask
        self._settle_calls()
        generation = self.stale.newest(page, pages)
        if generation > self.stale.asked:
            cpus = self.stale.stale_on(generation)
            for telling in self._unwaited:
                if telling.covers(page, pages, generation):
                    for cpu in np.flatnonzero(cpus).tolist():
                        cpus[cpu] = not telling.has_been_run_on(cpu)
            for telling in (one for some in self._partial.values() for one in some):
                if telling.covers(page, pages, generation) and not telling.unwaited:
                    cpus &= telling.tells_whom() == 0
            self.found.on(task, Hazard.USE_AFTER_FREE, page, pages, np.flatnonzero(cpus), operation)
        if self._machine.in_turn:
            self._rely_on_promises(task, page, pages, operation)

    def _rely_on_promises(self, task: Task, page: int, pages: Pages, operation: int | None) -> None:
        """Note that a task gives out addresses that CPUs in user mode may hold translations of."""

        def violation(cpu: CpuId) -> Violation:
            number = self.found.operation(task) if operation is None else operation
            return Violation(Hazard.USE_AFTER_FREE, number, page, pages, cpu, task.now)

        self._promised.relied_on(page, pages, violation)

    def table_unlinked(self, task: Task) -> None:
        """Note that a task has just taken a page table out of the tree."""
        self.stale.generation += 1
        self._unlinked[task] = self.stale.generation

    def table_freed(self, task: Task, address: int, pages: Pages) -> None:
        """Look at that table, which spans some pages, as the task gives it back.

        A shootdown of any of its pages drops what leads to the table.
        """
        page, unlinked = self.page_of(address), self._unlinked.pop(task, 0)
        if task not in self._pending:
            self._partial.pop(task, None)
        telling = self._newest.get(task)
        if telling is None or not telling.touches(page, pages, unlinked):
            everyone = np.arange(self._machine.n_cpus)
            self.found.on(task, Hazard.TABLE_REUSE, page, pages, everyone)
            return
        if telling.told is not None:
            missing = np.flatnonzero(telling.told == 0)
            self.found.on(task, Hazard.TABLE_REUSE, page, pages, missing)
        self.found.still_late(task, Hazard.TABLE_REUSE, page, pages, telling.late)
        if len(telling.left_out):
            table = Revocation(page, pages, unlinked, task.now)
            self._waits.left_out(task, Hazard.TABLE_REUSE, [table], telling, telling.left_out)

    def entered(self, drops: npt.NDArray[np.int64]) -> None:
        """Note that CPUs have dropped everything on entry: rows of the machine's buffer."""
        entries = drops[drops[:, layout.D_CPU] >= 0]
        if self._machine.rings is not None:
            for cpu, idle_since, _, at, order in entries.tolist():
                self.held_back.swept(cpu, idle_since, at, order)
            return
        if self._under_way:
            self._note_entries(entries)
        for task in self._pending:
            for telling in self._partial.get(task, ()):
                telling.note_entries(entries)
        self._promised.dropped(entries)
        self._waits.entered(entries)

    def _note_entries(self, entries: npt.NDArray[np.int64]) -> None:
        """Keep that CPUs have entered the kernel, for shootdowns that have begun before."""
        self._entries = np.concatenate([self._entries, entries])
        if len(self._entries) > self._most_entries:
            oldest = min(telling.began_ps for telling in self._under_way.values())
            self._entries = self._entries[self._entries[:, layout.D_AT] > oldest]
            self._most_entries = max(_ENTRIES, 2 * len(self._entries))

    def finish(self) -> None:
        """Note that the run is over: who has not entered the kernel by now does not in it."""
        self._meetings.settle()
        self._waits.finish()
        self._promised.finish()
        self.held_back.finish(self._machine.fabric.words, self._machine.now)
