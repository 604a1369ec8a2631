"""Finished cross-calls that were kept whole: what happened at each target, and when.

Which call is the median one is known only at the end of a run, and what happened at its targets is
gone by then. So the fabric keeps the first call of each latency, where latencies count as the same
that share a bucket (`_passes._bucket`); and the slowest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware import _passes as p
from pmsim.hardware.fabric import CROSSCALL_COLUMNS, Fabric

Instants = npt.NDArray[np.int64]

QUANTILES: Final = {"median": 50, "p99": 99}
"""Which calls of a run are taken besides the slowest: per cent of the calls that are no slower."""

_SLOWEST: Final = 0


@dataclass(frozen=True, slots=True)
class Specimen:
    """One cross-call: instants in picoseconds, arrays with an item per target, ascending.

    Attributes
    ----------
    row
        The call as it was logged, by `CROSSCALL_COLUMNS`.
    told, sent, looks, visited
        When the initiator had queued the call everywhere, had sent the last interrupt, began to
        look at the answers, and had seen the last one.
    own_start, own_end
        When it ran the function itself.
    cpu, reason
        The targets; what the handler waited for, or that the call rode along, as numbers of
        `fabric.SlowestReason`.
    queued, sent_to, arrives
        When the call was in the target's queue, when its interrupt left and came. That exists only
        if the call did not ride along.
    handler, taken
        When the handler that took it began, and when it did take it.
    runs, ack, exit
        When the function began and was acknowledged, and when the handler was over if no other call
        followed in it.
    seen
        When the initiator went on from this target to the next.
    """

    row: dict[str, int]
    told: int
    sent: int
    looks: int
    visited: int
    own_start: int
    own_end: int
    cpu: Instants
    reason: Instants
    queued: Instants
    sent_to: Instants
    arrives: Instants
    handler: Instants
    taken: Instants
    runs: Instants
    ack: Instants
    exit: Instants
    seen: Instants


def specimens(fabric: Fabric) -> dict[str, Specimen]:
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


def _buckets(fabric: Fabric) -> tuple[Instants, Instants]:
    """Return, by ascending latency, how many calls a bucket has seen and which was kept."""
    at, size = int(fabric.state[p.BUCKETS_AT]), p.buckets(int(fabric.state[p.SUB_BITS]))
    pairs = fabric.state[at : at + 2 * size].reshape(-1, 2)
    used = pairs[pairs[:, 0] > 0]
    return used[:, 0], used[:, 1]


def _specimen(fabric: Fabric, number: int) -> Specimen:
    state = fabric.state
    at = int(state[p.SPECIMENS_AT] + number * state[p.SPECIMEN_ROW])
    head = [int(word) for word in state[at : at + p.SPECIMEN_HEAD]]
    row = dict(zip(CROSSCALL_COLUMNS, head, strict=False))
    at += p.SPECIMEN_HEAD
    entries = state[at : at + row["targets"] * p.ENTRY_ROW].reshape(-1, p.ENTRY_ROW).copy()
    told = row["start_ps"] + int(state[p.TRAP] + row["targets"] * state[p.QUEUE])
    group = (entries[:, p.E_META] >> 16) & 0xFFFF
    looks, visited, local = head[p.K_LOCAL_END], head[p.K_VISITED], head[p.K_LOCAL]
    sent_to = told + group * state[p.SEND]
    sent = int(sent_to[-1])
    own_start = visited if head[p.K_AFTER] else sent
    reason = entries[:, p.E_META] >> 32
    taken = entries[:, p.E_START] + state[p.ENTRY]
    ack = entries[:, p.E_ACK]
    return Specimen(
        row, told, sent, looks, visited, own_start, own_start + local,
        cpu=entries[:, p.E_NEXT], reason=np.where(reason == p.R_WAKING, p.R_IDLE_EXIT, reason),
        queued=entries[:, p.E_QUEUED], sent_to=sent_to, arrives=entries[:, p.E_ARRIVES],
        handler=entries[:, p.E_START], taken=taken,
        runs=ack - (entries[:, p.E_COST] >> 1), ack=ack, exit=ack + state[p.EXIT],
        seen=_seen(entries, looks, visited),
    )  # fmt: skip


def _seen(entries: Instants, looks: int, visited: int) -> Instants:
    """Return when the initiator left each target: the visit is a maximum, as in `_passes`."""
    prefix = entries[:, p.E_PREFIX]
    latest = np.maximum(looks, np.maximum.accumulate(entries[:, p.E_ACK] - prefix))
    following = np.append(prefix[1:], visited - latest[-1])
    seen: Instants = latest + following
    return seen
