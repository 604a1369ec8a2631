"""Calls that nobody waits for, kept whole: once the last of their targets has run the function.

When such a call ends for its initiator, nothing can be known yet of its targets. What is kept is
the same as of others (`passes.specimens`): the first call of each latency, the slowest, and all
calls of a part of the run. Calls are told apart by the order in which they were made, so that it
makes no difference when it is looked whether a target has run it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.hardware.specimens import WholeCalls, whole_calls

if TYPE_CHECKING:
    from pmsim.hardware.detail import Detail
    from pmsim.hardware.fabric import Fabric

Ints = npt.NDArray[np.int64]


class Later:
    """A call that nobody waits for, and what is known of it so far.

    Attributes
    ----------
    number
        How many such calls were made before.
    head
        What is known of the call itself, shape ``(layout.SPECIMEN_HEAD,)``.
    entries
        A row for each target, shape ``(targets, layout.ENTRY_ROW)``; None if they are not to be
        kept.
    missing
        How many targets have not run the function.
    in_detail
        Whether it is one of a part of the run of which everything is kept.
    """

    __slots__ = ("entries", "head", "in_detail", "missing", "number")

    def __init__(self, number: int, head: Ints, targets: int) -> None:
        self.number = number
        self.head = head
        self.entries: Ints | None = None
        self.missing = targets
        self.in_detail = False

    @property
    def latency(self) -> int:
        """How long it was before the initiator went on."""
        return int(self.head[layout.L_END] - self.head[layout.L_START])


class AtTarget(Protocol):
    """Such a call at one of its targets (`call_data.Unwaited`).

    Attributes
    ----------
    entry
        Where its entry is to be kept, if it is.
    """

    entry: Ints | None

    def then(self, called: Callable[[Any], None]) -> None:
        """Have something done when it is known that the function has ended."""


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
        words = self._fabric.words
        at = layout.HEADER + row[layout.L_CPU] * layout.CPU_WORDS
        sent = words[at + layout.C_LOCAL_END]
        head = np.zeros(layout.SPECIMEN_HEAD, dtype=np.int64)
        head[: len(row)] = row
        head[[layout.K_LOCAL_END, layout.K_VISITED]] = sent
        head[layout.K_LOCAL] = words[at + layout.C_LOCAL]
        head[layout.K_AFTER] = words[at + layout.C_PHASE]
        head[layout.K_WAITED] = words[at + layout.C_WAITED]
        head[layout.K_READY] = words[at + layout.C_READY]
        call = Later(self._made, head, len(made))
        self._made += 1
        if self.detail is not None:
            call.in_detail = self.detail.makes_room(row[layout.L_START], len(made))
        if call.in_detail or self._may_be_first(call) or self._may_be_slowest(call):
            call.entries = np.zeros((len(made), layout.ENTRY_ROW), dtype=np.int64)
            for place, one in enumerate(made):
                one.entry = call.entries[place]
        for one in made:
            one.then(lambda _: self._has_run(call))

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
        assert call.entries is not None
        return whole_calls(self._fabric, call.head[np.newaxis], call.entries)

    def _has_run(self, call: Later) -> None:
        """Note that a target has run the function; keep the call if it was the last one."""
        call.missing -= 1
        if call.missing > 0:
            return
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
