"""Calls that nobody waits for are kept whole once all their targets have run the function.

On the plain machine a call of CPU 0 at *t* on one CPU is in its queue at t + 100, arrives there at
t + 1100 and is taken at t + 1150; dropping a page takes 10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pmsim.hardware import kept_later
from pmsim.hardware.detail import Detail
from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.host import Host
from pmsim.hardware.kept_later import KeptLater
from pmsim.hardware.passes import layout, specimens
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from tests.hardware import machines
from tests.hardware.adapters import detail_of, kept_of
from tests.hardware.machines import call, compute, irqs_off, on
from tests.reference.program import Program

BUSY = compute(20_000)


def goes_on(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)


def goes_on_but_on_cpu_0(self: Any, initiator: Any, flush: Any) -> Any:
    waits = initiator.cpu.number == 0
    yield from initiator.cross_call(flush.targets, flush.function, wait=waits)


def program(*tasks: Any, by: Any = goes_on, **changes: Any) -> Program:
    made = type("Mine", (), {"promises": "requested", "shootdown": by})
    return machines.program(*tasks, shootdown=Shootdown(record_of("mine", made)), **changes)


@pytest.mark.parametrize("order", ["concurrent", "serial"])
def test_the_initiators_part_ends_when_it_goes_on_and_the_others_do_not(order: str) -> None:
    tasks = on(0, compute(2000), call(1, 2, pages=3)), on(1, irqs_off(9000)), on(2, compute(9000))
    kept = kept_of(program(*tasks, order=order, send=7, line=11))["slowest"]
    assert (kept.row["start_ps"], kept.row["end_ps"]) == (2000, 2244)
    assert (kept.begun, kept.told, kept.sent) == (2000, 2200, 2214)
    assert (kept.own_start, kept.own_end) == (2214, 2244)
    assert (kept.looks, kept.visited) == (layout.NONE, layout.NONE)
    assert kept.cpu.tolist() == [1, 2]
    assert kept.queued.tolist() == [2100, 2200]
    assert kept.sent_to.tolist() == [2207, 2214]
    assert kept.arrives.tolist() == [3207, 3214]
    assert kept.reason.tolist() == [SlowestReason.IRQS_OFF, SlowestReason.DISTANCE]
    assert kept.handler.tolist() == [9000, 3214]
    assert kept.runs.tolist() == kept.ack.tolist() == [9050, 3264]
    assert kept.done.tolist() == [9080, 3294]
    assert kept.exit.tolist() == [9130, 3344]
    assert kept.seen.tolist() == [layout.NONE, layout.NONE]


def test_who_waits_for_data_has_begun_when_it_waits_no_more() -> None:
    # CPU 2 gives the data of the first call back at 1251; the line takes 7. CPU 1 has the second
    # one in its queue before the initiator waits.
    tasks = on(0, compute(1), call(2, pages=1), call(1, 2)), on(1, BUSY), on(2, BUSY)
    kept = kept_of(program(*tasks, line=7))["slowest"]
    at = 1151 + 7
    assert (kept.row["start_ps"], kept.begun, kept.told) == (111, at, at + 100)
    assert kept.queued.tolist() == [111 + 100, at + 100]
    assert kept.arrives.tolist() == [at + 1100, at + 1100]


def test_of_a_frozen_target_it_is_kept_how_long_it_did_not_run() -> None:
    # CPU 1 runs from 1500 to 2500; the interrupt is there at 1101.
    host = Host(overcommit=2, slice=1000, phases=(0, 1500))
    kept = kept_of(program(on(0, compute(1), call(1, pages=1)), on(1, BUSY), host=host))["slowest"]
    assert (kept.arrives, kept.handler, kept.frozen) == (1101, 1500, 399)
    assert (kept.ack, kept.done) == (1550, 1560)


@pytest.mark.parametrize(("cut", "found"), [(1161, False), (1162, True)])
def test_what_a_target_has_not_run_by_the_end_of_a_run_is_not_kept(cut: int, found: bool) -> None:
    again = program(on(0, compute(1), call(1, pages=1)), on(1, BUSY), duration=cut)
    assert bool(kept_of(again)) == found
    kept, _ = detail_of(again)
    assert kept.targets("cpu") == [1] * found


def test_calls_count_with_those_that_somebody_waits_for() -> None:
    # CPU 1 calls CPU 2 three times and goes on, in a time of its own each; CPU 0 waits once.
    calls = [call(2, pages=pages) for pages in (5, 30, 20)]
    steps = [step for one in calls for step in (one, compute(3000))]
    tasks = on(0, call(2, pages=1)), on(1, compute(5000), *steps), on(2, BUSY)
    kept = kept_of(program(*tasks, by=goes_on_but_on_cpu_0))
    latency = {name: one.latency.item() for name, one in kept.items()}
    # of 150, 300, 400 and 1160
    assert latency == {"median": 300, "p99": 1160, "slowest": 1160}
    assert (kept["median"].seen < 0).all()
    assert (kept["slowest"].seen > 0).all()
    kept = kept_of(program(*tasks[1:], on(0, BUSY), by=goes_on_but_on_cpu_0))
    latency = {name: one.latency.item() for name, one in kept.items()}
    assert latency == {"median": 300, "p99": 400, "slowest": 400}


def test_a_part_of_a_run_has_as_much_room_for_them_as_for_others() -> None:
    steps = [step for _ in range(3) for step in (call(1, 2), compute(5000))]
    both = program(on(0, *steps), on(1, BUSY), on(2, BUSY))
    everything, _ = detail_of(both)
    starts, ends = everything.row("start_ps"), everything.row("end_ps")
    assert everything.targets("cpu") == [1, 2] * 3
    cut, _ = detail_of(both, most=5)
    assert cut.row("end_ps") == ends[:2]
    assert cut.detail is not None
    assert (cut.detail.calls, cut.detail.targets) == (2, 4)
    assert cut.detail.cut_ps == ends[2]
    part, _ = detail_of(both, starts[1], starts[2])
    assert part.row("start_ps") == [starts[1]]


class _Row:
    """What stands for a fabric: the words that are read for a call."""

    def __init__(self, sub_bits: int = 5) -> None:
        self.words = [0] * (layout.HEADER + 7 * layout.PLANE)
        self.words[layout.SUB_BITS] = sub_bits


class _One:
    """What stands for a call at one target."""

    def __init__(self) -> None:
        self.cpu = 1
        self.entry: Any = None
        self.gone_ps: int | None = None


def begun(kept: KeptLater, latency: int, task: int = 0, targets: int = 1) -> list[_One]:
    row = [0] * layout.LOG_ROW
    row[layout.L_END], row[layout.L_TASK] = latency, task
    made: Any = [_One() for _ in range(targets)]
    kept.begin(row, made)
    return list(made)


def ended(kept: KeptLater, one: _One) -> None:
    one.gone_ps = 1
    kept.settle()


def keeper(sub_bits: int = 5) -> KeptLater:
    fabric: Any = _Row(sub_bits)
    return KeptLater(fabric)


def test_the_first_of_a_latency_is_kept_whichever_ends_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def task(_fabric: Any, heads: Any, _entries: Any) -> int:
        return int(heads[0][layout.L_TASK])

    monkeypatch.setattr(kept_later, "whole_calls", task)
    kept = keeper()
    (first,), (second,), (third,) = (begun(kept, 100, number) for number in range(3))
    ended(kept, second)
    ((bucket, count),) = kept.counts().items()
    assert (count, kept.first(bucket), kept.slowest()) == (1, 1, 1)
    ended(kept, first)
    ended(kept, third)
    assert kept.counts() == {bucket: 3}
    assert (kept.first(bucket), kept.slowest()) == (0, 0)


def test_a_call_is_kept_when_its_last_target_has_run_it() -> None:
    kept = keeper()
    one, other = begun(kept, 100, targets=2)
    ended(kept, other)
    assert not kept.counts()
    ended(kept, one)
    assert list(kept.counts().values()) == [1]


def test_what_will_be_neither_first_nor_slowest_is_counted_alone() -> None:
    kept = keeper()
    (first,) = begun(kept, 100)
    assert first.entry is not None
    ended(kept, first)
    (second,) = begun(kept, 100)
    assert second.entry is None
    ended(kept, second)
    assert list(kept.counts().values()) == [2]


@pytest.mark.parametrize("sub_bits", [3, 5])
def test_buckets_are_those_of_other_calls(sub_bits: int) -> None:
    bucket = getattr(specimens.bucket, "py_func", specimens.bucket)
    state = np.zeros(layout.HEADER, dtype=np.int64)
    state[layout.SUB_BITS] = sub_bits
    for latency in sorted({(1 << k) + d for k in range(62) for d in (-1, 0, 1)}):
        kept = keeper(sub_bits)
        (one,) = begun(kept, latency)
        ended(kept, one)
        assert list(kept.counts()) == [bucket(state, latency)]


def test_a_call_that_is_kept_in_detail_goes_there_once() -> None:
    taken: list[Any] = []

    class Everything(Detail):
        def __init__(self) -> None:
            pass

        def makes_room(self, start: int, targets: int) -> bool:
            return True

        def add_call(self, head: Any, entries: Any) -> None:
            taken.append(head)

    kept = keeper()
    kept.detail = Everything()
    for _ in range(2):
        (one,) = begun(kept, 100)
        assert one.entry is not None
        ended(kept, one)
    assert len(taken) == 2


def test_who_waits_is_looked_at_after_some_calls_and_then_after_twice_as_many_as_are_left() -> None:
    kept = keeper()
    ones = [one for _ in range(kept_later.WAITING) for one in begun(kept, 100)]
    assert kept.is_to_settle
    kept.settle()
    assert not kept.is_to_settle
    for _ in range(kept_later.WAITING):
        assert not kept.is_to_settle
        begun(kept, 100)
    assert kept.is_to_settle
    for one in ones:
        one.gone_ps = 1
    kept.settle()
    assert list(kept.counts().values()) == [len(ones)]
    assert not kept.is_to_settle
