"""Random changes of permission against a plain model: the rights of every page and alias."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, RW
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]
Rights = dict[int, int]
PAGES = 1024
"""Pages of the area: two large leaves."""
BITS = {"ro": (0, RW), "rw": (RW, 0), "x": (0, NX), "nx": (NX, 0), "rox": (0, RW | NX)}

# Which pages' aliases change, and which of their rights: the requested pages or the whole area.
ALIASES = {
    "linux-4.16-x86_64": ("range", RW),
    "linux-6.1-x86_64": ("range", RW),
    "linux-6.12-x86_64": ("range", RW),
    "linux-6.18-x86_64": ("range", RW),
    "linux-4.16-arm64": ("none", 0),
    "linux-6.1-arm64": ("area", RW),
    "linux-6.1-arm32": ("none", 0),
    "linux-6.1-riscv64": ("none", 0),
    "linux-6.12-riscv64": ("range", RW | NX),
}
LARGE = ["linux-6.1-x86_64", "linux-6.12-x86_64", "linux-6.18-x86_64"]

RANGES = st.tuples(st.integers(0, PAGES), st.integers(0, PAGES)).map(sorted)
CHANGES = st.lists(st.tuples(st.sampled_from(sorted(BITS)), RANGES), max_size=8)


def rights(kernel: KernelHandle, address: int) -> int:
    leaf = kernel.kernel.pagetable.walk(address)
    assert leaf is not None
    return leaf.entry & (RW | NX)


def change(pages: Rights, touched: range, call: str, mask: int) -> None:
    setting, clearing = BITS[call]
    for page in touched:
        new = (pages[page] | setting) & ~clearing
        pages[page] = new & mask | pages[page] & ~mask


class Compared:
    """An area whose rights are changed, in the kernel and in the model."""

    def __init__(self, profile: str, huge: bool, changes: list[Any], **options: Any) -> None:
        self._profile = profile
        self._huge = huge
        self._changes = changes
        self.booted = Booted(profile=profile, **options).run(self._program)

    def _program(self, kernel: KernelHandle) -> Calls:
        allocate = kernel.vmalloc_huge if self._huge else kernel.vmalloc
        area = yield from allocate(PAGES * PAGE_SIZE)
        frames = [pfn + at for pfn, count in area.runs for at in range(count)]
        mapped, aliases = dict.fromkeys(range(PAGES), RW | NX), dict.fromkeys(frames, RW | NX)
        reach, mask = ALIASES[self._profile]
        for call, (first, end) in self._changes:
            address = area.address + first * PAGE_SIZE
            status = yield from getattr(kernel, f"set_memory_{call}")(address, end - first)
            if status < 0 or first == end:
                continue
            change(mapped, range(first, end), call, RW | NX)
            touched = {"none": [], "range": frames[first:end], "area": frames}[reach]
            if reach != "area" or call in ("ro", "rw", "rox"):
                change(aliases, touched, call, mask)
        direct = kernel.kernel.direct_map
        found = [rights(kernel, area.address + page * PAGE_SIZE) for page in range(PAGES)]
        assert found == list(mapped.values())
        assert [rights(kernel, direct.address(pfn)) for pfn in frames] == list(aliases.values())
        untouched = [direct.address(pfn) for pfn in (min(frames) - 1, max(frames) + 1)]
        assert [rights(kernel, address) for address in untouched] == [RW | NX] * 2


@settings(max_examples=30)
@given(profile=st.sampled_from(sorted(ALIASES)), changes=CHANGES)
def test_every_page_and_its_alias_have_the_rights_of_the_model(
    profile: str, changes: list[Any]
) -> None:
    # All memory in the direct map, so that every page has an alias.
    memory = {"memory": "256MiB"} if "arm32" in profile else {}
    Compared(profile, False, changes, **memory)


@settings(max_examples=30)
@given(
    profile=st.sampled_from([*LARGE, "linux-6.12-riscv64"]),
    leaf=st.sampled_from(["2MiB", "1GiB"]),
    changes=CHANGES,
)
def test_splitting_leaves_of_the_direct_map_changes_no_right_by_itself(
    profile: str, leaf: str, changes: list[Any]
) -> None:
    Compared(profile, False, changes, direct_map_leaf=leaf)


@settings(max_examples=30)
@given(
    profile=st.sampled_from(LARGE),
    leaf=st.sampled_from(["4KiB", "2MiB", "1GiB"]),
    changes=CHANGES,
)
def test_nor_does_splitting_and_joining_those_of_a_huge_area(
    profile: str, leaf: str, changes: list[Any]
) -> None:
    compared = Compared(profile, True, changes, direct_map_leaf=leaf)
    joins = sum(flush.cause == "collapse" for flush in compared.booted.flushes)
    assert joins == 0 or "6.18" in profile
