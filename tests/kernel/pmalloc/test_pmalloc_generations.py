"""What v23, prmem and a modern pmalloc do differently from v21: calls, broadcasts, accounts."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import ProgramError, ScenarioError
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.generations import GENERATIONS, refusal
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.kernel.profiles import load_profile
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Flush, full
from tests.kernel.pool_programs import Calls

ATTRIBUTES = full("attributes")


def filled(kernel: KernelHandle, areas: int, mode: PoolMode) -> Calls:
    """Create a pool of areas of 4 pages, each full."""
    pool = yield from kernel.pmalloc_create_pool(4 * PAGE_SIZE, 3, mode)
    for _ in range(areas):
        yield from kernel.pmalloc(pool, 4 * PAGE_SIZE)
    return pool


def flushes_of(booted: Booted, *steps: Any) -> list[list[Flush]]:
    """Run steps one after the other, each with what the one before returned; their broadcasts."""
    ends: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        value = None
        for step in steps:
            value = (yield from step(kernel, value)) or value
            ends.append(kernel.task.now)

    booted.run(program)
    starts = [call["start_ps"] for call in booted.calls]
    bounds = list(zip([-1, *ends], ends, strict=False))
    return [
        [flush for flush, at in zip(booted.flushes, starts, strict=True) if begin <= at < end]
        for begin, end in bounds
    ]


def filling(areas: int, mode: PoolMode) -> Any:
    return lambda kernel, _: filled(kernel, areas, mode)


def protect(kernel: KernelHandle, pool: Any) -> Calls:
    return (yield from kernel.pmalloc_protect_pool(pool))


def destroy(kernel: KernelHandle, pool: Any) -> Calls:
    return (yield from kernel.pmalloc_destroy_pool(pool))


# Automatic protection


@pytest.mark.parametrize("generation", ["v23", "prmem"])
def test_a_new_area_of_an_automatic_pool_protects_the_one_before(generation: str) -> None:
    booted = Booted(pmalloc=generation)
    grown, protected = flushes_of(booted, filling(5, "auto"), protect)
    # Five areas: four were superseded, one is left for the protection.
    assert grown == [ATTRIBUTES] * 4
    assert protected == [ATTRIBUTES]


def test_the_rest_of_a_superseded_area_is_wasted_and_not_given_up() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3, "auto")
        yield from kernel.pmalloc(pool, 4000)
        yield from kernel.pmalloc(pool, 4000)
        assert [area.protected for area in pool.areas] == [True, False]
        assert (pool.statistics.wasted, pool.statistics.relinquished) == (96, 0)
        assert pool.exposure.writable == 4000

    Booted(pmalloc="v23").run(program)


# Protecting what is protected


def calls_of_protecting_again(generation: str, mode: PoolMode) -> tuple[int, list[Flush]]:
    booted = Booted(pmalloc=generation)
    *_, again = flushes_of(booted, filling(3, mode), protect, protect)
    return len(booted.of_kind("set_memory_ro")), again


def test_v21_and_v23_leave_protected_areas_alone() -> None:
    assert calls_of_protecting_again("v21", "ro") == (3, [])
    assert calls_of_protecting_again("v23", "wr") == (3, [])


def test_prmem_calls_set_memory_ro_on_every_area_again_which_flushes_nothing_on_x86() -> None:
    assert calls_of_protecting_again("prmem", "ro") == (6, [])


def test_prmem_protecting_again_purges_what_was_freed_meanwhile() -> None:
    def free_something(kernel: KernelHandle, _: Any) -> Calls:
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))

    again = {
        generation: flushes_of(
            Booted(pmalloc=generation), filling(3, "ro"), protect, free_something, protect
        )[3]
        for generation in ("v21", "prmem")
    }
    assert again["v21"] == []
    assert [flush.cause for flush in again["prmem"]] == ["purge"]


# Protected from the start


def test_each_area_of_a_pool_that_starts_protected_is_one_full_flush_at_birth() -> None:
    grown, protected = flushes_of(Booted(pmalloc="prmem"), filling(3, "start"), protect)
    assert grown == [ATTRIBUTES] * 3
    assert protected == []


def test_a_pool_that_starts_protected_gives_memory_that_was_never_writable() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3, "start")
        objects = []
        for _ in range(3):
            objects.append((yield from kernel.pmalloc(pool, 24)))
        many = yield from kernel.alloc_many(pool, 5, 24)
        yield from kernel.pmalloc_protect_pool(pool)
        objects.append((yield from kernel.pmalloc(pool, 24)))
        # One area serves them all, before and after the protection.
        assert pool.statistics.areas == 1
        assert many[4] - objects[3] == 24
        assert pool.statistics.relinquished == 0
        assert pool.free == PAGE_SIZE - 9 * 24
        for address in objects:
            assert not (yield from kernel.write(address, 24))
            assert (yield from kernel.wr_memcpy(address, 24))
        assert pool.exposure.at(kernel.task.now) == 0

    Booted(pmalloc="prmem").run(program)


def test_zeroed_memory_and_strings_of_a_pool_that_starts_protected_are_rare_writes() -> None:
    def program(kernel: KernelHandle) -> Calls:
        for mode in ("wr", "start"):
            pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3, mode)
            yield from kernel.pzalloc(pool, 24)
            yield from kernel.pstrdup(pool, "policy")

    booted = Booted(pmalloc="prmem").run(program)
    assert len(booted.of_kind("wr_memset")) == 1
    assert len(booted.of_kind("wr_memcpy")) == 1


# Destruction


def test_v23_makes_only_what_was_protected_writable_before_freeing_it() -> None:
    for generation, opened in (("v21", 3), ("v23", 2), ("prmem", 3)):
        booted = Booted(pmalloc=generation)

        def grow(kernel: KernelHandle, pool: Any) -> Calls:
            yield from kernel.pmalloc(pool, 4 * PAGE_SIZE)

        flushes_of(booted, filling(2, "ro"), protect, grow, destroy)
        assert len(booted.of_kind("set_memory_rw")) == opened


def test_a_modern_pool_is_destroyed_with_one_flush_for_each_area() -> None:
    booted = Booted(pmalloc="modern")
    _, protected, destroyed = flushes_of(booted, filling(5, "ro"), protect, destroy)
    assert protected == [ATTRIBUTES] * 5
    assert [(flush.cause, flush.kind) for flush in destroyed] == [("reset_perms", "full")] * 5
    assert booted.of_kind("set_memory_rw") == []
    assert booted.kernel.vmalloc.lazy_pages == 0


def test_a_destroyed_modern_pool_leaves_the_direct_map_writable() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 1, "ro")
        area = kernel.kernel.vmalloc.find(pool.areas[0].mapped.address)
        assert area is not None
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        yield from kernel.pmalloc_protect_pool(pool)
        assert not (yield from kernel.write(alias, 1))
        yield from kernel.pmalloc_destroy_pool(pool)
        assert (yield from kernel.write(alias, 1))

    Booted(pmalloc="modern").run(program)


# Refusals


@pytest.mark.parametrize(
    ("generation", "modes"),
    [
        ("v21", {"ro"}),
        ("v23", {"ro", "wr", "auto", "auto_wr"}),
        ("prmem", {"ro", "wr", "auto", "auto_wr", "start"}),
        ("modern", {"ro"}),
    ],
)
def test_a_generation_has_pools_of_its_own_modes_only(generation: str, modes: set[str]) -> None:
    allowed = GENERATIONS["prmem"].modes
    assert {mode for mode in allowed if refusal(generation, mode) is None} == modes


@pytest.mark.parametrize(
    ("mode", "cure"),
    [("start", "set pmalloc to prmem under kernel"), ("START", "the modes are ro, wr, auto, ")],
)
def test_creating_a_pool_of_a_mode_that_is_not_there_says_what_is(mode: Any, cure: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.pmalloc_create_pool(mode=mode)

    with pytest.raises(ProgramError, match=f"v21 has no pools of mode {mode}: {cure}"):
        Booted().run(program)


@pytest.mark.parametrize(
    ("generation", "call"),
    [("v21", "wr_memcpy"), ("v21", "wr_memset"), ("v23", "wr_memset"), ("modern", "wr_memcpy")],
)
def test_a_rare_write_that_a_generation_does_not_have_is_an_error_of_the_program(
    generation: str, call: str
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 1, "ro")
        yield from getattr(kernel, call)(pool.areas[0].mapped.address, 8)

    with pytest.raises(ProgramError, match=f"pmalloc {generation} has no {call}"):
        Booted(pmalloc=generation).run(program)


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-4.16-x86_32", "linux-4.16-arm64"])
def test_a_kernel_without_vm_flush_reset_perms_has_no_modern_pmalloc(profile: str) -> None:
    with pytest.raises(ScenarioError, match="cannot have pmalloc: modern") as caught:
        load_profile(profile, {"pmalloc": "modern"})
    assert [(fault.code, fault.file) for fault in caught.value.faults] == [
        ("impossible", "kernel.pmalloc")
    ]


def test_a_modern_pmalloc_is_refused_where_a_scenario_takes_its_ground_away() -> None:
    with pytest.raises(ScenarioError, match="modern needs reset_perms"):
        load_profile("linux-6.1-x86_64", {"pmalloc": "modern", "reset_perms": False})


# Sizes of the architecture


def test_a_pool_that_asks_for_no_alignment_gets_that_of_kmalloc() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        assert pool.align == kernel.kernel.profile.kmalloc_minalign

    for profile, minalign in (("linux-6.1-arm64", 128), ("linux-6.1-arm32", 64)):
        assert load_profile(profile).kmalloc_minalign == minalign
    Booted(kmalloc_minalign="64B").run(program)
