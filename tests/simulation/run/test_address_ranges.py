"""How full the kernel's address ranges are, interval by interval."""

from __future__ import annotations

import pmsim
from tests.machines import scenario

SIZE = 64 << 20
"""The vmalloc range of these kernels, in bytes."""
PAGES = SIZE >> 12
KERNEL = {"profile": "linux-6.1-x86_64", "vmalloc_size": "64MiB"}


def test_areas_that_are_kept_take_their_pages_and_a_guard_each() -> None:
    # An area of 15 pages and a guard each 10 us, of which the first 8 are kept.
    churn = {"kind": "vmalloc_churn", "size": "60KiB", "live": 9, "arrival": {"every": "10us"}}
    result = pmsim.run(
        scenario(churn, kernel=KERNEL, duration="75us", measure={"timeline": "10us"})
    )
    taken = result.timeline["vmalloc_pages"].tolist()
    first = taken[0]
    assert [pages - first for pages in taken[:8]] == [16 * n for n in range(8)]
    assert (result.timeline["vmalloc_hole_pages"] + taken == PAGES).all()
    assert not result.timeline["lazy_pages"].any()


def test_a_hole_is_not_all_that_is_free_where_areas_lie_between() -> None:
    result = pmsim.run(pmsim.load("exhaustion-32bit").with_({"duration": "2500ms"}))
    timeline = result.timeline
    pages = result.manifest["scenario"]["kernel"]["vmalloc_size"]
    assert pages == "120MiB"
    free = (120 << 20 >> 12) - timeline["vmalloc_pages"]
    assert (timeline["vmalloc_hole_pages"] <= free).all()
    assert timeline["vmalloc_hole_pages"].min() < 2  # where a purge or a failure follows
    assert timeline["modules_pages"].tolist() == timeline["vmalloc_pages"].tolist()  # one range


def taken_by_modules(number: int) -> tuple[int, int]:
    segments = {"mean": "42 pages", "sigma": 0}
    burst = {"kind": "module_burst", "modules": number, "segments": segments}
    timeline = pmsim.run(scenario(burst)).timeline
    return timeline["modules_pages"].iloc[-1], timeline["vmalloc_pages"].iloc[-1]


def test_modules_take_of_a_range_of_their_own_each_as_much_as_the_other() -> None:
    (four, file_of_four), (eight, file_of_eight) = taken_by_modules(4), taken_by_modules(8)
    assert eight == 2 * four > 0
    assert file_of_eight == file_of_four  # the file's buffer alone, which is freed
