"""Addresses that run out: purge, look once more, then NULL; and where modules go."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.units import MIB, PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]
X86_32 = "linux-4.16-x86_32"
RANGE = 120 * MIB // PAGE_SIZE


def churn(kernel: KernelHandle, times: int, pages: int = 1) -> Calls:
    for _ in range(times):
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        assert area is not None
        yield from kernel.vfree(area)


@pytest.mark.parametrize("pae", [True, False])
@pytest.mark.parametrize("areas", [1024, 1025, 2500])
def test_on_x86_32_with_8_cpus_only_exhaustion_purges(pae: bool, areas: int) -> None:
    # 8 CPUs tolerate 4 x 32 MiB, more than the whole range of 120 MiB. Areas of 29 pages and their
    # guards: 1,024 of them fill it.
    booted = Booted(8, profile=X86_32, pae=pae)
    assert booted.kernel.purge.lazy_max_pages > RANGE
    booted.run(lambda kernel: churn(kernel, areas, 29))
    purges = booted.of_kind("purge")
    assert [row["pages"] for row in purges] == [RANGE] * ((areas - 1) // 1024)
    kinds = {row["id"]: row["kind"] for row in booted.operations}
    assert {kinds[row["parent"]] for row in purges} <= {"vmalloc"}
    assert [(flush.kind, flush.pages) for flush in booted.flushes] == [("full", RANGE)] * len(
        purges
    )


@pytest.mark.parametrize("profile", profile_names())
def test_where_a_purge_does_not_help_a_request_is_null_and_the_kernel_goes_on(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        held = yield from kernel.vmalloc(63 * PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(31 * PAGE_SIZE)))
        assert (yield from kernel.vmalloc(100 * PAGE_SIZE)) is None
        yield from kernel.vfree(held)
        assert (yield from kernel.vmalloc(100 * PAGE_SIZE)) is not None

    booted = Booted(profile=profile, vmalloc_size="512KiB").run(program)
    # One purge for each request without room; nothing else is flushed.
    purges = [flush for flush in booted.flushes if flush.cause == "purge"]
    assert [flush.pages for flush in purges] == [32, 64]


@pytest.mark.parametrize("profile", profile_names())
def test_modules_without_room_in_their_range_go_to_that_of_vmalloc_where_the_kernel_lets_them(
    profile: str,
) -> None:
    key = load_profile(profile)
    shared = key.modules_range == key.vmalloc_range
    found = []

    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        for _ in range(3):
            area = yield from vmalloc.vmalloc_in(kernel.task, 31 * PAGE_SIZE, "modules")
            found.append(area and vmalloc.is_vmalloc_addr(area.address))

    Booted(profile=profile, modules_size="256KiB").run(program)
    last = True if key.modules_fallback == "vmalloc" else None
    assert found == ([False, False, last] if not shared else [True, True, None])


def test_on_x86_32_modules_and_areas_take_each_others_addresses() -> None:
    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        areas = []
        for name in ("vmalloc", "modules", "vmalloc"):
            areas.append((yield from vmalloc.vmalloc_in(kernel.task, PAGE_SIZE, name)))
        start = areas[0].address
        assert [area.address for area in areas] == [start + 2 * PAGE_SIZE * k for k in range(3)]

    Booted(profile=X86_32).run(program)


def test_areas_get_highmem_first_and_blocks_never() -> None:
    def program(kernel: KernelHandle) -> Calls:
        frames = kernel.kernel.frames
        high = frames.total - frames.lowmem
        area = yield from kernel.vmalloc(10 * PAGE_SIZE)
        assert area.runs == [(frames.lowmem, 10)]
        block = yield from kernel.alloc_pages(0)
        assert block.frame < frames.lowmem
        rest = frames.allocate(high - 10 + 5)
        assert [count for _, count in rest] == [high - 10, 5]
        assert [pfn < frames.lowmem for pfn, _ in rest] == [False, True]
        frames.release(rest)

    Booted(profile=X86_32).run(program)


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("pages", [512, 513, 1024, 1025])
def test_page_pointers_of_more_than_a_page_are_an_area_of_their_own(
    profile: str, pages: int
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        assert (area.page_array is not None) == (pages * key.word_bytes > PAGE_SIZE)
        yield from kernel.vfree(area)

    key = load_profile(profile)
    Booted(profile=profile).run(program)


@pytest.mark.parametrize("profile", profile_names())
def test_permissions_are_reset_at_once_where_the_kernel_can(profile: str) -> None:
    key = load_profile(profile)

    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        area = yield from vmalloc.vmalloc_in(
            kernel.task, 4 * PAGE_SIZE, "modules", flush_reset_perms=True
        )
        yield from kernel.vfree(area)
        assert vmalloc.lazy_pages == (0 if key.reset_perms else 5)

    booted = Booted(profile=profile).run(program)
    # 6.12 on RISC-V flushes for each page that it makes inaccessible, and accessible again.
    each = 2 * 4 if key.direct_map_flushes else 0
    assert len(booted.flushes) == (1 + each if key.reset_perms else 0)
    if key.reset_perms:
        # From the direct map to the modules; highmem is in no direct map.
        highmem = key.memory > key.lowmem
        assert {flush.kind for flush in booted.flushes} == {"range" if highmem else "full"}
