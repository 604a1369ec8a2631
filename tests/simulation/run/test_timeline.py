from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pmsim.hardware.fabric import ACCOUNT_COLUMNS, CROSSCALL_COLUMNS
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.kernel import AddressLevels
from pmsim.simulation.run.timeline import (
    FIRST_INTERVAL,
    MOST_CPU_INTERVALS,
    MOST_INTERVALS,
    Timeline,
)

N_CPUS = 3


def accounts(now: int) -> np.ndarray:
    """A machine on which CPU c is busy for a share of (c + 1) / 4, and idle otherwise."""
    busy = now * np.arange(1, N_CPUS + 1) // 4
    rows = np.zeros((N_CPUS + 1, len(ACCOUNT_COLUMNS)), dtype=np.int64)
    rows[:-1, ACCOUNT_COLUMNS.index("busy_ps")] = busy
    rows[:-1, ACCOUNT_COLUMNS.index("idle_ps")] = now - busy
    rows[-1] = rows.sum(axis=0)
    return rows


def busy(now: int) -> list[int]:
    """Return how long each CPU of it has been busy."""
    column: list[int] = accounts(now)[:-1, ACCOUNT_COLUMNS.index("busy_ps")].tolist()
    return column


def windows(now: int) -> int:
    """A workload that keeps interrupts off for an eleventh of the time."""
    return now // 11


def levels(now: int) -> AddressLevels:
    """A kernel that frees a page each 7,919 ps, purges at 100, and whose largest hole shrinks."""
    return AddressLevels(now // 7_919 % 100, vmalloc_hole_pages=10**9 - now // 10**6)


def calls(starts: list[int], kind: CallKind = CallKind.FULL) -> np.ndarray:
    rows = np.zeros((len(starts), len(CROSSCALL_COLUMNS)), dtype=np.int64)
    rows[:, CROSSCALL_COLUMNS.index("start_ps")] = starts
    rows[:, CROSSCALL_COLUMNS.index("kind")] = kind
    rows[:, CROSSCALL_COLUMNS.index("targets")] = N_CPUS - 1
    return rows


def watched(
    end: int, interval: int | None, starts: list[int], known: int | None = None
) -> Timeline:
    timeline = Timeline(interval, known or 0)
    done = 0
    while timeline.next_sample < end:
        now = timeline.next_sample
        timeline.sample(accounts(now), windows(now), levels(now))
        before = [start for start in starts if done <= start < now]
        timeline.count(calls(before))
        done = now
    timeline.count(calls([start for start in starts if start >= done]))
    return timeline


@pytest.mark.parametrize("interval", [None, 700])
@pytest.mark.parametrize("end", [1, 699, 700, 701, 5_000, FIRST_INTERVAL * 17_123 + 5])
def test_the_intervals_cover_the_run_without_gap_and_add_up(end: int, interval: int | None) -> None:
    if interval is not None and end > 10**6:
        end = interval * 2_345 + 1
    columns = watched(end, interval, []).columns(end, accounts(end), windows(end), levels(end))
    edges = [*columns["start_ps"].tolist(), end]
    assert edges[0] == 0
    assert columns["end_ps"].tolist() == edges[1:]
    assert all(a < b for a, b in pairwise(edges))
    assert columns["busy_ps"].sum() == sum(busy(end))
    assert columns["windows_ps"].sum() == windows(end)


def test_an_interval_that_is_given_is_kept() -> None:
    columns = watched(3_100, 1_000, []).columns(3_100, accounts(3_100), 0, AddressLevels())
    assert columns["end_ps"].tolist() == [1_000, 2_000, 3_000, 3_100]


def test_without_one_the_intervals_grow_with_the_run_to_round_lengths() -> None:
    end = FIRST_INTERVAL * 30_000
    columns = watched(end, None, []).columns(end, accounts(end), windows(end), levels(end))
    assert len(columns["start_ps"]) <= MOST_INTERVALS
    assert set(np.diff(columns["start_ps"])) == {FIRST_INTERVAL * 50}


@pytest.mark.parametrize("interval", [None, 700])
@pytest.mark.parametrize("most", [MOST_INTERVALS, MOST_CPU_INTERVALS])
@pytest.mark.parametrize("lengths", [1, 5, 10])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_run_of_known_length_has_the_same_timeline(
    interval: int | None, most: int, lengths: int, odd: int
) -> None:
    end = (interval or FIRST_INTERVAL) * most * lengths + odd
    starts = list(range(0, end, end // 97))
    one, other = (watched(end, interval, starts, known) for known in (None, end))
    for columns in ("columns", "cpu_columns"):
        arguments = (
            end,
            accounts(end),
            *([windows(end), levels(end)] if columns == "columns" else []),
        )
        before, after = (getattr(timeline, columns)(*arguments) for timeline in (one, other))
        assert {name: values.tolist() for name, values in before.items()} == {
            name: values.tolist() for name, values in after.items()
        }


@pytest.mark.parametrize("least", [1, 999_999_999, 5_000_000_000, 71_000_000_000])
def test_what_is_known_of_a_run_s_length_changes_nothing_in_its_timeline(least: int) -> None:
    end = FIRST_INTERVAL * 71_234 + 7
    one, other = (watched(end, None, [5, end // 2], known) for known in (None, least))
    known = accounts(end), windows(end), levels(end)
    before, after = (timeline.columns(end, *known) for timeline in (one, other))
    assert all((before[name] == after[name]).all() for name in before)
    before, after = (timeline.cpu_columns(end, accounts(end)) for timeline in (one, other))
    assert all((before[name] == after[name]).all() for name in before)


def test_a_run_of_known_length_is_sampled_less_often_than_its_intervals_are_many() -> None:
    timeline = Timeline(None, FIRST_INTERVAL * 123_456)
    taken = 0
    while timeline.next_sample < FIRST_INTERVAL * 123_456:
        timeline.sample(accounts(timeline.next_sample), 0, AddressLevels())
        taken += 1
    assert taken < MOST_INTERVALS


def test_pages_are_those_at_the_end_of_each_interval_however_many_were_merged() -> None:
    for end in (FIRST_INTERVAL * 900, FIRST_INTERVAL * 4_321 + 5):
        columns = watched(end, None, []).columns(end, accounts(end), windows(end), levels(end))
        wanted = [levels(at) for at in columns["end_ps"].tolist()]
        assert columns["lazy_pages"].tolist() == [one.lazy_pages for one in wanted]
        assert columns["vmalloc_hole_pages"].tolist() == [one.vmalloc_hole_pages for one in wanted]
        assert len(set(wanted)) > 10


def test_calls_are_counted_where_they_began_after_intervals_were_merged_too() -> None:
    rng = np.random.default_rng(2)
    end = FIRST_INTERVAL * 12_345
    starts = sorted(rng.integers(0, end, 500).tolist())
    columns = watched(end, None, starts).columns(end, accounts(end), windows(end), levels(end))
    edges = [*columns["start_ps"].tolist(), end]
    expected, _ = np.histogram(starts, edges)
    assert columns["broadcasts"].tolist() == expected.tolist()
    assert columns["full"].tolist() == expected.tolist()
    assert columns["targets"].tolist() == (expected * (N_CPUS - 1)).tolist()


def test_kinds_of_calls_are_counted_apart() -> None:
    timeline = Timeline(1_000)
    timeline.count(calls([10, 20], CallKind.RANGE))
    timeline.count(calls([30], CallKind.SYNC_CORE))
    columns = timeline.columns(100, accounts(100), 0, AddressLevels())
    counted = {kind.name: columns[kind.name.lower()].tolist() for kind in CallKind}
    assert counted == {"FULL": [0], "RANGE": [2], "SYNC_CORE": [1], "EMPTY": [0]}
    assert columns["broadcasts_per_s"].tolist() == [3 * 10**12 / 100]


def test_a_call_at_the_very_end_counts_in_the_last_interval() -> None:
    timeline = watched(2_000, 1_000, [])
    timeline.count(calls([2_000]))
    assert timeline.columns(2_000, accounts(2_000), 0, AddressLevels())["broadcasts"].tolist() == [
        0,
        1,
    ]


def test_a_run_of_no_length_has_no_interval() -> None:
    columns = Timeline(None).columns(0, accounts(0), 0, AddressLevels())
    assert all(len(column) == 0 for column in columns.values())
    assert len(Timeline(None).cpu_columns(0, accounts(0))["cpu"]) == 0


def test_calls_of_a_run_of_no_length_are_in_no_interval() -> None:
    timeline = Timeline(None)
    timeline.count(calls([0, 0]))
    assert len(timeline.columns(0, accounts(0), 0, AddressLevels())["broadcasts"]) == 0


def test_each_cpu_s_times_are_kept_interval_by_interval() -> None:
    end = FIRST_INTERVAL * 9_999
    columns = watched(end, None, []).cpu_columns(end, accounts(end))
    assert len(columns["cpu"]) <= N_CPUS * MOST_CPU_INTERVALS
    for cpu in range(N_CPUS):
        mine = columns["cpu"] == cpu
        assert columns["busy_ps"][mine].sum() == busy(end)[cpu]
        length = (columns["end_ps"] - columns["start_ps"])[mine]
        assert (np.abs(columns["busy_ps"][mine] - length * (cpu + 1) / 4) <= 1).all()
