"""What CPUs that compute lose by the service of an invalidation.

A loss is time stolen in advance: take a CPU's clock to be the time less all that was stolen. A loss
is added to the stolen time as a whole when the service ends, and sets that clock back; the compute
goes on when the clock is where it had been (`REACHED`), which is at the end of the loss and of
every handler that comes in between.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.refill import flush_tlb
from pmsim.hardware.passes.turns import run_by


@compiled
def share_of(S: State, exposed: int) -> int:
    """Return the share of a time that is lost, floor(exposed * share / 10^6), within 64 bits."""
    return exposed // PPM * S[SHARE] + exposed % PPM * S[SHARE] // PPM


@compiled
def take_from(S: State, r: int, loss: int) -> None:
    """Let a CPU lose time in advance."""
    S[r + BASE_STOLEN] += loss
    S[r + PLAN_STOLEN] += loss


@compiled
def charge(S: State, r: int, clock: int, service: int, after: int, empties: int) -> None:
    """A service ends as the clock of a CPU stands there: it may empty its TLB, and hold it up.

    A compute that is not over stands still for its share of the service and of what is after.
    ``clock``, the time less what was stolen, is set back by the loss; the compute goes on when the
    clock is at ``REACHED`` again.
    """
    reached = max(clock, S[r + REACHED])
    if empties:
        flush_tlb(S, r, reached, FULL)
    if S[r + MODE] != M_COMPUTE:
        return
    served = reached - (run_by(S, r, S[r + SINCE]) - S[r + SINCE_STOLEN])
    if served <= 0 or served >= S[r + NEED]:
        return
    S[r + REACHED] = reached
    take_from(S, r, share_of(S, min(service, served) + after))
