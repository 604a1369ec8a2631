"""The workload of threads that map, touch and unmap."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError


def run(**values: Any) -> Any:
    keys = {f"workloads.vmap_touch.{name}": value for name, value in values.items()}
    return pmsim.run(pmsim.load("piggin-2008").with_(**keys))


def test_every_thread_has_a_cpu_of_its_own_and_makes_its_rounds() -> None:
    operations = run(threads=3, iterations=5).operations
    rounds = operations[operations["kind"] == "vunmap"].groupby("cpu").size()
    assert rounds.to_dict() == {0: 5, 1: 5, 2: 5}


def test_an_eager_kernel_flushes_everything_at_every_unmap() -> None:
    crosscalls = run(threads=3, iterations=5).crosscalls
    assert len(crosscalls) == 15
    assert set(crosscalls["kind"]) == {"full"}
    assert set(crosscalls["cause"]) == {"purge"}
    assert set(crosscalls["targets"]) == {7}


def test_blocks_of_a_cpu_are_not_flushed() -> None:
    assert len(run(threads=3, iterations=5, method="vm_map_ram").crosscalls) == 0


def test_the_pages_of_a_mapping_are_a_power_of_two() -> None:
    operations = run(threads=1, iterations=2, order=3).operations
    assert set(operations.loc[operations["kind"] == "vmap", "pages"]) == {8}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"threads": 9}, "cpu-out-of-range"),
        ({"threads": 0}, "out-of-range"),
        ({"order": 7}, "out-of-range"),
    ],
)
def test_more_threads_than_cpus_and_mappings_out_of_range_are_faults(
    values: dict[str, int], code: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        run(**values)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].code == code
