"""Memory that is held back until CPUs have swept (`latr`): what counts as held too long."""

from __future__ import annotations

from pmsim.hardware.tlb import CallKind, FlushFunction
from pmsim.units import MS
from tests.safety import driven


def test_what_a_tick_drops_was_harmless_since_its_cpu_had_no_task() -> None:
    # CPU 2 runs the process as the note is left, then sleeps for 500 us. A handler of 6 ms begins
    # there meanwhile; the tick of 1 ms waits for its end, more than two ticks after the note.
    def calls(hand: driven.Hand) -> driven.Calls:
        function = FlushFunction(CallKind.RANGE, 0, remote=6 * MS)
        yield from hand.kernel.task.cross_call(function, targets=[2])

    one = driven.Driven(shootdown="latr")
    for call in (driven.user, driven.rests):
        one.tell(2, call)
    one.tell(1, driven.madvise)
    for call in (driven.user, driven.sleep, calls):
        one.tell(0, call)
    assert one.run_all().found() == []
    assert one.kernel.safety.held_back.pages == 2
