"""Finished cross-calls that were kept whole: what happened at each target, and when.

Which call is the median one is known only at the end of a run, and what happened at its targets is
gone by then. So the fabric keeps the first call of each latency, where latencies count as the same
that share a bucket (`passes.specimens`); and the slowest. `pmsim.hardware.detail` keeps all calls
of a part of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    told, sent, looks, visited
        Of each call: when the initiator had queued it everywhere, had sent the last interrupt,
        began to look at the answers, and had seen the last one.
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
    runs, ack, exit
        When the function began and was acknowledged, and when the handler was over if no other call
        followed in it.
    seen
        When the initiator went on from this target to the next.
    """

    row: dict[str, Ints]
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
    runs: Ints
    ack: Ints
    exit: Ints
    seen: Ints


def specimens(fabric: Fabric) -> dict[str, WholeCalls]:
    """Return the median, the p99 and the slowest cross-call so far; none where there was none.

    A call of a quantile is one from the same bucket as the call that has that rank: its latency
    differs by less than a 32nd (machines of more than `fabric.FINE_CPUS` CPUs: an eighth).
    Calls without targets, and invalidations, do not count.
    """
    counts, numbers = _buckets(fabric)
    if not counts.size:
        return {}
    upto = np.cumsum(counts)
    chosen = {
        name: int(numbers[np.searchsorted(upto, -(-int(upto[-1]) * per_cent // 100))])
        for name, per_cent in QUANTILES.items()
    }
    return {name: _specimen(fabric, number) for name, number in chosen.items()} | {
        "slowest": _specimen(fabric, _SLOWEST)
    }


def _buckets(fabric: Fabric) -> tuple[Ints, Ints]:
    """Return, by ascending latency, how many calls a bucket has seen and which was kept."""
    at, size = (
        int(fabric.state[layout.BUCKETS_AT]),
        layout.buckets(int(fabric.state[layout.SUB_BITS])),
    )
    pairs = fabric.state[at : at + 2 * size].reshape(-1, 2)
    used = pairs[pairs[:, 0] > 0]
    return used[:, 0], used[:, 1]


def _specimen(fabric: Fabric, number: int) -> WholeCalls:
    state = fabric.state
    at = int(state[layout.SPECIMENS_AT] + number * state[layout.SPECIMEN_ROW])
    targets = int(state[at + CROSSCALL_COLUMNS.index("targets")])
    return whole_calls(fabric, at, 1, at + layout.SPECIMEN_HEAD, targets)


def whole_calls(fabric: Fabric, heads_at: int, calls: int, at: int, targets: int) -> WholeCalls:
    """Read calls that `passes.specimens` has written: their heads, and their entries apart.

    Where a virtual CPU drops everything within a handler (`passes.drops`), the take and the start
    of the function do not tell that it takes longer.

    Parameters
    ----------
    fabric
        Where they are.
    heads_at, calls
        Where the first head stands in its array, and how many follow each other.
    at, targets
        The same of the entries.
    """
    state = fabric.state
    heads = (
        state[heads_at : heads_at + calls * layout.SPECIMEN_HEAD]
        .reshape(-1, layout.SPECIMEN_HEAD)
        .T
    )
    entries = state[at : at + targets * layout.ENTRY_ROW].reshape(-1, layout.ENTRY_ROW).T.copy()
    row = {name: heads[k].copy() for k, name in enumerate(CROSSCALL_COLUMNS)}
    looks, visited, local, after = heads[layout.K_LOCAL_END : layout.K_AFTER + 1].copy()
    turns, initiator, cpu = Turns(fabric), row["cpu"], entries[layout.E_NEXT]
    begun = row["start_ps"] + heads[layout.K_WAITED]
    queueing = row["targets"] * state[layout.QUEUE] + row["left_out"] * state[layout.CHECK]
    call = np.repeat(np.arange(calls), row["targets"])
    told = turns.run_from(initiator, begun, state[layout.TRAP] + queueing)
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
    runs = np.where((entries[layout.E_COST] & 2 > 0) | (cost == 0), ack, began)
    return WholeCalls(
        row, told, sent, looks, visited, own_start, turns.run_from(initiator, own_start, local),
        call,
        cpu=cpu,
        reason=np.where(reason == layout.R_WAKING, layout.R_IDLE_EXIT, reason),
        queued=entries[layout.E_QUEUED], sent_to=sent_to, arrives=entries[layout.E_ARRIVES],
        handler=entries[layout.E_START], taken=taken,
        runs=runs, ack=ack, exit=turns.run_from(cpu, runs, cost + state[layout.EXIT]),
        seen=entries[layout.E_PREFIX],
    )  # fmt: skip
