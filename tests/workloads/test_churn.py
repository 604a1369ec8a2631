"""Areas, devices and threads that come and go."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.units import MS, PAGE_SIZE, US
from tests.machines import scenario


def run(*workloads: dict[str, Any], **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario(*workloads, **keys))


def churn(**keys: Any) -> dict[str, Any]:
    return {"kind": "vmalloc_churn", "allocations": 4, "size": "8KiB", **keys}


def order(result: pmsim.Result) -> str:
    """Return the operations in order of beginning: + allocates, - frees."""
    rows = result.operations.sort_values("start_ps")
    signs = {"vmalloc": "+", "ioremap": "+", "vfree": "-", "iounmap": "-"}
    return "".join(signs.get(kind, "") for kind in rows["kind"])


@pytest.mark.parametrize(
    ("live", "expected"), [(1, "+-+-+-+-"), (2, "++-+-+--"), (3, "+++-+---"), (9, "++++----")]
)
def test_the_oldest_is_freed_as_soon_as_so_many_live(live: int, expected: str) -> None:
    assert order(run(churn(live=live))) == expected


def test_areas_live_as_long_as_asked_and_all_are_freed_at_last() -> None:
    keys = {"lifetime": "15us", "arrival": {"every": "10us"}}
    result = run(churn(**keys))
    assert order(result) == "++-+-+--"
    rows = result.operations.sort_values("start_ps")
    starts = rows[rows["kind"] == "vmalloc"]["start_ps"].tolist()
    ends = rows[rows["kind"] == "vmalloc"]["end_ps"].tolist()
    assert starts == [0, 10 * US, 20 * US, 30 * US]
    assert rows[rows["kind"] == "vfree"]["start_ps"].tolist() == [end + 15 * US for end in ends]


def test_an_area_is_used_before_the_next_thing_happens() -> None:
    result = run(churn(allocations=1, use="3us"))
    rows = result.operations.sort_values("start_ps")
    assert rows["start_ps"].iloc[1] - rows["end_ps"].iloc[0] == 3 * US


def test_each_of_the_cpus_does_it() -> None:
    result = run(churn(cpus="all"))
    counts = result.operations.groupby("cpu")["kind"].count()
    assert set(counts) == {8}
    assert len(counts) > 1


def test_sizes_are_whole_pages_between_the_least_and_the_most() -> None:
    result = run(churn(allocations=200, size={"least": "5000B", "most": "16KiB"}))
    pages = result.operations.query("kind == 'vmalloc'")["pages"]
    assert set(pages) == {2, 3, 4}
    again = run(churn(allocations=200, size={"least": "5000B", "most": "16KiB"}))
    assert again.operations.query("kind == 'vmalloc'")["pages"].tolist() == pages.tolist()


def test_the_least_size_is_not_above_the_most() -> None:
    with pytest.raises(ScenarioError, match="most is less than least"):
        run(churn(size={"least": "2MiB", "most": "1MiB"}))


def test_a_refused_area_is_a_fault_with_its_time_and_the_run_goes_on() -> None:
    kernel = {"profile": "linux-6.1-x86_64", "vmalloc_size": "1MiB"}
    result = run(churn(allocations=5, size="511KiB", live=4), kernel=kernel)
    # Of 128 pages and a guard one fits. Every second request finds it there, and gives it up.
    assert order(result) == "++-++-+-"
    assert set(result.faults["kind"]) == {"vmalloc"}
    assert len(result.faults) == 2
    assert result.faults["at_ps"].is_monotonic_increasing
    assert result.tasks["finished"].all()


def test_huge_areas_are_mapped_by_large_leaves_where_the_kernel_has_them() -> None:
    result = run(churn(size="2MiB", huge=True))
    assert set(result.operations["kind"]) == {"vmalloc_huge", "vfree"}
    old = run(churn(size="2MiB", huge=True), kernel="linux-4.16-x86_64")
    assert old.faults["kind"].tolist() == ["vmalloc_huge"]
    assert len(old.operations) == 0


def test_devices_come_and_go_without_memory() -> None:
    result = run({"kind": "ioremap_churn", "mappings": 4, "live": 2})
    assert order(result) == "++-+-+--"
    assert set(result.operations["kind"]) == {"ioremap", "iounmap"}


def test_a_group_of_threads_begins_at_its_arrival_and_ends_together() -> None:
    keys = {"groups": 2, "threads": 5, "lifetime": "3ms", "arrival": {"every": "100ms"}}
    result = run({"kind": "thread_churn", **keys})
    stacks = result.operations.query("kind == 'vmalloc'").sort_values("start_ps")
    # The second group takes two from the cache.
    assert (stacks["start_ps"] // (100 * MS)).tolist() == [0] * 5 + [1] * 3
    freed = result.operations.query("kind == 'vfree'").sort_values("start_ps")
    # After 3 ms of life and a grace period of 20 ms, which the first of each three to end begins;
    # the other two wait for the next one.
    assert [start // MS for start in freed["start_ps"]] == [23, 43, 43, 123, 143, 143]
    assert set(freed["pages"] * PAGE_SIZE) == {16 * 1024}


def test_threads_without_a_stack_are_a_fault() -> None:
    kernel = {"profile": "linux-6.1-x86_64", "vmalloc_size": "64KiB"}
    result = run({"kind": "thread_churn", "groups": 2, "threads": 5}, kernel=kernel)
    assert set(result.faults["kind"]) == {"alloc_thread_stack"}
    assert result.tasks["finished"].all()
