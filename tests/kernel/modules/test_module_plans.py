"""The plans of all generations: every segment has its place, and every area its end."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from pmsim.kernel.modules.plans import LOADER_PLANS, Change, LoaderPlan
from pmsim.kernel.modules.segments import SEGMENT_NAMES
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import load_profile, profile_names

PLANS = pytest.mark.parametrize("plan", LOADER_PLANS.values(), ids=LOADER_PLANS.keys())


def calls(changes: tuple[Change, ...]) -> Counter[str]:
    return Counter(change.call for change in changes)


def test_every_value_of_the_profiles_key_has_a_plan() -> None:
    values = get_args(KernelProfile.model_fields["module_loader"].annotation)
    assert set(values) == set(LOADER_PLANS)
    assert {load_profile(name).module_loader for name in profile_names()} <= set(values)


@PLANS
def test_every_segment_lies_in_one_area_and_every_area_is_freed(plan: LoaderPlan) -> None:
    placed = [segment for area in plan.areas.values() for segment in area.segments]
    assert sorted(placed) == sorted(SEGMENT_NAMES)
    assert sorted(plan.freed) == sorted(plan.areas)


@PLANS
def test_init_areas_hold_init_segments_and_no_others(plan: LoaderPlan) -> None:
    for area in plan.areas.values():
        assert {segment.startswith("init_") for segment in area.segments} == {area.init}


@PLANS
def test_text_ends_read_only_and_executable_and_nothing_else_does(plan: LoaderPlan) -> None:
    executable, writable = set(SEGMENT_NAMES) if plan.executable else set(), set(SEGMENT_NAMES)
    for change in (*plan.formation, *plan.after_init):
        if change.call in ("nx",):
            executable.discard(change.segment)
        if change.call in ("x", "rox"):
            executable.add(change.segment)
        if change.call in ("ro", "rox"):
            writable.discard(change.segment)
    core = {segment for segment in SEGMENT_NAMES if segment.startswith("core_")}
    assert executable & core == {"core_text"}
    assert writable & core == {"core_data"}
    assert not writable & executable - {"init_ro_after_init"}


def test_seven_areas_stand_in_the_order_of_the_kernels_types() -> None:
    assert list(LOADER_PLANS["seven_areas"].areas) == [
        "text", "data", "rodata", "ro_after_init", "init_text", "init_data", "init_rodata",
    ]  # fmt: skip
    assert LOADER_PLANS["seven_areas"].freed[-1] == "data"


def test_4_16_undoes_exactly_what_it_protected() -> None:
    plan = LOADER_PLANS["two_areas_rwx"]
    protected = {Change("rw", c.segment) for c in plan.formation if c.call == "ro"}
    protected |= {Change("x", c.segment) for c in plan.formation if c.call == "nx"}
    undone = set(plan.undo_formation)
    assert undone - protected == {Change("rw", "core_ro_after_init")}
    assert protected <= undone
    assert calls(plan.undo_formation) == {"rw": 5, "x": 5}
