"""What is done at once, because nobody can notice, is what is done step by step."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.hardware.costs import MemoryCosts
from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.units import NS, PAGE_SIZE, US
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]
Step = tuple[str, int]

PROFILES = (
    "linux-4.16-x86_64",  # the search from where the last one ended
    "linux-6.1-x86_64",
    "linux-6.12-x86_64",  # pools for each node
    "linux-6.12-riscv64",  # new mappings make work
)

STEPS = st.lists(
    st.tuples(st.just("vmalloc"), st.sampled_from([1, 2, 4, 9, 600]))
    | st.tuples(st.just("vfree"), st.integers(0, 5))
    | st.tuples(st.just("compute"), st.sampled_from([1, 7 * NS, 300 * NS, 2 * US])),
    max_size=30,
)


class Steps:
    """A program that allocates and frees areas."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps

    def __call__(self, kernel: KernelHandle) -> Calls:
        areas: list[Any] = []
        for what, number in self._steps:
            if what == "vmalloc":
                area = yield from kernel.vmalloc(number * PAGE_SIZE)
                areas += [] if area is None else [area]
            elif what == "compute":
                yield from kernel.task.compute(number)
            elif areas:
                yield from kernel.vfree(areas.pop(number % len(areas)))


def left_behind(profile: str, programs: list[list[Step]], at_once: bool) -> Any:
    # Little may gather, and addresses run out: 64 MiB hold 25 of the largest areas.
    with pytest.MonkeyPatch.context() as patch:
        if not at_once:
            patch.setattr(Task, "is_alone", lambda self, work: False)
        # The caches keep four areas.
        caches = MemoryCosts(miss=90 * NS, lines=8)
        booted = Booted(
            2, profile=profile, caches=caches, lazy_max_unit="2MiB", vmalloc_size="64MiB"
        )
        for number, steps in enumerate(programs):
            booted.spawn(Steps(steps), cpu=number % 2)
        booted.run()
    pools = booted.kernel.frames.free, booted.kernel.vmalloc.lazy_pages
    accounts = {name: times.tolist() for name, times in booted.machine.accounts().items()}
    return booted.operations, booted.calls, accounts, pools, booted.machine.now


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=30)
@given(programs=st.lists(STEPS, min_size=1, max_size=3))
def test_areas_allocated_and_freed_at_once_leave_the_same_rows(
    profile: str, programs: list[list[Step]]
) -> None:
    assert left_behind(profile, programs, True) == left_behind(profile, programs, False)


def test_a_lone_task_allocates_and_frees_at_once() -> None:
    steps: list[bool] = []

    def watched(self: Task, work: int) -> bool:
        steps.append(alone(self, work))
        return steps[-1]

    alone = Task.is_alone
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "is_alone", watched)
        Booted().run(Steps([("vmalloc", 4), ("vfree", 0)]))
    assert steps == [True, True]


def test_a_task_is_not_alone_while_another_will_do_something_first() -> None:
    booted, heard = Booted(), list[bool]()

    def asks(kernel: KernelHandle) -> Calls:
        yield from kernel.task.compute(US)
        heard.extend(kernel.task.is_alone(work) for work in (2 * US - 1, 2 * US, 3 * US))

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.task.compute(3 * US)

    booted.spawn(asks, 0)
    booted.spawn(other, 1)
    booted.run()
    # The other takes its next step at 3 us, the one that asks is at 1 us.
    assert heard == [True, False, False]
