"""Protected data that changes: what the workload writes, when, and what it is refused."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.units import MS
from tests.machines import scenario

PRMEM = {"profile": "linux-6.1-x86_64", "pmalloc": "prmem"}


def run(kernel: dict[str, Any] | None = None, **keys: Any) -> pmsim.Result:
    workload = {"kind": "rare_writes", **keys}
    return pmsim.run(scenario(workload, kernel=kernel or PRMEM))


def writes_of(result: pmsim.Result) -> Any:
    return result.operations[result.operations["kind"] == "wr_memcpy"]


def test_each_change_writes_one_object_in_each_of_its_pages() -> None:
    # 16 objects of 512 B are two pages: a change of three pages comes back to the first.
    result = run(allocations=16, changes=5, pages=3)
    assert len(writes_of(result)) == 15
    (pool,) = result.pools.itertuples()
    assert (pool.mode, pool.rare_writes, pool.pages) == ("wr", 15, 2)
    assert result.operations["kind"].value_counts()["vmap"] == 15
    assert result.tasks["finished"].all()


def test_an_object_across_a_page_boundary_takes_a_mapping_of_either_page() -> None:
    # 3,000 B from the top of 8 KiB: 5,192 to 2,192; the second object lies across 4,096.
    pool = {"refill": "8KiB", "mode": "wr"}
    result = run(pool=pool, size="3000B", allocations=2, bytes="3000B", changes=2)
    assert sorted(writes_of(result)["pages"]) == [1, 2]


def test_changes_come_at_their_arrivals_on_either_generation_that_has_rare_writes() -> None:
    for pmalloc in ("v23", "prmem"):
        kernel = {**PRMEM, "pmalloc": pmalloc}
        result = run(kernel, changes=3, arrival={"every": "1ms"})
        assert writes_of(result)["start_ps"].tolist()[1:] == [MS, 2 * MS]


def test_in_a_pool_that_starts_protected_each_object_is_filled_by_a_rare_write() -> None:
    result = run(pool={"mode": "start"}, allocations=16, changes=1)
    assert len(writes_of(result)) == 16 + 1
    (pool,) = result.pools.itertuples()
    assert pool.exposed_byte_s == 0


def test_changes_without_a_number_never_end() -> None:
    endless = {"kind": "rare_writes", "arrival": {"every": "1ms"}}
    result = pmsim.run(scenario(endless, kernel=PRMEM, duration="4500us"))
    assert len(writes_of(result)) == 5
    with pytest.raises(ScenarioError, match="never-done"):
        pmsim.run(scenario(endless, kernel=PRMEM))


def test_a_page_that_cannot_be_mapped_is_reported_and_the_run_goes_on() -> None:
    # 16 pages of addresses: 7 areas of a page and its guard fill 14, and a mapping needs 2 more.
    kernel = {**PRMEM, "vmalloc_size": "64KiB"}
    hog = {"kind": "policy_load", "cpu": 1, "allocations": 1, "size": "52KiB"}
    workload = {"kind": "rare_writes", "allocations": 1, "changes": 2}
    result = pmsim.run(scenario(hog, workload, kernel=kernel))
    assert result.faults["kind"].tolist() == ["wr_memcpy"] * 2
    assert result.tasks["finished"].all()


@pytest.mark.parametrize(
    ("kernel", "pool", "code"),
    [
        ({"pmalloc": "v21"}, {"mode": "wr"}, "no-such-pool"),
        ({"pmalloc": "modern"}, {"mode": "wr"}, "no-such-pool"),
        ({"pmalloc": "v23"}, {"mode": "start"}, "no-such-pool"),
        ({"pmalloc": "v21"}, {"mode": "ro"}, "not-rewritable"),
        ({"pmalloc": "prmem"}, {"mode": "auto"}, "not-rewritable"),
    ],
)
def test_what_a_generation_cannot_rewrite_is_refused_with_a_cure(
    kernel: dict[str, Any], pool: dict[str, Any], code: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        run({**PRMEM, **kernel}, pool=pool, changes=1)
    (fault,) = caught.value.faults
    assert fault.code == code
    assert "prmem" in fault.hint
