"""Finished cross-calls that were kept whole: what happened at each target, and when.

Which call is the median one is known only at the end of a run, and what happened at its targets is
gone by then. So the fabric keeps the first call of each latency, where latencies count as the same
that share a bucket (`passes.specimens`); and the slowest. `pmsim.hardware.detail` keeps all calls
of a part of the run. Of calls that nobody waits for `pmsim.hardware.kept_later` keeps the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import CROSSCALL_COLUMNS, Fabric
from pmsim.hardware.passes import layout
from pmsim.hardware.turns import Turns

Ints = npt.NDArray[np.int64]

QUANTILES: Final = {"median": 50, "p99": 99}
"""Which calls of a run are taken besides the slowest: per cent of the calls that are no slower."""

_SLOWEST: Final = 0


@dataclass(frozen=True, slots=True)
class WholeCalls:
    """Some cross-calls: arrays of instants in picoseconds, an item per call or per target.

    Attributes
    ----------
    row
        Of each call, as it was logged: by `CROSSCALL_COLUMNS`.
    begun, told, sent
        Of each call: when the initiator had what it waited for before it could queue all of it;
        when it had queued it everywhere, and when it had sent the last interrupt.
    looks, visited
        Of each call: when the initiator began to look at the answers, and had seen the last one;
        `layout.NONE` where nobody waited.
    own_start, own_end
        Of each call: when the initiator ran the function itself.
    call
        Of each target: the number of its call in the arrays above. What follows is of each target,
        those of a call ascending.
    cpu, reason
        The target; what the handler waited for, or that the call was coalesced, as a number of
        `fabric.SlowestReason`.
    queued, sent_to, arrives
        When the call was in the target's queue, when its interrupt left and came. That exists only
        if the call was not coalesced with another.
    handler, taken
        When the handler that took it began, and when it did take it.
    frozen
        For how long the target did not run between arrival and handler; if the call was coalesced,
        between the queue and its being taken.
    runs, ack, done, exit
        When the function began, when it was acknowledged (of a call that nobody waits for: its data
        given back), when it ended, and when the handler was over if no other call followed in it.
    seen
        When the initiator went on from this target to the next; `layout.NONE` where nobody waited.
    """

    row: dict[str, Ints]
    begun: Ints
    told: Ints
    sent: Ints
    looks: Ints
    visited: Ints
    own_start: Ints
    own_end: Ints
    call: Ints
    cpu: Ints
    reason: Ints
    queued: Ints
    sent_to: Ints
    arrives: Ints
    handler: Ints
    taken: Ints
    frozen: Ints
    runs: Ints
    ack: Ints
    done: Ints
    exit: Ints
    seen: Ints

    @property
    def latency(self) -> Ints:
        """Of each call: how long it was before the initiator went on."""
        return self.row["end_ps"] - self.row["start_ps"]


class Others(Protocol):
    """Cross-calls that are kept in another place than the fabric's, by the same buckets."""

    def counts(self) -> Mapping[int, int]:
        """Return how many calls each bucket has seen."""

    def first(self, bucket: int) -> WholeCalls:
        """Return the first call of a bucket."""

    def slowest(self) -> WholeCalls | None:
        """Return the slowest call, if there is any."""


def specimens(fabric: Fabric, others: Others | None = None) -> dict[str, WholeCalls]:
    """Return the median, the p99 and the slowest cross-call so far; none where there was none.

    A call of a quantile is one from the same bucket as the call that has that rank: its latency
    differs by less than a 32nd (machines of more than `fabric.FINE_CPUS` CPUs: an eighth).
    Calls without targets, and invalidations, do not count; ``others`` do.
    """
    state = fabric.state
    at, size = int(state[layout.BUCKETS_AT]), layout.buckets(int(state[layout.SUB_BITS]))
    pairs = state[at : at + 2 * size].reshape(-1, 2)
    counts = pairs[:, 0].copy()
    for bucket, count in ({} if others is None else others.counts()).items():
        counts[bucket] += count
    used = np.flatnonzero(counts)
    if not used.size:
        return {}
    upto = np.cumsum(counts[used])
    kept: dict[str, WholeCalls] = {}
    for name, per_cent in QUANTILES.items():
        bucket = int(used[np.searchsorted(upto, -(-int(upto[-1]) * per_cent // 100))])
        if pairs[bucket, 0] or others is None:
            kept[name] = _specimen(fabric, int(pairs[bucket, 1]))
        else:
            kept[name] = others.first(bucket)
    slowest = None if others is None else others.slowest()
    if slowest is None or slowest.latency[0] <= state[layout.SLOWEST]:
        slowest = _specimen(fabric, _SLOWEST)
    return kept | {"slowest": slowest}


def _specimen(fabric: Fabric, number: int) -> WholeCalls:
    state = fabric.state
    at = int(state[layout.SPECIMENS_AT] + number * state[layout.SPECIMEN_ROW])
    targets = int(state[at + CROSSCALL_COLUMNS.index("targets")])
    heads = rows_at(fabric, at, 1, layout.SPECIMEN_HEAD)
    entries = rows_at(fabric, at + layout.SPECIMEN_HEAD, targets, layout.ENTRY_ROW)
    return whole_calls(fabric, heads, entries)


def rows_at(fabric: Fabric, at: int, rows: int, width: int) -> Ints:
    """Return so many rows of the state that follow each other."""
    return fabric.state[at : at + rows * width].reshape(rows, width)


def whole_calls(fabric: Fabric, heads: Ints, entries: Ints) -> WholeCalls:
    """Read calls that `passes.specimens` or `kept_later` has written.

    Where a virtual CPU drops everything within a handler (`passes.drops`), the take and the start
    of the function do not tell that it takes longer.

    Parameters
    ----------
    fabric
        Of the machine.
    heads
        A row for each call, shape ``(calls, layout.SPECIMEN_HEAD)``.
    entries
        A row for each target, shape ``(targets, layout.ENTRY_ROW)``.
    """
    state = fabric.state
    heads, entries = heads.T, entries.T.copy()
    row = {name: heads[k].copy() for k, name in enumerate(CROSSCALL_COLUMNS)}
    looks, visited, local, after, waited, ready = heads[
        layout.K_LOCAL_END : layout.K_READY + 1
    ].copy()
    turns, initiator, cpu = Turns(fabric), row["cpu"], entries[layout.E_NEXT]
    begun = row["start_ps"] + waited + ready * state[layout.QUEUE]
    queueing = (row["targets"] - ready) * state[layout.QUEUE]
    queueing += state[layout.TRAP] + row["left_out"] * state[layout.CHECK]
    call = np.repeat(np.arange(heads.shape[1]), row["targets"])
    told = turns.run_from(initiator, begun, queueing)
    last = np.cumsum(row["targets"]) - 1
    place = np.arange(len(call)) - last[call]  # the last one's is 0
    groups = entries[layout.E_META] >> 16 & 0x7FFF
    # All are sent to when the initiator has spent on that what it has not spent on the function.
    own = local * (1 - state[layout.SERIAL])
    all_sent = turns.run_by(initiator, looks) - own
    before = (groups - groups[last[call]]) * state[layout.SEND] + place * state[layout.KICK]
    sent_to = turns.reached(initiator[call], all_sent[call] + before)
    sent = sent_to[last]
    own_start = np.where(after, visited, sent)
    reason = entries[layout.E_META] >> 32 & 7
    entering = state[layout.ENTRY] + (entries[layout.E_META] >> 35) * state[layout.ENTRY_FLUSH]
    taken = turns.run_from(cpu, entries[layout.E_START], entering)
    ack, cost = entries[layout.E_ACK], entries[layout.E_COST] >> 3
    began = turns.reached(cpu, turns.run_by(cpu, ack) - cost)
    rides = reason == layout.R_RIDE
    queued, arrives = entries[layout.E_QUEUED], entries[layout.E_ARRIVES]
    waits = np.where(rides, queued, arrives), np.where(rides, taken, entries[layout.E_START])
    runs = np.where((entries[layout.E_COST] & 2 > 0) | (cost == 0), ack, began)
    seen = entries[layout.E_PREFIX]
    unseen = seen[last] == layout.NONE
    return WholeCalls(
        row, begun, told, sent,
        looks=np.where(unseen, layout.NONE, looks), visited=np.where(unseen, layout.NONE, visited),
        own_start=own_start, own_end=turns.run_from(initiator, own_start, local),
        call=call, cpu=cpu,
        reason=np.where(reason == layout.R_WAKING, layout.R_IDLE_EXIT, reason),
        queued=queued, sent_to=sent_to, arrives=arrives,
        handler=entries[layout.E_START], taken=taken, frozen=turns.frozen(cpu, *waits),
        runs=runs, ack=ack, done=turns.run_from(cpu, runs, cost),
        exit=turns.run_from(cpu, runs, cost + state[layout.EXIT]),
        seen=seen,
    )  # fmt: skip
