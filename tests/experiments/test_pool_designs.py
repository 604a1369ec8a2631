"""The shipped sweep over designs of pools: what is expected of each is worked out by hand."""

from __future__ import annotations

import pytest

import pmsim
from pmsim.figures.designs import COST, EXPOSURE, designs
from pmsim.report.sweep_answer import sweep_words
from pmsim.units import S

RULES, SIZE = 5000, 24
REFILL, MODE, PROTECT = (
    "workloads.rules.pool.refill", "workloads.rules.pool.mode", "workloads.rules.protect",
)  # fmt: skip


@pytest.fixture(scope="module")
def sweep() -> pmsim.Sweep:
    axes = {REFILL: ["4KiB", "64KiB"], MODE: ["ro", "auto", "start"], PROTECT: ["end"]}
    return pmsim.sweep("pool-designs", axes)


def of(sweep: pmsim.Sweep, refill: str, mode: str) -> dict[str, float]:
    rows = sweep.frame
    (row,) = rows[(rows[REFILL] == refill) & (rows[MODE] == mode)].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_what_starts_protected_is_never_exposed_and_costs_most(sweep: pmsim.Sweep) -> None:
    for refill in ("4KiB", "64KiB"):
        start = of(sweep, refill, "start")
        assert start[EXPOSURE] == 0
        assert start[COST] > max(of(sweep, refill, mode)[COST] for mode in ("ro", "auto"))


def test_a_pool_that_protects_itself_has_one_area_open_at_most(sweep: pmsim.Sweep) -> None:
    for refill, area in (("4KiB", 4096), ("64KiB", 65_536)):
        row = of(sweep, refill, "auto")
        taken = row[COST] / S
        assert 0 < row["pool_writable_byte_s"] < area * taken


def test_one_that_is_protected_at_the_end_is_open_as_long_as_its_filling_says() -> None:
    keys = {REFILL: "256KiB", MODE: "ro"}
    result = pmsim.run(pmsim.load("pool-designs").with_(**keys))
    (fill,) = result.operations.query("kind == 'alloc_many'").itertuples()
    (call,) = result.crosscalls.query("cause == 'attributes'").itertuples()
    exposed = result.summary.exposure
    assert exposed is not None
    # Rules come evenly; then all of them wait for the entries of the only area to be changed, in
    # some tens of microseconds before its shootdown begins.
    handed = RULES * SIZE * ((fill.end_ps - fill.start_ps) / 2 + call.start_ps - fill.end_ps) / S
    assert exposed.writable_byte_s == pytest.approx(handed, rel=0.1)
    written = call.start_ps - exposed.stale_ps + call.gone_ps - call.start_ps
    assert fill.end_ps < written < call.start_ps
    assert exposed.stale_byte_s == pytest.approx(RULES * SIZE * exposed.stale_ps / S)


def test_the_answer_begins_with_the_front(sweep: pmsim.Sweep) -> None:
    found = designs(sweep)
    assert found is not None
    assert found.front[-1].exposure == 0
    said = sweep_words(sweep)[0]
    assert said.startswith("Exposure of pools against what they cost everybody")
    assert all(one.name in said for one in found.front)
