"""Live patches: what tracers flush, and what is patched so that tasks switch."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS
from tests.kernel.booted import Booted, Flush
from tests.kernel.pool_programs import Calls

SYNC = Flush("text_poke", "sync_core", -1)
SITES = 7


def patched(profile: str) -> list[Flush]:
    booted = Booted(3, profile=profile)
    return booted.run(lambda kernel: kernel.klp_enable_patch(2, MS, SITES)).flushes


def traced(profile: str) -> list[Flush]:
    """What two tracers of a function each flush."""

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(2):
            yield from kernel.ftrace_enable(1)

    return Booted(3, profile=profile).run(program).flushes


@pytest.mark.parametrize(
    ("profile", "batches"),
    [
        ("linux-4.16-x86_64", 0),
        ("linux-6.1-x86_64", 0),
        # The trampoline of the static call and its sites, on and off, three calls each.
        ("linux-6.12-x86_64", 2 * (1 + SITES)),
        # A branch in the scheduler, on and off.
        ("linux-6.18-x86_64", 2),
    ],
)
def test_a_patch_is_a_tracer_for_each_function_and_what_lets_tasks_switch(
    profile: str, batches: int
) -> None:
    assert patched(profile) == traced(profile) + [SYNC] * 3 * batches


def test_a_worker_runs_on_every_cpu_before_a_patch_is_in_force() -> None:
    booted = Booted(3)
    ends: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.klp_enable_patch(1, MS)
        ends.append(kernel.task.now)

    def busy(kernel: KernelHandle) -> Calls:
        # The worker gets a turn when the task's time slice is over, 3 ms after it began.
        yield from kernel.task.user_compute(10 * MS)

    booted.spawn(busy, 2)
    booted.run(program)
    assert ends[0] >= 3 * MS


def test_a_patch_is_taken_away_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        patch = yield from kernel.klp_enable_patch(1)
        yield from kernel.klp_disable_patch(patch)
        yield from kernel.klp_disable_patch(patch)

    with pytest.raises(UndefinedBehaviour, match="klp_disable_patch for the second time"):
        Booted(2).run(program)


def test_taking_a_patch_away_flushes_as_its_tracers_do() -> None:
    def program(kernel: KernelHandle) -> Calls:
        tracer = yield from kernel.ftrace_enable(1)
        yield from kernel.ftrace_disable(tracer)

    def patch(kernel: KernelHandle) -> Calls:
        yield from kernel.klp_disable_patch((yield from kernel.klp_enable_patch(1)))

    assert Booted(3).run(patch).flushes == Booted(3).run(program).flushes


@pytest.mark.parametrize(
    "profile", ["linux-6.12-arm64", "linux-6.1-riscv64", "linux-6.1-arm32", "linux-4.16-x86_32"]
)
def test_kernels_that_cannot_are_refused(profile: str) -> None:
    with pytest.raises(ProgramError, match="klp_enable_patch: this kernel cannot"):
        patched(profile)
