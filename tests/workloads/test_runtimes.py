"""Compilers, collectors, NUMA balancing and reclaim: as many flushes as the kernel's code has."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from tests.machines import scenario


def run(**keys: Any) -> pmsim.Result:
    machine = {"cpus": 4} if "machine" not in keys else {"machine": keys.pop("machine")}
    kernel = {"kernel": keys.pop("kernel")} if "kernel" in keys else {}
    return pmsim.run(scenario({"changes": 1, "threads": [1, 2], **keys}, **machine, **kernel))


def broadcasts(result: pmsim.Result, kind: str) -> list[int]:
    rows = result.operations[result.operations["kind"] == kind].sort_values("start_ps")
    return [int(count) for count in rows["crosscalls"]]


def test_a_function_is_two_changes_of_protection_and_a_barrier_where_wanted() -> None:
    result = run(kind="jit", pages=4, changes=3, sync=True)
    assert broadcasts(result, "mprotect") == [1] * 6
    assert broadcasts(result, "membarrier") == [1] * 3
    assert set(result.crosscalls["targets"]) == {2}
    assert len(run(kind="jit", pages=4, changes=3).crosscalls) == 6


def test_a_compaction_is_a_flush_for_all_one_for_each_region_and_one_to_give_back() -> None:
    result = run(kind="compacting_gc", pages=40, region=16, kernel="linux-5.15-x86_64")
    # Regions of 16, 16 and 8 pages; 40 are above the ceiling of 33.
    assert result.crosscalls["pages"].tolist() == [40, 16, 16, 8, 40]
    assert result.crosscalls["kind"].tolist() == ["full", "range", "range", "range", "full"]


@pytest.mark.parametrize(
    ("kernel", "machine", "at_once", "pages"),
    [
        # What could not be accessed is in no TLB: x86 knows since 5.19 (pte_needs_flush).
        ("linux-6.1-x86_64", "skylake-sp-2s", True, [40, 40]),
        ("linux-6.1-x86_64", "skylake-sp-2s", False, [16, 16, 8, 40]),
        ("linux-5.15-x86_64", "skylake-sp-2s", False, [16, 16, 16, 16, 8, 8, 40]),
        ("linux-6.18-arm64", "altra-max", False, [16, 16, 16, 16, 8, 8, 40]),
    ],
)
def test_opening_what_could_not_be_accessed_is_no_flush_on_x86_since_5_19(
    kernel: str, machine: str, at_once: bool, pages: list[int]
) -> None:
    result = run(
        kind="compacting_gc", pages=40, region=16, at_once=at_once, kernel=kernel, machine=machine
    )
    assert result.crosscalls["pages"].tolist() == pages


def test_a_scan_is_a_flush_for_each_mapping_and_faults_that_move_pages_are_none() -> None:
    result = run(
        kind="numa_balancing", changed=100, scanned=800, mappings=3, used=50, moved=20, changes=2
    )
    assert broadcasts(result, "task_numa_work") == [3, 3]
    assert broadcasts(result, "do_numa_page") == [0, 0]
    assert result.crosscalls["pages"].tolist() == [34, 33, 33] * 2
    assert set(result.crosscalls["cause"]) == {"numa"}


@pytest.mark.parametrize(
    ("kernel", "machine"), [("linux-4.16-x86_32", "xeon-2006"), ("linux-6.1-arm32", "cortex-a15")]
)
def test_kernels_of_32_bits_have_no_numa_balancing(kernel: str, machine: str) -> None:
    with pytest.raises(ScenarioError, match=f"{kernel} has no NUMA balancing"):
        run(kind="numa_balancing", kernel=kernel, machine=machine, threads=[])


RECLAIMED = 70
"""Two whole batches and one of 6 pages."""


@pytest.mark.parametrize(
    ("kernel", "machine", "flushes", "operations"),
    [
        ("linux-4.16-x86_64", None, 3, 0),
        ("linux-6.1-x86_64", None, 3, 0),
        ({"profile": "linux-6.1-x86_64", "reclaim_flush": "page"}, None, RECLAIMED, 0),
        ("linux-6.1-arm64", "altra-max", RECLAIMED, RECLAIMED),
        # On these CPUs an erratum wants one more operation for each barrier.
        ("linux-6.12-arm64", "altra-max", 3, RECLAIMED + 3),
        ("linux-6.1-riscv64", "sg2042", RECLAIMED, 0),
        ("linux-6.12-riscv64", "sg2042", 3, 0),
        ("linux-6.1-arm32", "cortex-a15", RECLAIMED, RECLAIMED),
    ],
)
def test_reclaim_flushes_each_page_or_a_batch(
    kernel: Any, machine: str | None, flushes: int, operations: int
) -> None:
    keys = {} if machine is None else {"machine": machine}
    threads = [1] if machine == "cortex-a15" else [1, 2]
    result = run(kind="reclaim", pages=RECLAIMED, kernel=kernel, threads=threads, **keys)
    calls = result.crosscalls[result.crosscalls["cause"] == "reclaim"]
    assert len(calls) == flushes
    assert calls["invalidations"].sum() == operations


def test_a_page_that_is_written_first_is_flushed_by_itself() -> None:
    result = run(kind="reclaim", pages=64, dirty=5)
    assert broadcasts(result, "shrink_page_list") == [6, 6]


def test_a_process_of_one_cpu_is_flushed_there_page_by_page_and_nobody_is_told() -> None:
    assert len(run(kind="reclaim", pages=64, threads=[]).crosscalls) == 0
