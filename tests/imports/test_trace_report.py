"""Reports of traces: of texts with their arithmetic, and of pieces of real traces."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from pmsim.imports.importer import Wishes, import_files
from pmsim.imports.spread import MOST_VALUES, Spread
from pmsim.imports.trace.calls import cpus_of_mask
from pmsim.imports.trace.flushes import EVERYTHING, span
from pmsim.imports.trace.seen import SeenTrace, read_trace
from pmsim.report.table import Table
from pmsim.units import US

TRACES = ("thread_churn", "mprotect", "module_burst")
DATA = Path(__file__).parent.parent / "data" / "traces"

BROADCAST = """\
 init-9 [000] ...1. 7.000010: tlb_flush: pages:3 reason:remote IPI send (4)
 init-9 [000] ...2. 7.000011: csd_queue_cpu: cpu=1 callsite=on_each_cpu_cond_mask+0x20/0x60 \
func=flush_tlb_func csd=00000000000000aa
 init-9 [000] ...2. 7.000012: csd_queue_cpu: cpu=2 callsite=on_each_cpu_cond_mask+0x20/0x60 \
func=flush_tlb_func csd=00000000000000bb
 init-9 [000] ...2. 7.000013: ipi_send_cpu: cpu=2 callsite=on_each_cpu_cond_mask+0x20/0x60 \
callback=generic_smp_call_function_single_interrupt+0x0/0x10
 init-9 [000] d..2. 7.000014: csd_function_entry: func=flush_tlb_func, csd=0000000000000000
 init-9 [000] d..2. 7.000015: tlb_flush: pages:3 reason:local MM shootdown (3)
 init-9 [000] d..2. 7.000015: csd_function_exit: func=flush_tlb_func, csd=0000000000000000
 <idle>-0 [001] d.h1. 7.000031: csd_function_entry: func=flush_tlb_func, csd=00000000000000aa
 work-8 [002] d.h.. 7.000042: csd_function_entry: func=flush_tlb_func, csd=00000000000000bb
 <idle>-0 [001] d.h1. 7.000033: csd_function_exit: func=flush_tlb_func, csd=00000000000000aa
 work-8 [002] d.h.. 7.000047: csd_function_exit: func=flush_tlb_func, csd=00000000000000bb
 init-9 [000] ...1. 7.000060: tlb_flush: pages:-1 reason:local MM shootdown (3)
"""


def seen(tmp_path: Path, text: str) -> SeenTrace:
    path = tmp_path / "trace"
    path.write_text(text)
    return read_trace(path)


def test_a_call_is_followed_from_each_queue_to_its_last_exit(tmp_path: Path) -> None:
    trace = seen(tmp_path, BROADCAST)
    known = trace.calls.functions["flush_tlb_func"]
    assert (known.calls, known.queued, known.interrupts) == (1, 2, 1)  # CPU 1 rode along
    assert known.delay.counts == {20 * US: 1, 30 * US: 1}
    assert known.duration.counts == {2 * US: 1, 5 * US: 1}
    assert known.whole.counts == {34 * US: 1}  # sent at 13, the last exit at 47
    idle, busy = trace.calls.targets[1], trace.calls.targets[2]
    assert (idle.functions, idle.idle, idle.sent, idle.tasks) == (1, 1, 0, {})
    assert (busy.functions, busy.idle, busy.sent, busy.tasks) == (1, 0, 1, {b"work": 1})
    assert [one.cpu for one in sorted(trace.calls.slowest, reverse=True)] == [2, 1]


def test_the_own_share_of_a_flush_is_no_flush_of_its_own(tmp_path: Path) -> None:
    flushes = seen(tmp_path, BROADCAST).flushes
    assert (flushes.user.count, flushes.user.pages.counts) == (1, {3: 1})
    assert (flushes.user_local.count, flushes.user_local.full) == (1, 1)


def test_what_is_under_way_where_events_are_lost_is_left_out(tmp_path: Path) -> None:
    lines = BROADCAST.splitlines(keepends=True)
    cut = "".join([*lines[:4], "CPU:2 [LOST 5 EVENTS]\n", *lines[4:]])
    calls = seen(tmp_path, cut).calls
    assert calls.functions["flush_tlb_func"].delay.counts == {20 * US: 1}
    assert calls.unmatched == 1


@pytest.mark.parametrize(
    ("mask", "cpus"),
    [
        (b"6", [1, 2]),
        (b"ff", list(range(8))),
        (b"00000001,80000003", [0, 1, 31, 32]),
        (b"0-1,3-5", [0, 1, 3, 4, 5]),
        (b"14,17,21", [14, 17, 21]),
        (b"0x6", [1, 2]),
    ],
)
def test_masks_are_read_in_hexadecimal_and_as_lists(mask: bytes, cpus: list[int]) -> None:
    assert cpus_of_mask(mask) == cpus


@pytest.mark.parametrize(
    ("rest", "pages"),
    [
        (b"(flush_tlb_kernel_range+0x0/0xc0) s=0xffffc9000006d000 e=0xffffc90000070000", 3),
        (b"(flush_tlb_mm_range+0x0/0x170) s=0x0 e=0xffffffffffffffff", EVERYTHING),
        (b"(f+0x0/0x1) start=4096 end=4097", 1),
        (b"(f+0x0/0x1)", EVERYTHING),
    ],
)
def test_a_probe_with_start_and_end_tells_pages(rest: bytes, pages: int) -> None:
    assert span(rest) == pages


def test_a_spread_keeps_what_it_can_and_then_three_digits() -> None:
    spread = Spread()
    for value in range(10 * MOST_VALUES):
        spread.add(value)
    assert spread.n == 10 * MOST_VALUES
    assert len(spread.counts) <= MOST_VALUES
    assert spread.quantile(0.5) == pytest.approx(5 * MOST_VALUES, rel=0.01)
    assert spread.largest == pytest.approx(10 * MOST_VALUES, rel=0.01)


def lines_of(name: str) -> list[str]:
    with gzip.open(DATA / f"{name}.trace.gz", "rt") as file:
        return file.readlines()


@pytest.mark.parametrize("name", ["thread_churn", "mprotect", "module_burst"])
def test_every_event_of_a_real_trace_is_read_and_counted(name: str) -> None:
    lines = lines_of(name)
    trace = read_trace(DATA / f"{name}.trace.gz")
    events = [line for line in lines if not line.startswith("#")]
    assert (trace.reading.events, trace.reading.foreign) == (len(events), 0)

    def count(pattern: str) -> int:
        return sum(1 for line in events if re.search(pattern, line))

    sends = count(r"tlb_flush: pages:.*IPI send") + count(r"tlb_flush: pages:.*ipi send")
    assert trace.flushes.user.count == sends
    assert sum(one.queued for one in trace.calls.functions.values()) == count("csd_queue_cpu:")
    remote = count(r"csd_function_entry:.*csd=0*[1-9a-f]")
    assert sum(one.functions for one in trace.calls.targets.values()) == remote
    assert trace.areas.freed == count("free_vmap_area_noflush:")
    assert trace.areas.allocated == count("alloc_vmap_area: ") + count("alloc_vmap_area_ret:")
    assert sum(kind.count for kind in trace.flushes.by_caller.values()) == count(
        " flush_tlb_kernel_range: "
    ) + count(" flush_tlb_all: ")


def test_the_purge_of_a_real_trace_is_seen_as_the_event_and_as_a_call() -> None:
    trace = read_trace(DATA / "thread_churn.trace.gz")
    assert trace.areas.purges.counts == {3279: 1}
    assert trace.areas.spans.counts == {(0xFFFFC90008401000 - 0xFFFFC9000005C000) >> 12: 1}
    # Queued by CPU 1 at .956287, begun by CPU 0 at .956310.
    assert trace.calls.functions["do_flush_tlb_all"].delay.counts == {23 * US: 1}


def table(tables: tuple[Table, ...], title: str) -> Table:
    return next(one for one in tables if one.title == title)


def test_the_report_names_the_process_the_slowest_and_isolated_cpus_first() -> None:
    wishes = Wishes(isolated=frozenset({1}), tick_ps=US)
    found = import_files([DATA / "mprotect.trace.gz"], wishes)
    assert "flushes of processes" in found.words[0]
    assert "by protect" in found.words[0]
    assert any(one.startswith("Isolated CPUs were interrupted") for one in found.words)
    cpus = table(found.tables, "who was interrupted")
    assert cpus.rows[0][0].text == "1 (isolated)"
    received = sum(
        1 for line in lines_of("mprotect") if re.search(r"ipi_send_cpu: cpu=1.*gen", line)
    )
    assert cpus.rows[0][1].number == received


def test_a_trace_whose_clock_counts_tells_no_times() -> None:
    found = import_files([DATA / "module_burst.trace.gz"], Wishes(frozenset(), US))
    assert any("its clock counts" in one.lower() for one in found.words)
    assert not any(one.title == "how long cross-calls took" for one in found.tables)
    loads = table(found.tables, "calls of the kernel that probes saw")
    counted = {row[0].text: row[1].number for row in loads.rows}
    probes = sum(1 for line in lines_of("module_burst") if " set_memory_ro: " in line)
    assert counted["set_memory_ro"] == probes


def test_a_trace_without_anything_of_ours_says_what_to_record(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(" a-1 [000] ..... 1.000001: sched_wakeup: x\n")
    found = import_files([path], Wishes(frozenset(), US))
    assert any("record tlb, csd, ipi" in one for one in found.words)


def test_a_cpu_that_calls_found_running_something_is_busy_and_one_found_idle_is_not() -> None:
    """Of those that flushes reached, 98.1 % found CPU 1 running; the same program is in calls.c."""
    found = {name: read_trace(DATA / f"{name}.trace.gz").calls.busy_cpus for name in TRACES}
    assert found == {"thread_churn": (), "mprotect": (1,), "module_burst": ()}
