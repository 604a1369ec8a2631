"""Many workers ask for the same modules."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.units import MS
from tests.machines import scenario

EARLY, LATE = "linux-6.1-x86_64", "linux-6.6-x86_64"


def storm(**keys: Any) -> dict[str, Any]:
    return {"kind": "module_storm", "modules": 3, "segments": {"sigma": 0}, **keys}


def run(kernel: str = EARLY, cpus: int = 4, **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario(storm(**keys), kernel=kernel, cpus=cpus))


def count(result: pmsim.Result, kind: str) -> int:
    return int((result.operations["kind"] == kind).sum())


@pytest.mark.parametrize("kernel", [EARLY, LATE])
@pytest.mark.parametrize("order", ["same", "own"])
def test_each_module_is_loaded_once_and_asked_for_again_by_every_other_worker(
    kernel: str, order: str
) -> None:
    result = run(kernel, duplicates=9, order=order)
    assert count(result, "load_module") == 3
    assert count(result, "load_duplicate") == 9 * 3
    # A duplicate is what udev expects, and no fault.
    assert len(result.faults) == 0


def test_workers_are_dealt_to_the_cpus_in_turn() -> None:
    result = run(duplicates=4)
    loads = result.operations[result.operations["kind"].isin(["load_module", "load_duplicate"])]
    assert loads.groupby("cpu").size().to_dict() == {0: 2 * 3, 1: 3, 2: 3, 3: 3}


def test_workers_stay_on_the_cpus_of_a_list() -> None:
    data = storm(duplicates=4, cpus=[1, 3])
    result = pmsim.run(scenario(data))
    loads = result.operations[result.operations["kind"].isin(["load_module", "load_duplicate"])]
    assert set(loads["cpu"]) == {1, 3}


def test_all_workers_ask_for_the_same_modules_that_are_drawn() -> None:
    result = run(duplicates=3, segments={"sigma": 1.0})
    asked = result.operations[result.operations["kind"].isin(["load_module", "load_duplicate"])]
    by_worker = asked.sort_values("start_ps").groupby("cpu")["pages"].apply(list)
    assert len({tuple(pages) for pages in by_worker}) == 1
    assert len(set(by_worker.iloc[0])) > 1


def test_in_orders_of_their_own_workers_begin_with_different_modules() -> None:
    result = run(duplicates=7, cpus=8, modules=8, order="own", segments={"sigma": 1.0})
    asked = result.operations[result.operations["kind"].isin(["load_module", "load_duplicate"])]
    by_worker = asked.sort_values("start_ps").groupby("cpu")["pages"].apply(list)
    assert len({pages[0] for pages in by_worker}) > 1
    assert len({tuple(sorted(pages)) for pages in by_worker}) == 1


def test_workers_may_start_apart() -> None:
    result = run(duplicates=3, apart="10ms")
    loads = result.operations[result.operations["kind"].isin(["load_module", "load_duplicate"])]
    assert loads.groupby("cpu")["start_ps"].min().tolist() == [0, 10 * MS, 20 * MS, 30 * MS]


def test_an_early_kernel_wastes_memory_on_duplicates_and_a_later_one_none() -> None:
    def wasted(kernel: str) -> int:
        operations = run(kernel, duplicates=9).operations
        duplicates = operations.loc[operations["kind"] == "load_duplicate", "id"]
        within = operations["parent"].isin(duplicates) & (operations["kind"] == "vmalloc")
        return int(operations.loc[within, "pages"].sum())

    # 42 pages of module and 63 of file, read and thrown away by each.
    assert wasted(EARLY) == 9 * 3 * (42 + 63)
    assert wasted(LATE) == 0


def test_a_storm_without_room_reports_the_loads_that_fail_and_goes_on() -> None:
    result = pmsim.run(
        scenario(storm(duplicates=3), kernel={"profile": EARLY, "modules_size": "200KiB"})
    )
    assert set(result.faults["kind"]) == {"load_module"}
    assert all(detail.startswith("no room for") for detail in result.faults["detail"])
    assert count(result, "load_module") >= 1


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"cpus": [9]}, "cpu-out-of-range"),
        ({"segments": ["crc77"]}, "unknown-module"),
        ({"segments": {"mean": "5 pages"}}, "bad-segments"),
        ({"segments": {"mean": 42}}, "missing-unit"),
        ({"modules": 0}, "out-of-range"),
    ],
)
def test_bad_keys_are_refused(keys: dict[str, Any], code: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(storm(**keys)).resolve()
    assert [fault.code for fault in caught.value.faults] == [code]


def test_of_a_thousand_million_modules_only_those_are_drawn_that_the_run_comes_to() -> None:
    data = storm(modules=10**9, duplicates=2, segments={"sigma": 1.0})
    result = pmsim.run(scenario(data, duration="1ms"))
    assert not result.tasks["finished"].any()
    # Orders of their own need all of them.
    with pytest.raises(ScenarioError) as caught:
        scenario({**data, "order": "own"})
    assert [fault.code for fault in caught.value.faults] == ["out-of-range"]


def test_there_is_room_for_every_worker() -> None:
    result = pmsim.run(scenario(storm(duplicates=3000), cpus=1, duration="1us"))
    assert len(result.tasks) == 3001
