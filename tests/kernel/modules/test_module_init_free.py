"""When init areas are given back, and by whom."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, S
from tests.kernel.booted import Booted
from tests.kernel.module_lives import CANONICAL

Calls = Generator[Any, Any, Any]


def loaded(profile: str, times: int, grace_period: int) -> Booted:
    """Load some modules right after each other."""
    booted = Booted(profile=profile, costs=KernelCosts(rcu_grace_period=grace_period))

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(times):
            yield from kernel.load_module(CANONICAL)

    return booted.run(program)


def test_a_callback_frees_each_modules_area_a_grace_period_after_its_own_load() -> None:
    booted = loaded("linux-4.16-x86_64", 3, S)
    ends = [row["end_ps"] for row in booted.of_kind("load_module")]
    frees = booted.of_kind("do_free_init")
    assert [row["pages"] for row in frees] == [CANONICAL.init] * 3
    for end, free in zip(ends, frees, strict=True):
        assert 0 <= free["start_ps"] - end - S < MS
    assert [row["crosscalls"] for row in frees] == [0, 0, 0]


def test_a_work_item_waits_once_for_all_that_came_while_it_waited_before() -> None:
    booted = loaded("linux-6.1-x86_64", 4, S)
    frees = booted.of_kind("do_free_init")
    assert [row["pages"] for row in frees] == [CANONICAL.init, 3 * CANONICAL.init]
    assert frees[1]["start_ps"] >= frees[0]["end_ps"]
    # Each area still makes a flush of its own.
    assert [row["crosscalls"] for row in frees] == [1, 3]


def test_a_work_item_frees_the_newest_module_first_and_each_ones_text_before_its_data() -> None:
    booted = loaded("linux-6.6-x86_64", 3, S)
    (_, last) = booted.of_kind("do_free_init")
    freed = [row for row in booted.of_kind("vfree") if row["parent"] == last["id"]]
    assert [row["pages"] for row in freed] == [CANONICAL.init_text, CANONICAL.init_data] * 2
    assert {row["workload"][:7] for row in freed} == {"kworker"}
