"""The search that goes on from where the last one ended (up to 5.1), beside a walk of the list."""

from __future__ import annotations

from bisect import insort

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.kernel.addresses.hint_search import HintSearch, ListSearch
from pmsim.kernel.addresses.ranges import AddressRange, FreedArea, Share, address_ranges
from pmsim.units import PAGE_SIZE

LOW, HIGH = (100, 60), (1000, 40)
"""First page and size of two ranges."""
BEHIND = (160, 40)
"""The same of a second range that begins where the first ends."""


def ranges(second: tuple[int, int] = HIGH) -> dict[str, AddressRange]:
    low, high = (tuple(PAGE_SIZE * number for number in where) for where in (LOW, second))
    return address_ranges((low[0], low[1]), (high[0], high[1]), PAGE_SIZE)


class Walk:
    """The kernel's own way: a sorted list of busy areas, walked area by area from a cached one."""

    def __init__(self) -> None:
        self.busy: list[tuple[int, int]] = []
        self.cache: tuple[int, int] | None = None
        self.hole = self.vstart = 0
        self.align = 1
        self.steps = 0

    def take(self, vstart: int, vend: int, size: int, align: int) -> int | None:
        if size < self.hole or vstart < self.vstart or align < self.align:
            self.cache = None
        if self.cache and _up(self.cache[1], align) < vstart:
            self.cache = None
        if self.cache is None:
            self.hole = 0
        self.vstart, self.align = vstart, align
        # The cached area itself is no step.
        self.steps = -1 if self.cache else 0
        if self.cache:
            at = self.busy.index(self.cache)
            address = _up(self.busy[at][1], align)
        else:
            address = _up(vstart, align)
            at = next((k for k, area in enumerate(self.busy) if area[1] >= address), -1)
        while 0 <= at < len(self.busy):
            start, end = self.busy[at]
            if not (address + size > start and address + size <= vend):
                break
            self.hole = max(self.hole, start - address)
            address = _up(end, align)
            at += 1
            # One that lies below and ends where the range begins is looked at, too.
            self.steps += start >= vstart
        if address + size > vend:
            return None
        self.cache = (address, address + size)
        insort(self.busy, self.cache)
        return address

    def free(self, area: tuple[int, int]) -> None:
        if self.cache:
            if area[1] < self.vstart:
                self.cache = None
            elif area[0] <= self.cache[0]:
                before = self.busy.index(area) - 1
                self.cache = self.busy[before] if before >= 0 else None
        self.busy.remove(area)


def _up(address: int, align: int) -> int:
    return -(-address // align) * align


REQUESTS = st.tuples(
    st.just("take"),
    st.sampled_from(["vmalloc", "modules"]),
    st.integers(1, 9),
    st.sampled_from([1, 1, 1, 8]),
)
FREES = st.tuples(st.just("free"), st.integers(0, 200), st.integers(1, 4), st.just(1))


@given(second=st.sampled_from([HIGH, BEHIND]), actions=st.lists(REQUESTS | FREES, max_size=60))
def test_it_finds_what_a_walk_of_the_list_finds(
    second: tuple[int, int],
    actions: list[tuple[str, object, int, int]],
) -> None:
    where, search, walk = ranges(second), HintSearch(), Walk()
    live: list[tuple[FreedArea, tuple[int, int]]] = []
    for action, what, number, align in actions:
        if action == "take":
            chosen = where[str(what)]
            first, size = LOW if what == "vmalloc" else second
            page = search.take(0, chosen, number, align)
            assert page == walk.take(first, first + size, number, align)
            if page is not None:
                assert search.steps == walk.steps
                live.append((FreedArea(page, number, chosen), (page, page + number)))
        elif live:
            # A purge gives several areas back at once, by address.
            at = int(str(what)) % len(live)
            purged, live[at : at + number] = live[at : at + number], []
            search.give(Share(0, sorted(area for area, _ in purged)), full=False)
            for _, area in purged:
                walk.free(area)


def test_addresses_ascend_past_holes_that_are_too_small() -> None:
    where, search = ranges()["vmalloc"], HintSearch()
    first, second, _ = (search.take(0, where, 4, 1) for _ in range(3))
    assert (first, second) == (100, 104)
    search.give(Share(0, [FreedArea(104, 4, where)]), full=False)
    assert search.take(0, where, 6, 1) == 112
    # A hole of 4 pages was passed by. It is no reason to look below for 4 pages, but for 3 it is.
    assert search.take(0, where, 4, 1) == 118
    assert search.take(0, where, 3, 1) == 104


def test_a_request_for_modules_makes_the_next_one_for_vmalloc_begin_at_the_bottom() -> None:
    where, search = ranges(), HintSearch()
    for size in (4, 2, 4):
        search.take(0, where["vmalloc"], size, 1)
    search.give(Share(0, [FreedArea(100, 4, where["vmalloc"])]), full=False)
    # The place went down with the freed area; this request goes past it.
    assert search.take(0, where["vmalloc"], 5, 1) == 110
    assert search.take(0, where["modules"], 4, 1) == 1000
    assert search.take(0, where["vmalloc"], 4, 1) == 100


def test_a_hole_of_just_the_size_that_was_passed_by_is_not_found_again() -> None:
    where, search = ranges()["vmalloc"], HintSearch()
    assert [search.take(0, where, size, 1) for size in (4, 50)] == [100, 104]
    search.give(Share(0, [FreedArea(100, 4, where)]), full=False)
    assert search.take(0, where, 5, 1) == 154
    # One page is left above; the kernel looks below for less than 4 pages only.
    assert search.take(0, where, 4, 1) is None
    assert search.take(0, where, 3, 1) == 100


def test_areas_below_the_lowest_aligned_page_are_no_steps() -> None:
    where, search = ranges(), HintSearch()
    for size in (1, 2, 8):
        search.take(0, where["vmalloc"], size, 1)
    search.take(0, where["modules"], 1, 1)
    # From 104 on, which the third area covers; the two below it are not looked at.
    assert (search.take(0, where["vmalloc"], 1, 8), search.steps) == (112, 1)


def test_nothing_is_remembered_once_the_lowest_area_is_freed() -> None:
    where, search = ranges()["vmalloc"], HintSearch()
    # An alignment leaves 4 pages below the first area, which the second passes by.
    assert [search.take(0, where, size, align) for size, align in ((1, 8), (5, 1))] == [104, 105]
    search.give(Share(0, [FreedArea(104, 1, where)]), full=False)
    # There is no area before it: the next search begins anew, and has passed no hole.
    assert search.take(0, where, 4, 1) == 100
    # So one for a page goes on behind this one: it does not look below for holes, nor pass an area.
    assert (search.take(0, where, 1, 1), search.steps) == (104, 0)


@pytest.mark.parametrize("full", [True, False])
def test_nothing_is_kept_aside(full: bool) -> None:
    where, search = ranges()["vmalloc"], HintSearch()
    search.take(0, where, 60, 1)
    search.before_purge(full=full)
    search.give(Share(0, [FreedArea(100, 60, where)]), full=full)
    assert where.space.free == 60


def test_the_oldest_search_walks_from_the_bottom_past_every_area_below_its_place() -> None:
    where, search = ranges()["vmalloc"], ListSearch()
    found = [(search.take(0, where, 4, 1), search.steps) for _ in range(4)]
    assert found == [(100, 0), (104, 1), (108, 2), (112, 3)]
    search.give(Share(0, [FreedArea(104, 4, where)]), full=True)
    # The hole of 4 pages is too small for 5: 100, 108 and 112 are in the way.
    assert (search.take(0, where, 5, 1), search.steps) == (116, 3)
    assert (search.take(0, where, 4, 1), search.steps) == (104, 1)
    # To the end, and in vain.
    assert (search.take(0, where, 60, 1), search.steps) == (None, 5)
    assert search.most_steps == 5
