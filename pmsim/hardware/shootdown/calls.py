"""What the protocols that interrupt their targets have in common: a table that the fabric reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from pmsim.hardware.costs import ByDistance, Jitter

CallProtocol = Literal["ipi", "sbi"]
"""How a machine makes its cross-calls."""


class Protocol(IntEnum):
    """Who told the other CPUs; the lower-case name stands in the tables."""

    IPI = 0
    TLBI = 1
    SBI = 2


@dataclass(frozen=True, slots=True)
class CallTable:
    """A cross-call's costs as the fabric reads them (machine-model page, section 4).

    Parameters
    ----------
    protocol
        Whose costs they are.
    trap
        From the call to where its queueing begins.
    queue, send, fanout, delivery, line, entry, exit, jitter
        As in `IpiCosts`.
    held_off
        Whether an interrupts-off window of a target holds the handler off.
    """

    protocol: Protocol
    trap: int
    queue: int
    send: int
    fanout: int
    delivery: ByDistance
    line: ByDistance
    entry: int
    exit: int
    jitter: Jitter | None
    held_off: bool
