"""Are there fewer TLB operations with larger pages? The shipped sweep, and the code's counts."""

from __future__ import annotations

import pytest

import pmsim
from pmsim.formatting import number
from pmsim.report.sweep_answer import sweep_words
from pmsim.units import KIB, MIB

SIZES = {"4KiB": 4 * KIB, "64KiB": 64 * KIB}
AREAS = 16
"""Areas of 1 MiB of the policy, each protected with its alias page by page."""
RANGES, CHANGED = 6, 32 * MIB
"""Flushes of the server, by mprotect and munmap three times each, and of how much memory."""
LIMIT = {"4KiB": 512, "64KiB": 8192}
"""PTRS_PER_PTE: from as many pages on a flush of user space is one of all of it."""


@pytest.fixture(scope="module")
def sizes() -> pmsim.Sweep:
    axes = {
        "kernel.page_size": list(SIZES),
        "kernel.profile": ["linux-6.12-arm64"],
        "machine.platform": ["altra-max"],
    }
    scenario = pmsim.load("grace-64k").with_({"workloads.buffers.allocations": 2000})
    return pmsim.sweep(scenario, axes, workers=1, progress=None)


def test_each_flush_is_of_as_many_operations_as_the_pages_that_it_names(sizes: pmsim.Sweep) -> None:
    rows = sizes.frame.set_index("kernel.page_size")
    for size, page in SIZES.items():
        sent = rows.loc[size].filter(like="tlb_operations_by_cause")
        sent.index = sent.index.str.extract(r"\[(\w+)\]")[0]
        # Altra has no operations on ranges; 6.12 sends one more behind each (repeat_tlbi).
        pages = MIB // page
        assert sent["attributes"] == AREAS * (pages * (1 + 1) + (pages + 1))
        changed = CHANGED // page
        assert sent["user"] == RANGES * ((changed if changed < LIMIT[size] else 1) + 1)


def test_larger_pages_mean_fewer_shootdowns_but_purges_page_by_page(sizes: pmsim.Sweep) -> None:
    rows = sizes.frame.set_index("kernel.page_size")
    assert rows.loc["64KiB", "broadcasts"] < rows.loc["4KiB", "broadcasts"] / 10
    assert rows.loc["64KiB", "tlb_operations"] > 2 * rows.loc["4KiB", "tlb_operations"]
    # A purge of 4 KiB pages is above the limit, and one operation, repeated; else page by page.
    purges = rows["broadcasts_by_cause[purge]"], rows["tlb_operations_by_cause[purge]"]
    assert purges[1]["4KiB"] == 2 * purges[0]["4KiB"]
    assert purges[1]["64KiB"] > 1000 * purges[0]["64KiB"]


def test_the_answer_says_how_many_there_are_and_of_what(sizes: pmsim.Sweep) -> None:
    rows, words = sizes.frame.set_index("kernel.page_size"), sweep_words(sizes)
    for metric, said in zip(("broadcasts", "tlb_operations"), words, strict=False):
        counts = [f"{number(rows.loc[size, metric])} with {size}" for size in SIZES]
        assert said.endswith(f"by the size of a page: {', '.join(counts)}.")
    assert words[2].startswith("Most of them are of attributes with 4KiB (")
    assert ", purge with 64KiB (" in words[2]
