"""Chamberlain 2023: a boot of 255 CPUs asks for its 66 modules again and again.

The memory that duplicates waste is an input here, told as 173 times all modules, and the kernel
that waits for the first load wastes none, as measured. The time is a prediction, and only its
direction is asked for: the published times are those of the whole boot's kernel part, with reading
from a disk, decompression and a virtual machine, none of which is simulated.
"""

from __future__ import annotations

from functools import cache

import pytest

import pmsim
from pmsim.units import MS, PAGE_SIZE
from tests.ground_truth.published import published
from tests.machines import machine

MODULES, ALL_BYTES, WASTED_BYTES = (int(n) for n in published("M0611", "M0612", "M0601"))
(WASTED_LATER,) = published("M0610")
SECONDS = dict(zip(("before", "after"), published("M0599", "M0608"), strict=True))
DUPLICATES = round(WASTED_BYTES / ALL_BYTES)
KERNELS = {"before": "linux-6.1-x86_64", "after": "linux-6.6-x86_64"}
LOADS = ["load_module", "load_duplicate"]


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


def load_ms(when: str) -> float:
    operations = boot(when).operations
    return float(operations.loc[operations["kind"].isin(LOADS), "end_ps"].max()) / MS


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


def test_the_boot_gets_faster_without_duplicates(capsys: pytest.CaptureFixture[str]) -> None:
    measured = SECONDS["after"] / SECONDS["before"]
    predicted = load_ms("after") / load_ms("before")
    with capsys.disabled():
        print(
            f"\nChamberlain 2023, duplicates that wait against ones that load:"
            f"\n  the kernel's part of the boot, measured: {SECONDS['before']:.1f} s to"
            f" {SECONDS['after']:.1f} s, a factor of {measured:.2f}"
            f"\n  loading of modules alone, predicted: {load_ms('before'):.0f} ms to"
            f" {load_ms('after'):.0f} ms, a factor of {predicted:.2f}"
        )
    assert predicted < 1
