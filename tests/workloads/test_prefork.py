"""Servers of forked workers: who is told of what they copy, and who follows whom."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from tests.machines import scenario

KEYS = {"kind": "prefork", "workers": [1, 2, 3], "resident": 100, "request": "10us"}


def run(kernel: str, machine: str, **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario({**KEYS, **keys}, machine=machine, kernel=kernel))


@pytest.mark.parametrize(
    ("kernel", "machine", "told"),
    [("linux-6.1-x86_64", "skylake-sp-2s", False), ("linux-6.1-arm64", "altra-max", True)],
)
def test_each_page_that_a_worker_copies_is_a_flush_that_only_arm_tells_others(
    kernel: str, machine: str, told: bool
) -> None:
    result = run(kernel, machine, writes_first=10, writes=2, requests=5, recycled=1)
    copied = result.operations.query("kind == 'wp_page_copy'")
    # Three workers and as many that follow them; each copies 10 pages, and 2 in each request.
    assert copied["pages"].sum() == 6 * (10 + 5 * 2)
    assert copied["crosscalls"].sum() == (copied["pages"].sum() if told else 0)
    assert result.operations["kind"].value_counts()["fork"] == 6
    # Workers and the master end; the master's exit tells whoever borrows its address space: nobody.
    ends = result.operations.query("kind == 'exit_mm'")
    assert ends["crosscalls"].tolist() == [1 if told else 0] * 7


def test_a_worker_follows_another_on_its_cpu() -> None:
    result = run("linux-6.1-x86_64", "skylake-sp-2s", requests=3, recycled=2)
    rows = result.tasks.query("cpu == 2").sort_values("start_ps")
    assert len(rows) == 3
    assert (rows["start_ps"].to_numpy()[1:] >= rows["end_ps"].to_numpy()[:-1]).all()
    assert rows["task"].is_unique


def test_workers_cannot_write_to_more_than_their_master_has() -> None:
    with pytest.raises(pmsim.ScenarioError, match="writes to 101 pages in all"):
        run("linux-6.1-x86_64", "skylake-sp-2s", writes_first=91, writes=2, requests=5)
