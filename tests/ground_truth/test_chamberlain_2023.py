"""Chamberlain 2023: a boot of 255 CPUs asks for its 66 modules again and again.

The memory that duplicates waste is an input here, told as 173 times all modules, and the kernel
that waits for the first load wastes none, as measured. The time is predicted by an experiment of
`pmsim reproduce`, whose file says what of a boot is not simulated.
"""

from __future__ import annotations

from functools import cache

import pytest

import pmsim
from pmsim.units import PAGE_SIZE
from tests.ground_truth.published import published
from tests.machines import machine

MODULES, ALL_BYTES, WASTED_BYTES = (int(n) for n in published("M0611", "M0612", "M0601"))
(WASTED_LATER,) = published("M0610")
DUPLICATES = round(WASTED_BYTES / ALL_BYTES)
KERNELS = {"before": "linux-6.1-x86_64", "after": "linux-6.6-x86_64"}


@cache
def boot(when: str) -> pmsim.Result:
    storm = {
        "kind": "module_storm", "modules": MODULES, "duplicates": DUPLICATES, "segments": {},
        "order": "own",
    }  # fmt: skip
    data = {
        "pmsim": 1, "name": "boot", "machine": machine(255), "kernel": KERNELS[when],
        "workloads": [storm],
    }  # fmt: skip
    return pmsim.run(pmsim.Scenario.from_dict(data))


def wasted_bytes(when: str) -> int:
    """Return what duplicates allocate for modules, the buffers of their files left out."""
    operations = boot(when).operations
    duplicates = operations[operations["kind"] == "load_duplicate"]
    within = operations["parent"].isin(duplicates["id"]) & (operations["kind"] == "vmalloc")
    in_order = operations[within].sort_values("start_ps")
    # The first area of each is the file's.
    pages = in_order["pages"].sum() - in_order.groupby("parent")["pages"].first().sum()
    return int(pages) * PAGE_SIZE


def test_the_waste_is_that_of_173_times_all_modules() -> None:
    assert DUPLICATES == 173


def test_every_module_is_loaded_once() -> None:
    for when in KERNELS:
        counts = boot(when).operations["kind"].value_counts()
        assert counts["load_module"] == MODULES
        assert counts["load_duplicate"] == MODULES * DUPLICATES


def test_duplicates_waste_what_was_measured_and_later_nothing() -> None:
    # The sizes are drawn: 66 of them have a mean within some tens of per cent of the population's.
    first = boot("before").operations.query("kind == 'load_module'")["pages"].sum() * PAGE_SIZE
    assert wasted_bytes("before") == DUPLICATES * first
    assert wasted_bytes("before") == pytest.approx(WASTED_BYTES, rel=0.4)
    assert wasted_bytes("after") == WASTED_LATER == 0
