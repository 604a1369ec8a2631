"""The timeline of a part of a run that was kept in detail: every handler, window and wait."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import pmsim
from pmsim.errors import OutputError
from pmsim.report import spans
from pmsim.report.perfetto import LAZY, write_perfetto
from pmsim.report.spans import Window
from pmsim.units import NS, US
from tests.experiments.small import POLICY, small
from tests.machines import scenario
from tests.report.traces import Slice, Timeline, read

ALL_OF_IT = {"timeline": "20us", "detail": {}}


def run_program(
    rows: str, folder: Path, cpus: int, detail: object, order: str = "concurrent"
) -> Timeline:
    program = folder / "program.csv"
    program.write_text(f"cpu,op,arg\n{rows}")
    workload = {"kind": "trace", "name": "program", "file": str(program)}
    measure = {"timeline": "1ms", "detail": detail}
    kernel = {"profile": "linux-6.1-x86_64", "crosscall_order": order}
    run = scenario(workload, cpus=cpus, measure=measure, kernel=kernel)
    result = pmsim.run(run, folder / "run")
    return read(write_perfetto(result, folder / "one.pftrace"))


def on(timeline: Timeline, *path: str) -> list[Slice]:
    """Return the outermost slices of a track."""
    return [
        one for one in timeline.slices if timeline.path(one.track) == path and one.parent is None
    ]


def times(slices: list[Slice]) -> list[tuple[str, int, int]]:
    return [(one.name, one.start, one.end) for one in slices]


def inside(timeline: Timeline, whole: Slice) -> Iterator[Slice]:
    """Yield the slices in another, however deep."""
    for one in timeline.slices:
        if one.parent is whole:
            yield one
            yield from inside(timeline, one)


@pytest.fixture(scope="module")
def detailed(tmp_path_factory: pytest.TempPathFactory) -> pmsim.Result:
    """A run until done in which locks are waited for, interrupts are off and areas are freed."""
    often = {"protect": {"every": 4}, "allocations": 60}
    policies = [POLICY | often | {"name": f"policy {cpu}", "cpu": cpu} for cpu in range(4)]
    churn = {"kind": "vmalloc_churn", "name": "churn", "cpus": [0, 1, 2, 3], "allocations": 50}
    found = small(*policies, churn, cpus=4, measure=ALL_OF_IT, duration="500us")
    return pmsim.run(found, tmp_path_factory.mktemp("detailed") / "run")


@pytest.fixture(scope="module")
def timeline(detailed: pmsim.Result, tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    return read(write_perfetto(detailed, tmp_path_factory.mktemp("trace") / "all.pftrace"))


def test_a_call_of_three_targets_worked_by_hand(tmp_path: Path) -> None:
    # Queued by 30, sent at 50, 70 and 90; there 500 later. Entry 200, one page 50, exit 100. CPU 2
    # lets nobody in before 2000. The own function is done at 140; each answer takes 30 to be seen.
    rows = "0,flush_kernel,1\n1,compute,9000000\n2,irqs_off,2000000\n3,compute,9000000\n"
    timeline = run_program(rows, tmp_path, 4, {})
    (call,) = on(timeline, "CPU 0", "program, task 0")
    assert (call.name, call.start, call.end) == ("ipi range", 0, 2_310)
    expected = {1: (550, 900), 2: (2_000, 2_350), 3: (590, 940)}
    for cpu, (start, end) in expected.items():
        (handler,) = on(timeline, f"CPU {cpu}", "handlers")
        assert (handler.name, handler.start, handler.end) == ("handler", start, end)
        assert times(list(inside(timeline, handler))) == [
            ("entry", start, start + 200),
            ("range for CPU 0", start + 200, start + 250),
            ("exit", start + 250, end),
        ]
    assert times(on(timeline, "CPU 0", "interrupts off")) == [("interrupts off", 0, 140)]
    assert times(on(timeline, "CPU 2", "interrupts off")) == [("interrupts off", 0, 2_000)]
    ends = {one.ends[0]: timeline.path(one.track)[0] for one in timeline.slices if one.ends}
    assert [ends[arrow] for arrow in call.begins] == ["CPU 1", "CPU 2", "CPU 3"]


def test_in_the_serial_order_interrupts_are_off_again_after_the_answers(tmp_path: Path) -> None:
    # Sent by 30, answered at 780, seen at 810.
    rows = "0,flush_kernel,1\n1,compute,9000000\n"
    timeline = run_program(rows, tmp_path, 2, {}, "serial")
    assert times(on(timeline, "CPU 0", "interrupts off")) == [
        ("interrupts off", 0, 30),
        ("interrupts off", 810, 860),
    ]


def test_a_call_that_nobody_gets_has_interrupts_off_all_along(tmp_path: Path) -> None:
    rows = "0,compute,4000\n0,flush_kernel,1\n0,flush_kernel,2\n"
    timeline = run_program(rows, tmp_path, 1, {"to": "50ns"})
    assert times(on(timeline, "CPU 0", "interrupts off")) == [("interrupts off", 4, 54)]


def test_locks_are_waited_for_in_the_tracks_of_tasks(tmp_path: Path) -> None:
    # A cache line takes 30 from CPU to CPU, a wake-up 2000. CPU 2 sleeps from 5000 to 6000.
    rows = (
        "0,spin_lock,0\n0,compute,3000000\n0,spin_unlock,0\n"
        "1,compute,1000000\n1,spin_lock,0\n1,spin_unlock,0\n1,sleep,50000\n"
        "2,mutex_lock,7\n2,compute,5000000\n2,sleep,1000000\n2,mutex_unlock,7\n"
        "3,compute,2000000\n3,mutex_lock,7\n3,mutex_unlock,7\n"
    )
    timeline = run_program(rows, tmp_path, 4, {})
    assert times(on(timeline, "CPU 1", "program, task 0")) == [
        ("spins for spinlock 0", 1_000, 3_030),
        ("sleeps", 3_030, 3_080),
    ]
    assert times(on(timeline, "CPU 3", "program, task 0")) == [
        ("spins for mutex 7", 2_000, 5_000),
        ("sleeps for mutex 7", 5_000, 8_000),
    ]


def test_waits_before_and_after_the_part_are_not_shown(tmp_path: Path) -> None:
    window = "0,irqs_off,2000000\n0,compute,1000\n"
    rows = f"{window}{window}{window}"
    timeline = run_program(rows, tmp_path, 2, {"from": "1us", "to": "4us"})
    assert times(on(timeline, "CPU 0", "interrupts off")) == [("interrupts off", 2_001, 4_001)]


def test_every_broadcast_has_an_arrow_to_each_of_its_targets(
    detailed: pmsim.Result, timeline: Timeline
) -> None:
    ends = {one.ends[0]: timeline.path(one.track) for one in timeline.slices if one.ends}
    calls = [one for one in timeline.slices if one.category == "shootdown"]
    called = 0
    for call in calls:
        initiator = timeline.path(call.track)[0]
        others = [(f"CPU {cpu}", "handlers") for cpu in range(4) if f"CPU {cpu}" != initiator]
        assert [ends[arrow] for arrow in call.begins] == others
        called += call.facts["targets"]
    assert called == len(ends) > 50


def lasted(slices: list[Slice]) -> int:
    return sum(one.facts["duration_ps"] for one in slices)


def test_handlers_and_waking_are_what_was_stolen_from_each_cpu(
    detailed: pmsim.Result, timeline: Timeline
) -> None:
    for row in detailed.cpus.itertuples():
        found = on(timeline, f"CPU {row.cpu}", "handlers")
        assert sum(one.name == "handler" for one in found) == row.handlers
        assert {one.name for one in found} <= {"handler", "waking"}
        assert lasted(found) == row.stolen_ps


def test_windows_are_the_time_with_interrupts_off_of_each_cpu(
    detailed: pmsim.Result, timeline: Timeline
) -> None:
    for row in detailed.cpus.itertuples():
        found = on(timeline, f"CPU {row.cpu}", "interrupts off")
        assert lasted(found) == row.irqs_off_ps > 0
        assert all(one.end <= other.start for one, other in pairwise(found))


def test_waits_for_locks_are_what_operations_say_they_waited(
    detailed: pmsim.Result, timeline: Timeline
) -> None:
    waited = 0
    for row in detailed.operations.itertuples():
        (operation,) = (
            one
            for one in timeline.slices
            if one.category == "operation" and one.facts["id"] == row.id
        )
        waits = [
            one
            for one in inside(timeline, operation)
            if one.name.startswith(("spins for", "sleeps for"))
        ]
        assert lasted(waits) == row.lock_wait_ps
        waited += bool(waits)
    assert waited == (detailed.operations["lock_wait_ps"] > 0).sum() > 0


def test_nothing_is_drawn_twice(timeline: Timeline) -> None:
    seen = Counter(
        (one.track, one.name, one.facts["start_ps"], one.facts["duration_ps"])
        for one in timeline.slices
        if one.facts["duration_ps"]
    )
    assert set(seen.values()) == {1}
    tracks = Counter(timeline.path(track) for track in timeline.tracks)
    assert set(tracks.values()) == {1}


def test_lazily_freed_pages_are_the_areas_freed_and_not_yet_purged(tmp_path: Path) -> None:
    # Each area is of four pages and a guard page. One is freed each 100 us, from 0 on; at 550 us a
    # pool is protected, which purges them.
    workloads: list[dict[str, Any]] = [
        {"kind": "vmalloc_churn", "name": "churn", "cpus": [0], "allocations": 8, "size": "16KiB",
         "arrival": {"every": "100us"}},
        {"kind": "pool_churn", "name": "pools", "cpu": 1, "allocations": 1, "destroy": False,
         "arrival": {"times": ["550us"]}},
    ]  # fmt: skip
    result = pmsim.run(scenario(*workloads, cpus=2, measure={"timeline": "50us"}), tmp_path / "r")
    timeline = read(write_perfetto(result, tmp_path / "lazy.pftrace"))
    operations = result.operations
    frees = operations[operations["kind"] == "vfree"]["end_ps"].tolist()
    (purged,) = operations[operations["kind"] == "purge"]["end_ps"].tolist()
    assert len(frees) == 8
    assert frees[5] < purged < frees[6]
    points = timeline.counter(LAZY)
    assert points[0] == (0, 0)
    value, found = 0, dict(points)
    for row in result.timeline.itertuples():
        value = found.get(row.end_ps // NS, value)
        done = purged if purged <= row.end_ps else 0
        assert value == 5 * sum(done < end <= row.end_ps for end in frees)
    assert max(pages for _, pages in points) == 6 * 5
    window = Window(0, 320 * US, 650 * US)
    part = read(write_perfetto(result, tmp_path / "part.pftrace", window)).counter(LAZY)
    start, end = 320_000, 650_000  # at 300 us the fourth area was not yet free
    assert part == [(start, 3 * 5), *(point for point in points if start < point[0] < end)]


def test_the_median_and_the_slowest_call_have_all_their_handlers_without_detail(
    tmp_path: Path,
) -> None:
    rows = "0,flush_kernel,1\n0,flush_kernel,40\n" + "".join(
        f"{cpu},compute,9000000\n" for cpu in (1, 2, 3)
    )
    timeline = run_program(rows, tmp_path, 4, None)
    handlers: dict[str, int] = defaultdict(int)
    for one in timeline.named("handler"):
        handlers[timeline.path(one.track)[0]] += 1
    assert handlers == {"CPU 1": 2, "CPU 2": 2, "CPU 3": 2}
    assert not [one for one in timeline.slices if one.category in ("irqs_off", "wait")]


def test_targets_and_waits_count_among_the_rows_that_a_timeline_takes(
    detailed: pmsim.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = len(detailed.operations) + len(detailed.crosscalls)
    rows = alone + len(detailed.anatomy) + len(detailed.stretches)
    monkeypatch.setattr(spans, "MOST_ROWS", rows - 1)
    with pytest.raises(OutputError, match="more operations, shootdowns, targets and waits"):
        write_perfetto(detailed, tmp_path / "all.pftrace")
    monkeypatch.setattr(spans, "MOST_ROWS", rows)
    write_perfetto(detailed, tmp_path / "all.pftrace")


def test_a_window_shows_the_detail_in_it(detailed: pmsim.Result, tmp_path: Path) -> None:
    found = read(write_perfetto(detailed, tmp_path / "w.pftrace", Window(0, 100 * US, 300 * US)))
    for category in ("wait", "irqs_off"):
        shown = [one.facts for one in found.slices if one.category == category]
        assert shown
        for facts in shown:
            assert facts["start_ps"] < 300 * US
            assert facts["start_ps"] + facts["duration_ps"] >= 100 * US
