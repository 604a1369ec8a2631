"""Calls that nobody waits for, kept whole: once the last of their targets has run the function.

When such a call ends for its initiator, nothing can be known yet of its targets. What is kept is
the same as of others (`passes.specimens`): the first call of each latency, the slowest, and all
calls of a part of the run. Calls are told apart by the order in which they were made, so that it
makes no difference when it is looked whether a target has run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.hardware.specimens import WholeCalls, whole_calls

if TYPE_CHECKING:
    from pmsim.hardware.detail import Detail
    from pmsim.hardware.fabric import Fabric

Ints = npt.NDArray[np.int64]

WAITING: Final = 32
"""Calls that wait before it is looked which have ended (a buffer; no result depends on it): while
none has, any of them may be the first of its latency.
"""


class AtTarget(Protocol):
    """Such a call at one of its targets (`call_data.Unwaited`).

    Attributes
    ----------
    cpu
        The target.
    entry
        Where the words of its entry up to `layout.E_META` are to be kept, if they are.
    gone_ps
        When the function has ended; None while that is not known.
    """

    cpu: int
    entry: Ints | None
    gone_ps: int | None


@dataclass(slots=True)
class Later:
    """A call that nobody waits for.

    Attributes
    ----------
    number
        How many such calls were made before.
    latency
        How long it was before the initiator went on.
    made
        The call at each of its targets, ascending.
    head
        What is known of the call itself, shape ``(layout.SPECIMEN_HEAD,)``.
    entries
        A row for each target, shape ``(targets, layout.ENTRY_ROW)``. Neither is there if it will
        surely not be kept.
    in_detail
        Whether it is one of a part of the run of which everything is kept.
    """

    number: int
    latency: int
    made: Sequence[AtTarget]
    head: Ints | None = None
    entries: Ints | None = None
    in_detail: bool = False


@dataclass(slots=True)
class Bucket:
    """Calls of one latency: how many, and the first of them."""

    count: int
    first: Later


class KeptLater:
    """Keeps calls that nobody waits for whose targets have all run the function.

    Parameters
    ----------
    fabric
        Of the machine.

    Attributes
    ----------
    detail
        Keeps all calls of a part of the run, where that was asked for.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.detail: Detail | None = None
        self._fabric: Final = fabric
        self._made = 0
        self._pending: list[Later] = []
        self._enough = WAITING
        self._buckets: dict[int, Bucket] = {}  # as `passes.specimens.bucket` has them
        self._slowest: Later | None = None

    def begin(self, row: Sequence[int], made: Sequence[AtTarget]) -> None:
        """Note a call that its initiator has just gone on from.

        Parameters
        ----------
        row
            Its row of the log.
        made
            The call at each of its targets, ascending.
        """
        if not made:
            return
        call = Later(self._made, row[layout.L_END] - row[layout.L_START], made)
        self._made += 1
        self._pending.append(call)
        if self.detail is not None:
            call.in_detail = self.detail.makes_room(row[layout.L_START], len(made))
        if call.in_detail or self._may_be_first(call) or self._may_be_slowest(call):
            call.head = self._head(row)
            call.entries = np.empty((len(made), layout.ENTRY_ROW), dtype=np.int64)
            call.entries[:, layout.E_PREFIX] = layout.NONE
            call.entries[:, layout.E_NEXT] = [one.cpu for one in made]
            for place, one in enumerate(made):
                one.entry = call.entries[place, : layout.E_PREFIX]

    def _head(self, row: Sequence[int]) -> Ints:
        words, at = self._fabric.words, layout.HEADER + row[layout.L_CPU] * layout.CPU_WORDS
        head = np.zeros(layout.SPECIMEN_HEAD, dtype=np.int64)
        head[: len(row)] = row
        head[layout.K_LOCAL_END] = head[layout.K_VISITED] = words[at + layout.C_LOCAL_END]
        head[layout.K_LOCAL] = words[at + layout.C_LOCAL]
        head[layout.K_AFTER] = words[at + layout.C_PHASE]
        head[layout.K_WAITED] = words[at + layout.C_WAITED]
        head[layout.K_READY] = words[at + layout.C_READY]
        return head

    def settle(self) -> None:
        """Keep the calls of which it is known now that the functions of all targets have ended."""
        pending, self._pending = self._pending, []
        for call in pending:
            if all(one.gone_ps is not None for one in call.made):
                self._keep(call)
            else:
                self._pending.append(call)
        self._enough = max(WAITING, 2 * len(self._pending))

    @property
    def is_to_settle(self) -> bool:
        """Whether so many calls wait that it should be looked which of them have ended."""
        return len(self._pending) >= self._enough

    def counts(self) -> dict[int, int]:
        """Return how many calls each bucket has seen, by its number."""
        return {number: bucket.count for number, bucket in self._buckets.items()}

    def first(self, bucket: int) -> WholeCalls:
        """Return the first call of a bucket."""
        return self._whole(self._buckets[bucket].first)

    def slowest(self) -> WholeCalls | None:
        """Return the slowest call, if there is any."""
        return None if self._slowest is None else self._whole(self._slowest)

    def _whole(self, call: Later) -> WholeCalls:
        assert call.head is not None
        assert call.entries is not None
        return whole_calls(self._fabric, call.head[np.newaxis], call.entries)

    def _keep(self, call: Later) -> None:
        call.made = ()
        number, first = self._bucket(call), self._may_be_first(call)
        if number not in self._buckets:
            self._buckets[number] = Bucket(0, call)
        self._buckets[number].count += 1
        if first:
            self._buckets[number].first = call
        if self._may_be_slowest(call):
            self._slowest = call
        if call.in_detail:
            assert self.detail is not None
            assert call.head is not None
            assert call.entries is not None
            self.detail.add_call(call.head, call.entries)

    def _may_be_first(self, call: Later) -> bool:
        """Return whether it is the first of its latency, as far as is known."""
        found = self._buckets.get(self._bucket(call))
        return found is None or call.number < found.first.number

    def _may_be_slowest(self, call: Later) -> bool:
        """Return whether none is slower, or as slow and made before, as far as is known."""
        slowest = self._slowest
        if slowest is None:
            return True
        return (-call.latency, call.number) < (-slowest.latency, slowest.number)

    def _bucket(self, call: Later) -> int:
        """Return the bucket of a latency, as `passes.specimens.bucket` does."""
        latency, sub = call.latency, self._fabric.words[layout.SUB_BITS]
        shift = max(0, latency.bit_length() - 1 - sub)
        return (shift << sub) + (latency >> shift)
