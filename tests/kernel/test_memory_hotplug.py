"""Memory that goes, and descriptors that are trimmed: as many flushes as the kernel's code has."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.units import GIB
from tests.kernel.booted import Booted, Flush, dvm, full, ranged, sbi

SPLIT, TRIM = full("split", 512), "vmemmap"


def flushes(profile: str, call: str, *arguments: int, **overrides: Any) -> list[Flush]:
    booted = Booted(2, profile=profile, **overrides)
    return booted.run(lambda kernel: getattr(kernel, call)(*arguments)).flushes


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-6.1-x86_64", "linux-6.12-x86_64"])
@pytest.mark.parametrize("sections", [1, 4])
def test_x86_flushes_everything_for_each_section_and_once_more(profile: str, sections: int) -> None:
    found = flushes(profile, "arch_remove_memory", sections)
    assert found == [full("hot_remove")] * (sections + 1)


def test_riscv_flushes_everything_another_time() -> None:
    found = flushes("linux-6.12-riscv64", "arch_remove_memory", 2)
    assert found == [sbi(full("hot_remove"))] * 4


@pytest.mark.parametrize(("leaf", "entries"), [("2MiB", 64), ("4KiB", 32_768 + 64)])
def test_arm64_flushes_each_entry_and_each_table(leaf: str, entries: int) -> None:
    found = flushes("linux-6.1-arm64", "arch_remove_memory", 1, direct_map_leaf=leaf)
    # A leaf of 2 MiB holds the descriptors of a section.
    assert found == [dvm("hot_remove", 1)] * (1 + entries)


@pytest.mark.parametrize(("profile", "kept"), [("linux-5.15-x86_64", 2), ("linux-6.1-x86_64", 1)])
def test_a_trimmed_huge_page_is_a_flush_and_one_in_64_splits_a_leaf(
    profile: str, kept: int
) -> None:
    found = flushes(profile, "hugetlb_vmemmap_optimize", 130)
    assert found.count(ranged(TRIM, 8 - kept)) == 130
    assert found.count(SPLIT) == 3  # before the 1st, the 65th and the 129th
    assert len(found) == 133
    assert (found[0], found[65]) == (SPLIT, SPLIT)


@pytest.mark.parametrize("profile", ["linux-6.12-x86_64", "linux-6.18-x86_64"])
def test_since_they_are_batched_a_pool_is_two_flushes_and_one_as_it_goes(profile: str) -> None:
    assert flushes(profile, "hugetlb_vmemmap_optimize", 500) == [full(TRIM)] * 2
    assert flushes(profile, "hugetlb_vmemmap_restore", 500) == [full(TRIM)]


def test_descriptors_of_a_gigabyte_lie_in_eight_leaves() -> None:
    found = flushes("linux-6.1-x86_64", "hugetlb_vmemmap_optimize", 2, GIB)
    assert found == ([SPLIT] * 8 + [full(TRIM, 4095)]) * 2


def test_restoring_is_a_flush_each_and_splits_nothing() -> None:
    assert flushes("linux-6.1-x86_64", "hugetlb_vmemmap_restore", 70) == [ranged(TRIM, 7)] * 70


@pytest.mark.parametrize(
    ("profile", "call"),
    [
        ("linux-6.1-arm32", "arch_remove_memory"),
        ("linux-4.16-x86_64", "hugetlb_vmemmap_optimize"),
        ("linux-6.12-arm64", "hugetlb_vmemmap_optimize"),
    ],
)
def test_kernels_that_cannot_are_refused(profile: str, call: str) -> None:
    with pytest.raises(ProgramError, match=f"{call}: this kernel cannot"):
        flushes(profile, call, 1)
