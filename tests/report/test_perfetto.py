from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pmsim
from pmsim.errors import OutputError, ResultError
from pmsim.hardware.shootdown.own import protocol
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.report import spans
from pmsim.report.perfetto import IN_FLIGHT, LAZY, LOST, write_perfetto
from pmsim.report.spans import Window
from pmsim.units import NS, US
from tests.experiments.small import MEASURE
from tests.machines import machine, scenario
from tests.report.traces import Slice, Timeline, read


def run_program(rows: str, folder: Path, cpus: int = 2, **keys: object) -> pmsim.Result:
    program = folder / "program.csv"
    program.write_text(f"cpu,op,arg\n{rows}")
    workload = {"kind": "trace", "name": "program", "file": str(program)}
    keys = {"measure": MEASURE, **keys}
    return pmsim.run(scenario(workload, cpus=cpus, **keys), folder / "run")


def parts_of(timeline: Timeline, whole: Slice) -> list[tuple[str, int, int]]:
    return [(one.name, one.start, one.end) for one in timeline.slices if one.parent is whole]


@pytest.fixture(scope="module")
def timeline(result: pmsim.Result, tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    return read(write_perfetto(result, tmp_path_factory.mktemp("trace") / "all.pftrace"))


def of_the_first(result: pmsim.Result, table: str) -> list[dict[str, object]]:
    frame = result.table(table)
    rows: list[dict[str, object]] = frame[frame["replication"] == 0].to_dict("records")
    return rows


def test_a_broadcast_worked_by_hand(tmp_path: Path) -> None:
    # Queue 10, send 20, delivery 500: it arrives at 530; entry 200, one page 50: answered at 780;
    # visit 30. All of it 1.7 ns later, rounded down to 1.
    result = run_program("0,compute,1700\n0,flush_kernel,1\n1,compute,5000000\n", tmp_path)
    timeline = read(write_perfetto(result, tmp_path / "one.pftrace"))
    (call,) = timeline.named("ipi range")
    assert (call.start, call.end) == (1, 811)
    assert (call.facts["start_ps"], call.facts["duration_ps"]) == (1_700, 810 * NS)
    assert parts_of(timeline, call) == [
        ("queue", 1, 11), ("send", 11, 31), ("delivery", 31, 531), ("entry", 531, 731),
        ("function", 731, 781), ("visit", 781, 811),
    ]  # fmt: skip
    (handler,) = timeline.named("handler")
    assert (handler.start, handler.end) == (531, 881)
    assert parts_of(timeline, handler) == [
        ("entry", 531, 731), ("range for CPU 0", 731, 781), ("exit", 781, 881),
    ]  # fmt: skip
    (answer,) = timeline.named("range for CPU 0")
    assert timeline.path(call.track) == ("CPU 0", "program, task 0")
    assert timeline.path(answer.track) == ("CPU 1", "handlers")
    assert call.begins == answer.ends == [1]
    assert timeline.counter(IN_FLIGHT) == [(0, 0), (1, 1), (811, 0)]


def test_a_handler_begins_when_the_slowest_target_lets_it_and_says_why(tmp_path: Path) -> None:
    result = run_program("0,flush_kernel,1\n1,irqs_off,2000000\n", tmp_path)
    timeline = read(write_perfetto(result, tmp_path / "one.pftrace"))
    (handler,) = timeline.named("handler")
    assert (handler.start, handler.end) == (2_000, 2_350)
    (answer,) = timeline.named("range for CPU 0")
    assert (answer.start, answer.end) == (2_200, 2_250)
    assert answer.facts["reason"] == "irqs_off"


# CPU 2 has interrupts off as two calls of one page arrive; it takes them with one interrupt.
TWO_IN_ONE = "0,flush_kernel,1\n1,compute,100000\n1,flush_kernel,1\n2,irqs_off,9000000\n"


def test_calls_that_one_handler_takes_stand_in_it(tmp_path: Path) -> None:
    result = run_program(TWO_IN_ONE, tmp_path, cpus=3)
    timeline = read(write_perfetto(result, tmp_path / "two.pftrace"))
    handlers = [one for one in timeline.named("handler") if "CPU 2" in timeline.path(one.track)]
    assert [parts_of(timeline, one) for one in handlers] == [
        [
            ("entry", 9_000, 9_200),
            ("range for CPU 0", 9_200, 9_250),
            ("range for CPU 1", 9_250, 9_300),
            ("exit", 9_300, 9_400),
        ]
    ]
    assert max(value for _, value in timeline.counter(IN_FLIGHT)) == 2


def without_anatomy(result: pmsim.Result, folder: Path) -> pmsim.Result:
    """Return a copy in which no call but one is kept whole, and that one lies long ago."""
    copy = result.save(folder)
    path = folder / "anatomy.parquet"
    rows = pq.read_table(path)
    one = rows.slice(0, 1)
    for name in ("start_ps", "end_ps"):
        one = one.set_column(
            one.schema.get_field_index(name), rows.schema.field(name), pa.array([-1])
        )
    pq.write_table(one, path)
    return copy


def test_of_other_calls_the_handler_of_the_slowest_target_is_shown(tmp_path: Path) -> None:
    result = run_program(TWO_IN_ONE, tmp_path, cpus=3)
    known = read(write_perfetto(result, tmp_path / "known.pftrace"))
    bare = without_anatomy(result, tmp_path / "copy")
    found = read(write_perfetto(bare, tmp_path / "two.pftrace"))
    assert {found.path(one.track)[0] for one in found.named("handler")} == {"CPU 2"}
    (handler,) = found.named("handler")
    (same,) = (one for one in known.named("handler") if known.path(one.track)[0] == "CPU 2")
    assert parts_of(found, handler) == parts_of(known, same)


@pytest.mark.parametrize(("slice_", "handlers"), [("700ns", []), ("1us", [(531, 781)])])
def test_of_a_guest_only_calls_on_whose_way_nobody_was_frozen_tell_a_handler(
    slice_: str, handlers: list[tuple[int, int]], tmp_path: Path
) -> None:
    # As by hand above; with turns of 700 ns CPU 1 freezes in its handler, with such of 1 us behind
    # the acknowledgement, and when the handler is over no row says.
    host = {"overcommit": 2, "slice": slice_, "phases": ["0ns", "0ns"]}
    rows = "0,compute,1700\n0,flush_kernel,1\n1,compute,100000\n"
    result = run_program(rows, tmp_path, machine=machine(2) | {"host": host})
    bare = without_anatomy(result, tmp_path / "copy")
    found = read(write_perfetto(bare, tmp_path / "bare.pftrace"))
    assert [(one.start, one.end) for one in found.named("handler")] == handlers
    assert len(found.named("ipi range")) == 1


def test_on_a_serial_kernel_the_own_function_comes_after_the_visit(tmp_path: Path) -> None:
    result = run_program(
        "0,flush_kernel,1\n1,compute,5000000\n",
        tmp_path,
        kernel={"profile": "linux-6.1-x86_64", "crosscall_order": "serial"},
    )
    timeline = read(write_perfetto(result, tmp_path / "one.pftrace"))
    (call,) = timeline.named("ipi range")
    assert [name for name, _, _ in parts_of(timeline, call)][-2:] == ["visit", "local"]


def test_the_parts_of_an_invalidation_follow_each_other_in_time(tmp_path: Path) -> None:
    result = pmsim.run(
        pmsim.Scenario.from_dict(
            {
                "pmsim": 1,
                "machine": {"platform": "altra-max", "cpus": 4},
                "kernel": "linux-6.1-arm64",
                "until": "done",
                "workloads": [{"kind": "pool_churn", "pools": 1, "allocations": 4, "size": "64B"}],
                "measure": MEASURE,
            }
        )
    )
    timeline = read(write_perfetto(result, tmp_path / "arm.pftrace"))
    calls = [one for one in timeline.slices if one.category == "shootdown"]
    assert calls
    for call in calls:
        names = [name for name, _, _ in parts_of(timeline, call)]
        assert names == ["function", "delivery"]
    assert not timeline.named("handler")


def test_every_operation_and_broadcast_is_there_with_its_exact_times(
    result: pmsim.Result, timeline: Timeline
) -> None:
    for table, category in (("operations", "operation"), ("crosscalls", "shootdown")):
        wanted = Counter((row["start_ps"], row["end_ps"]) for row in of_the_first(result, table))
        found = Counter(
            (one.facts["start_ps"], one.facts["start_ps"] + one.facts["duration_ps"])
            for one in timeline.slices
            if one.category == category
        )
        assert found == wanted
        assert sum(found.values()) > 10


def test_instants_are_rounded_down_to_nanoseconds(timeline: Timeline) -> None:
    odd = 0
    for one in timeline.slices:
        end_ps = one.facts["start_ps"] + one.facts["duration_ps"]
        assert one.start == one.facts["start_ps"] // NS
        assert one.end == end_ps // NS
        odd += one.facts["start_ps"] % NS != 0
    assert odd > 20


def test_what_an_operation_made_lies_inside_it(result: pmsim.Result, timeline: Timeline) -> None:
    by_id = {
        one.facts["id"]: one for one in timeline.slices if one.category == "operation"
    }  # fmt: skip
    for row in of_the_first(result, "operations"):
        parent = by_id[row["id"]].parent
        caller = None if parent is None else parent.facts["id"]
        assert caller == (None if str(row["parent"]) == "<NA>" else row["parent"])
    inside = Counter(
        one.parent.facts["id"]
        for one in timeline.slices
        if one.category == "shootdown" and one.parent is not None
    )
    assert inside == Counter(row["operation"] for row in of_the_first(result, "crosscalls"))


def test_the_parts_of_a_broadcast_fill_it(timeline: Timeline) -> None:
    for call in timeline.slices:
        if call.category == "shootdown":
            parts = [one for one in timeline.slices if one.parent is call]
            assert sum(one.facts["duration_ps"] for one in parts) == call.facts["duration_ps"]
            assert (parts[0].start, parts[-1].end) == (call.start, call.end)


def test_arrows_go_from_a_broadcast_to_the_cpu_that_was_waited_for_and_of_some_to_all(
    timeline: Timeline,
) -> None:
    ends = {one.ends[0]: one for one in timeline.slices if one.ends}
    calls = [one for one in timeline.slices if one.category == "shootdown"]
    waited = [one for one in calls if "slowest_cpu" in one.facts]
    assert len(ends) >= len(waited) > 10
    for call in waited:
        answers = [ends[arrow] for arrow in call.begins]
        assert f"CPU {call.facts['slowest_cpu']}" in [
            timeline.path(one.track)[0] for one in answers
        ]
        assert all(call.start <= one.start <= one.end <= call.end for one in answers)


def test_the_counter_of_calls_holds_littles_law(timeline: Timeline) -> None:
    # Its integral is the sum of all latencies: exactly, as both are rounded alike.
    points = timeline.counter(IN_FLIGHT)
    area = sum(value * (end - start) for (start, value), (end, _) in pairwise(points))
    calls = [one for one in timeline.slices if one.category == "shootdown"]
    assert area == sum(one.end - one.start for one in calls)
    assert points[0] == (0, 0)
    assert points[-1][1] == 0


def test_the_counters_of_a_cpu_are_its_timeline(result: pmsim.Result, timeline: Timeline) -> None:
    rows = [row for row in of_the_first(result, "cpu_timeline") if row["cpu"] == 0]
    for column, name in LOST.items():
        points = dict(timeline.counter("CPU 0", name))
        value = 0.0
        for row in rows:
            value = points.get(row["start_ps"] // NS, value)
            length = row["end_ps"] - row["start_ps"]
            assert value == pytest.approx(100 * row[column] / length)


def test_each_task_has_a_track_of_its_own(timeline: Timeline) -> None:
    tracks = {timeline.path(one.track) for one in timeline.slices if one.category == "operation"}
    assert ("CPU 0", "pools, task 0") in tracks
    assert ("CPU 1", "selinux, task 1") in tracks


def test_one_track_holds_all_others_the_counters_first_then_cpus_in_order(
    timeline: Timeline,
) -> None:
    (root,) = (one for one in timeline.tracks.values() if not one.parent_uuid)
    assert root.name == "test, replication 0"
    assert root.child_ordering == root.EXPLICIT
    inside = [one for one in timeline.tracks.values() if one.parent_uuid == root.uuid]
    inside.sort(key=lambda one: one.sibling_order_rank)
    assert [one.name for one in inside] == [IN_FLIGHT, LAZY, "CPU 0", "CPU 1"]


def test_another_replication_is_another_timeline(
    result: pmsim.Result, timeline: Timeline, tmp_path: Path
) -> None:
    other = read(write_perfetto(result, tmp_path / "1.pftrace", Window(1)))
    assert [one.start for one in other.slices] != [one.start for one in timeline.slices]
    with pytest.raises(OutputError, match="no replication 2; there are replications 0 to 1"):
        write_perfetto(result, tmp_path / "2.pftrace", Window(2))


def test_a_window_shows_what_lies_in_it_and_what_that_lies_in(
    result: pmsim.Result, timeline: Timeline, tmp_path: Path
) -> None:
    start, end = 100 * US, 160 * US
    found = read(write_perfetto(result, tmp_path / "w.pftrace", Window(0, start, end)))
    wanted = [
        (one.name, one.start, one.end)
        for one in timeline.slices
        if one.category in ("operation", "shootdown")
        and one.facts["start_ps"] < end
        and one.facts["start_ps"] + one.facts["duration_ps"] >= start
    ]
    shown = [
        (one.name, one.start, one.end)
        for one in found.slices
        if one.category in ("operation", "shootdown")
    ]
    assert Counter(shown) == Counter(wanted)
    assert 0 < len(shown) < len(timeline.slices)


def test_too_much_for_one_timeline_is_refused_with_a_way_out(
    result: pmsim.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "MOST_ROWS", 30)
    with pytest.raises(OutputError, match=r"more .* than the 30 that .*--from TIME"):
        write_perfetto(result, tmp_path / "all.pftrace")
    assert list(tmp_path.iterdir()) == []
    write_perfetto(result, tmp_path / "w.pftrace", Window(0, 0, 10 * US))


def test_without_perfetto_the_error_says_what_to_install(
    result: pmsim.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "perfetto.trace_builder.proto_builder", None)
    with pytest.raises(OutputError, match=r"pip install 'pmsim\[perfetto\]'"):
        write_perfetto(result, tmp_path / "all.pftrace")


def test_of_a_damaged_result_no_timeline_is_left(result: pmsim.Result, tmp_path: Path) -> None:
    copy = result.save(tmp_path / "copy")
    table = copy.path / "cpu_timeline.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(ResultError, match=r"cpu_timeline\.parquet cannot be read"):
        write_perfetto(copy, tmp_path / "all.pftrace")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_result_without_broadcasts_has_a_timeline_all_the_same(tmp_path: Path) -> None:
    quiet = pmsim.run(scenario({"kind": "user_work", "name": "work"}, duration="1ms"))
    timeline = read(write_perfetto(quiet, tmp_path / "quiet.pftrace"))
    assert timeline.slices == []
    assert timeline.counter(IN_FLIGHT) == [(0, 0)]


class InTwoCalls:
    """Calls one CPU after the other."""

    promises = "gone"

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        for number in flush.targets:
            yield from initiator.cross_call([number], flush.function)


def test_each_call_of_a_shootdown_of_somebodys_own_has_its_answers_and_no_part_is_made_up(
    tmp_path: Path,
) -> None:
    # Each call takes 810 ns, as above; the parts of the row are sums of both, in no order of time.
    with PROTOCOLS.scoped():
        protocol("two")(InTwoCalls)
        result = run_program(
            "0,flush_kernel,1\n1,compute,5000000\n2,compute,5000000\n", tmp_path, cpus=3,
            kernel={"profile": "linux-6.18-x86_64", "shootdown": "two"},
            measure={**MEASURE, "detail": {"from": "0s"}},
        )  # fmt: skip
    timeline = read(write_perfetto(result, tmp_path / "one.pftrace"))
    (call,) = timeline.named("two range")
    assert (call.start, call.end, parts_of(timeline, call)) == (0, 1620, [])
    answers = [(one.start, one.end, one.ends) for one in timeline.named("range for CPU 0")]
    assert sorted(answers) == [(730, 780, [1]), (1540, 1590, [2])]
    assert call.begins == [1, 2]
