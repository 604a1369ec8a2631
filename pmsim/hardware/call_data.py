"""Calls that nobody waits for: whose data they keep, and when each target has run the function.

A CPU has the data of one call for each target (`cfd_data`, kernel/smp.c as of 6.18). A target gives
it back as it begins the function of a call that nobody waits for (`__flush_smp_call_function_queue`
unlocks it first); the next call of the same CPU to the same target waits for that as it queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.kept_later import KeptLater
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.fabric import Fabric
    from pmsim.hardware.interruptions import Interruptions
    from pmsim.hardware.turns import Turns

Ints = npt.NDArray[np.int64]

Note = tuple[tuple[int, int, int, int, int], Picoseconds, int]
"""Of an interruption: the columns that tell of the call, when it began, its protocol's number."""


class Unwaited:
    """A call that nobody waits for, at one of its targets.

    Attributes
    ----------
    initiator, cpu
        Who called, and whom.
    given_back_ps
        When the target has given the data back; None while that is not known.
    start_ps, gone_ps
        When its handler has begun, and when the function has ended; None while it has not.
    note
        What is to be noted of it as an interruption, if anything.
    entry
        Where words of its entry are to be kept (`kept_later`), if they are.
    """

    __slots__ = (
        "_ends",
        "_then",
        "cpu",
        "entry",
        "given_back_ps",
        "gone_ps",
        "initiator",
        "note",
        "start_ps",
    )

    def __init__(self, initiator: CpuId, cpu: CpuId) -> None:
        self.initiator = initiator
        self.cpu = cpu
        self.given_back_ps: Picoseconds | None = None
        self.start_ps: Picoseconds = 0
        self.gone_ps: Picoseconds | None = None
        self.note: Note | None = None
        self.entry: Ints | None = None
        self._ends: Picoseconds | None = None
        self._then: list[Callable[[Unwaited], None]] = []

    def then(self, called: Callable[[Unwaited], None]) -> None:
        """Have something done when it is known that the function has ended."""
        self._then.append(called)

    def is_given_back(self, at: Picoseconds, start: Picoseconds, ends: Picoseconds) -> None:
        """Note what nothing can change any more: when its handler began, and the function ends."""
        self.given_back_ps, self.start_ps, self._ends = at, start, ends

    def has_ended(self, now: Picoseconds) -> bool:
        """Return whether it has by now, and do what was to be done then."""
        if self._ends is None or self._ends > now:
            return False
        self.gone_ps = self._ends
        for called in self._then:
            called(self)
        self._then.clear()
        return True


class CallData:
    """The data of the calls of a machine that nobody waits for.

    Parameters
    ----------
    fabric, turns
        Of the machine; and when its CPUs run, if not always.

    Attributes
    ----------
    interruptions
        Where interruptions are noted, if they are.
    kept
        Keeps some of the calls whole.
    """

    def __init__(self, fabric: Fabric, turns: Turns | None) -> None:
        self.interruptions: Interruptions | None = None
        self.kept = KeptLater(fabric)
        self._fabric: Final = fabric
        self._turns: Final = turns
        self._held: dict[CpuId, dict[CpuId, Unwaited]] = {}
        self._open: list[Unwaited] = []

    def held(self, initiator: CpuId, targets: Sequence[CpuId]) -> list[CpuId]:
        """Return the targets of a CPU's next call that have, or had, data of its last one."""
        held = self._held.get(initiator)
        return [cpu for cpu in targets if cpu in held] if held else []

    def begin(self, initiator: CpuId, targets: Sequence[CpuId]) -> list[Unwaited]:
        """Note a call that nobody waits for; its data has been waited for."""
        made = [Unwaited(initiator, cpu) for cpu in targets]
        self._held.setdefault(initiator, {}).update({one.cpu: one for one in made})
        self._open += made
        return made

    def keep(self, row: Sequence[int], made: Sequence[Unwaited]) -> None:
        """Have a call kept whole that has just begun, if it may be wanted; see `KeptLater`."""
        self.kept.begin(row, made)
        if self.kept.is_to_settle:
            self.settle(self._fabric.now)

    def collect(self, initiator: CpuId, cpu: CpuId) -> None:
        """Note that a CPU has waited for its data at a target, and will use it again."""
        one = self._held[initiator].pop(cpu)
        if one.given_back_ps is None:
            self._look(one, self._fabric.now)

    def settle(self, now: Picoseconds) -> None:
        """Look which functions have ended by an instant that is not after the present one."""
        if not self._open:
            return
        act(self._fabric.state, layout.DO_CATCH_UP, 0, 0)
        self._open = list(self._not_ended(now))
        self.kept.settle()

    def _not_ended(self, now: Picoseconds) -> Iterator[Unwaited]:
        for one in self._open:
            if one.given_back_ps is None:
                self._look(one, now)
            if not one.has_ended(now):
                yield one

    def _look(self, one: Unwaited, now: Picoseconds) -> None:
        """Look whether a target has given the data back, by an instant that is over."""
        fabric = self._fabric
        words = fabric.words
        at = words[layout.ENTRIES_AT]
        at += (one.initiator * fabric.n_cpus + one.cpu) * layout.ENTRY_ROW
        given_back, length = words[at + layout.E_ACK], words[at + layout.E_COST] >> 3
        if given_back > now:
            return
        ends = given_back + length
        if self._turns is not None:
            given = (np.array([value]) for value in (one.cpu, given_back, length))
            ends = int(self._turns.run_from(*given)[0])
        one.is_given_back(given_back, words[at + layout.E_START], ends)
        if one.entry is not None:
            one.entry[:] = fabric.state[at : at + layout.E_PREFIX]
        if one.note is not None and self.interruptions is not None:
            call, began, protocol = one.note
            self.interruptions.note(call, began, (one.cpu, protocol))
