"""Loads that fail, by generation: what is given back, when, and what the caller is told."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.module import EINVAL, ENOMEM, Refusal
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.units import MIB, MS, PAGE_SIZE, S
from tests.kernel.booted import Booted
from tests.kernel.module_lives import CANONICAL, OLD, Step, life

Calls = Generator[Any, Any, Any]

X86 = ("linux-4.16-x86_64", "linux-5.15-x86_64", "linux-6.6-x86_64", "linux-6.12-x86_64")
INIT_FAILS = replace(CANONICAL, init_fails=True)
FORMATION_FAILS = replace(CANONICAL, formation_fails=True)


def refused(booted: Booted, segments: ModuleSegments) -> Refusal:
    """Load a module, which must fail; return why."""
    found: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        found.append((yield from kernel.load_module(segments)))
        found.append(kernel.load_refusal())

    booted.run(program)
    assert found[0] is None
    assert isinstance(found[1], Refusal)
    return found[1]


def failed(profile: str, segments: ModuleSegments) -> Step:
    booted = Booted(profile=profile)
    step, _ = life(booted, segments)
    assert (len(booted.kernel.vmalloc.areas), booted.kernel.modules.loaded) == (0, [])
    return step


@pytest.mark.parametrize("segments", [INIT_FAILS, FORMATION_FAILS])
@pytest.mark.parametrize("profile", [*X86, "linux-6.1-x86_64", "linux-6.1-arm64"])
def test_a_module_that_fails_leaves_nothing_and_says_why(
    profile: str, segments: ModuleSegments
) -> None:
    failed(profile, segments)
    refusal = refused(Booted(profile=profile), segments)
    assert refusal.error == -EINVAL
    assert not refusal.duplicate
    what = "init function failed" if segments.init_fails else "failed after its formation"
    assert what in refusal.reason


# 4.16: everything is made writable and executable again, and freed lazily


def test_4_16_undoes_a_formation_with_ten_calls_and_frees_lazily() -> None:
    step = failed("linux-4.16-x86_64", replace(OLD, formation_fails=True))
    assert len(step.calls) == 9 + 10
    assert step.calls[9:] == [
        *("rw8", "rw4", "rw0", "rw1", "rw0"),
        *("x4", "x0", "x4", "x0", "x3"),
    ]
    # Six were protected, and six become what they were; nothing is purged before the end.
    assert {flush.cause for flush in step.flushes} == {"attributes"}
    assert len(step.flushes) == 6 + 6


def test_4_16_undoes_each_area_of_a_module_whose_init_fails_before_it_frees_it() -> None:
    step = failed("linux-4.16-x86_64", replace(OLD, init_fails=True))
    assert step.calls[9:] == [
        *("rw1", "rw0", "rw0", "x0", "x0", "x3"),
        *("rw8", "rw4", "rw0", "x4", "x0", "x4"),
    ]
    # The file's buffer by the first of these calls, and the init area, freed in between.
    assert [(flush.kind, flush.pages) for flush in step.of("purge")] == [("full", 41), ("range", 5)]
    assert len(step.of("attributes")) == 6 + 6


# 5.4 and later: areas are flushed as they are freed


@pytest.mark.parametrize("segments", [INIT_FAILS, FORMATION_FAILS])
@pytest.mark.parametrize(
    ("profile", "formation", "areas"),
    [
        ("linux-5.15-x86_64", 5, 2),
        ("linux-6.6-x86_64", 5, 6),
        ("linux-6.12-x86_64", 3, 6),
    ],
)
def test_later_kernels_flush_once_for_each_area_of_a_module_that_fails(
    profile: str, formation: int, areas: int, segments: ModuleSegments
) -> None:
    step = failed(profile, segments)
    assert len(step.of("attributes")) == formation
    # The file's buffer goes with the first area, or is still on the list when all are gone.
    assert len(step.of("reset_perms")) == areas
    assert len(step.flushes) == formation + areas


def test_6_18_makes_text_executable_again_before_it_goes_back_to_the_cache() -> None:
    step = failed("linux-6.18-x86_64", FORMATION_FAILS)
    formation = step.calls.index("rox1") + 1
    assert step.calls[formation:] == [
        *("rox8", "rox1"),  # module_memory_restore_rox: they are already
        *("nx8", "rw8", "rox8"),  # back to the cache
        *("nx1", "rw1", "rox1"),
    ]


def test_a_formation_that_fails_waits_for_two_grace_periods_one_under_the_mutex() -> None:
    costs = KernelCosts(rcu_grace_period=100 * MS, module_load=MS, module_link=0)
    booted = Booted(costs=costs)

    def failing(kernel: KernelHandle) -> Calls:
        yield from kernel.load_module(FORMATION_FAILS)

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(150 * MS)
        yield from kernel.load_module(CANONICAL)

    booted.spawn(failing, 0)
    booted.spawn(other, 1)
    booted.run()
    first, second = booted.of_kind("load_module")
    assert first["end_ps"] - first["start_ps"] > 200 * MS
    assert 40 * MS < second["lock_wait_ps"] < 60 * MS


# No room


@pytest.mark.parametrize("profile", [*X86, "linux-6.18-x86_64", "linux-6.18-arm64"])
def test_a_module_larger_than_the_range_for_modules_is_refused(profile: str) -> None:
    huge = replace(CANONICAL, core_text=3 * 1024 * MIB // PAGE_SIZE)
    booted = Booted(profile=profile)
    refusal = refused(booted, huge)
    assert refusal.error == -ENOMEM
    assert "no room for" in refusal.reason
    assert len(booted.kernel.vmalloc.areas) == 0


def test_a_full_range_for_modules_refuses_the_next_module_and_takes_it_after_an_unload() -> None:
    booted = Booted(modules_size="256KiB")
    told: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        modules = []
        while (module := (yield from kernel.load_module(CANONICAL))) is not None:
            modules.append(module)
            yield from kernel.task.sleep(S)
        told.append(len(modules))
        yield from kernel.unload_module(modules[1])
        told.append((yield from kernel.load_module(CANONICAL)) is not None)

    booted.run(program)
    # 64 pages: a module that stays takes 17, one that comes 17 + 5.
    assert told == [3, True]


@pytest.mark.parametrize("profile", ["linux-4.16-arm64", "linux-6.1-arm64", "linux-6.1-arm32"])
def test_arm_puts_modules_into_the_vmalloc_range_when_their_own_is_full(profile: str) -> None:
    booted = Booted(profile=profile, modules_size="16KiB")
    found: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(CANONICAL)
        assert module is not None
        found.append(kernel.kernel.vmalloc.is_vmalloc_addr(module.segment("core_text").address))
        yield from kernel.unload_module(module)

    booted.run(program)
    assert found == [True]
    assert len(booted.kernel.vmalloc.areas) == 0


def test_up_to_6_1_memory_that_was_never_protected_is_freed_without_a_flush() -> None:
    # The range for modules has room for core (17 pages), not for init too.
    early = Booted(modules_size="80KiB")
    assert refused(early, CANONICAL).error == -ENOMEM
    assert early.flushes == []
    later = Booted(profile="linux-6.12-x86_64", modules_size="80KiB")
    assert refused(later, CANONICAL).error == -ENOMEM
    assert "reset_perms" in [flush.cause for flush in later.flushes]
