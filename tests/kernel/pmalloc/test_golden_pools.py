"""What a pool costs on every kernel: the counts that the kernels' sources give, worked out by hand.

k areas of p pages. x86: one full flush for each area whose permission changes, whatever its size,
because the alias in the direct map changes too; a purge of the area freed before, p + 1 pages with
its guard. arm64: each page's alias with an operation and a barrier of its own, then the range.
RISC-V: one full flush for each call. Nothing else runs, nothing is lazily freed at the start.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import profile_names
from pmsim.units import MIB, PAGE_SIZE, US
from tests.kernel.booted import INVLPGB, Booted, Ear, Flush, dvm, dvm_all, full, ranged, sbi
from tests.kernel.pool_programs import filled

Calls = Generator[Any, Any, Any]
X86 = [
    {"profile": "linux-4.16-x86_64"},
    {"profile": "linux-4.16-x86_32"},
    {"profile": "linux-4.16-x86_32", "pae": False},
    {"profile": "linux-5.10-x86_64"},
    {"profile": "linux-5.15-x86_64"},
    {"profile": "linux-6.1-x86_64"},
    {"profile": "linux-6.6-x86_64"},
    {"profile": "linux-6.12-x86_64"},
    {"profile": "linux-6.18-x86_64"},
]
RANGE_ONLY = [
    {"profile": "linux-4.14-arm64"},
    {"profile": "linux-4.16-arm64"},
    {"profile": "linux-4.14-arm32"},
    {"profile": "linux-5.4-arm32"},
    {"profile": "linux-6.1-arm32"},
]
ALIASED = [
    {"profile": f"linux-{version}-arm64"} for version in ("5.4", "6.1", "6.1.y", "6.12", "6.18")
]
RODATA_ON = [{**kernel, "rodata": "on"} for kernel in ALIASED]
RISCV = [{"profile": "linux-6.1-riscv64"}, {"profile": "linux-6.12-riscv64"}]
SIZES = pytest.mark.parametrize(("k", "p"), [(1, 1), (3, 4), (2, 33), (10, 4)])
FULL = full("attributes")


def name_of(kernel: dict[str, Any]) -> str:
    return "-".join([kernel["profile"][6:], *(f"{k}={kernel[k]}" for k in list(kernel)[1:])])


def kernels(*groups: list[dict[str, Any]]) -> pytest.MarkDecorator:
    every = [kernel for group in groups for kernel in group]
    return pytest.mark.parametrize("kernel", every, ids=name_of)


class Phases:
    """The broadcasts of each phase of a pool's life."""

    def __init__(self, kernel: dict[str, Any], k: int, p: int, **options: Any) -> None:
        self.booted = Booted(**kernel, **options)
        self._ends: list[int] = []
        self.booted.run(lambda handle: self._program(handle, k, p))
        assert len(self._ends) == 4

    def _program(self, kernel: KernelHandle, k: int, p: int) -> Calls:
        pool = yield from filled(kernel, k, p)
        self._ends.append(kernel.task.now)
        for step in ("protect_pool", "protect_pool", "destroy_pool"):
            yield from getattr(kernel, f"pmalloc_{step}")(pool)
            self._ends.append(kernel.task.now)

    def _between(self, begin: int, end: int) -> list[Flush]:
        rows = zip(self.booted.calls, self.booted.flushes, strict=True)
        return [flush for call, flush in rows if begin < call["end_ps"] <= end]

    @property
    def grow(self) -> list[Flush]:
        return self._between(0, self._ends[0])

    @property
    def protect(self) -> list[Flush]:
        return self._between(self._ends[0], self._ends[1])

    @property
    def again(self) -> list[Flush]:
        return self._between(self._ends[1], self._ends[2])

    @property
    def destroy(self) -> list[Flush]:
        return self._between(self._ends[2], self._ends[3])

    @property
    def lazy_pages(self) -> int:
        return self.booted.kernel.vmalloc.lazy_pages


@kernels(X86, RANGE_ONLY, ALIASED, RODATA_ON, RISCV)
def test_creating_and_growing_a_pool_and_protecting_it_again_tell_nobody(
    kernel: dict[str, Any],
) -> None:
    phases = Phases(kernel, 3, 4)
    assert phases.grow == []
    assert phases.again == []


def test_every_profile_is_in_one_of_these_groups() -> None:
    grouped = {kernel["profile"] for kernel in [*X86, *RANGE_ONLY, *ALIASED, *RISCV]}
    assert grouped == set(profile_names())


@SIZES
@kernels(X86)
def test_x86_protects_k_areas_with_k_full_flushes(kernel: dict[str, Any], k: int, p: int) -> None:
    assert Phases(kernel, k, p).protect == [FULL] * k


@SIZES
@kernels(X86)
def test_x86_destroys_k_areas_with_k_full_flushes_and_a_purge_between_each_two(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    phases = Phases(kernel, k, p)
    purge = ranged("purge", p + 1) if p <= 32 else full("purge", p + 1)
    assert phases.destroy == [FULL] + [purge, FULL] * (k - 1)
    assert phases.lazy_pages == p + 1


def test_with_invlpgb_the_same_flushes_interrupt_nobody() -> None:
    phases = Phases({"profile": "linux-6.18-x86_64"}, 2, 4, tlbi=INVLPGB)
    everything = dvm_all("attributes")
    assert phases.protect == [everything] * 2
    # 5 pages, 8 by each operation.
    assert phases.destroy == [everything, dvm("purge", 5, 1), everything]
    assert phases.booted.machine.accounts()["handlers"].sum() == 0


@SIZES
@kernels(ALIASED)
def test_arm64_protects_k_areas_of_p_pages_with_k_times_p_plus_1_barriers(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    protect = Phases(kernel, k, p).protect
    area = [dvm("attributes", 1)] * p + [dvm("attributes", p)]
    assert protect == area * k
    assert len(protect) == k * (p + 1)
    assert sum(flush.invalidations for flush in protect) == 2 * k * p


@SIZES
@kernels(ALIASED)
def test_arm64_destroys_them_with_as_many_and_a_purge_between_each_two(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    phases = Phases(kernel, k, p)
    aliases, area = [dvm("attributes", 1)] * p, dvm("attributes", p)
    purged = [*aliases, dvm("purge", p + 1), area]
    assert phases.destroy == [*aliases, area] + purged * (k - 1)
    assert len(phases.destroy) == k * (p + 1) + k - 1
    assert phases.lazy_pages == p + 1


@SIZES
@kernels(RODATA_ON)
def test_arm64_without_the_alias_protects_with_k_and_destroys_with_2_k_minus_1(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    phases = Phases(kernel, k, p)
    area = dvm("attributes", p)
    assert phases.protect == [area] * k
    assert phases.destroy == [area] + [dvm("purge", p + 1), area] * (k - 1)


@SIZES
@kernels(RANGE_ONLY)
def test_where_only_the_range_is_flushed_k_do_for_either_and_everything_stays_lazy(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    phases = Phases(kernel, k, p)
    assert phases.protect == phases.destroy == [dvm("attributes", p)] * k
    assert phases.lazy_pages == k * (p + 1)


@SIZES
@pytest.mark.parametrize(("version", "names_range"), [("6.1", True), ("6.12", False)])
def test_risc_v_flushes_everything_by_firmware_once_for_each_call(
    version: str, names_range: bool, k: int, p: int
) -> None:
    # 6.1: flush_tlb_kernel_range is flush_tlb_all; 6.9 and later: flush_tlb_all itself.
    phases = Phases({"profile": f"linux-{version}-riscv64"}, k, p)
    flush = sbi(full("attributes", p) if names_range else FULL)
    assert phases.protect == phases.destroy == [flush] * k
    assert phases.lazy_pages == k * (p + 1)


def lowmem_only(kernel: dict[str, Any]) -> dict[str, Any]:
    """Let all memory be in the direct map, in large leaves."""
    if "x86_32" not in kernel["profile"]:
        return {**kernel, "direct_map_leaf": "2MiB"}
    leaf = "2MiB" if kernel.get("pae", True) else "4MiB"
    return {**kernel, "direct_map_leaf": leaf, "memory": "880MiB"}


@pytest.mark.parametrize(("k", "p"), [(1, 1), (3, 4)])
@kernels(X86)
def test_x86_pages_each_in_a_large_leaf_of_its_own_cost_k_plus_k_p(
    kernel: dict[str, Any], k: int, p: int
) -> None:
    booted, ear = Booted(**lowmem_only(kernel)), Ear()
    leaf = (4 if kernel.get("pae") is False else 2) * MIB // PAGE_SIZE

    def program(handle: KernelHandle) -> Calls:
        frames = handle.kernel.frames
        taken = frames.allocate(frames.free)
        assert taken is not None
        # Only one page of each leaf is left to be had.
        frames.release([(taken[0][0] + leaf * i, 1) for i in range(k * p)])
        pool = yield from filled(handle, k, p)
        ear(booted.flushes)
        yield from handle.pmalloc_protect_pool(pool)

    booted.run(program)
    assert ear.heard == [[]]
    assert booted.flushes == ([full("split")] * p + [FULL]) * k
    assert booted.kernel.pagetable.leaves_split == k * p


@kernels([kernel for kernel in X86 if "x86_32" in kernel["profile"]])
def test_highmem_pages_have_no_alias_whose_leaf_could_split(kernel: dict[str, Any]) -> None:
    leaf = "2MiB" if kernel.get("pae", True) else "4MiB"
    phases = Phases({**kernel, "direct_map_leaf": leaf}, 2, 4)
    assert phases.protect == [FULL] * 2
    assert phases.booted.kernel.pagetable.leaves_split == 0


@kernels(X86, ALIASED)
def test_one_lazily_freed_area_beforehand_costs_one_more(kernel: dict[str, Any]) -> None:
    def program(handle: KernelHandle, pending: bool) -> Calls:
        pool = yield from filled(handle, 3, 4)
        yield from handle.pmalloc_protect_pool(pool)
        if pending:
            yield from handle.vfree((yield from handle.vmalloc(PAGE_SIZE)))
        yield from handle.pmalloc_destroy_pool(pool)

    clean, pending = (
        Booted(**kernel).run(lambda handle, one=one: program(handle, one)) for one in (False, True)
    )
    assert len(pending.flushes) == len(clean.flushes) + 1


def protect_one(pages: int = 1, lazy: bool = False) -> Any:
    """Protect an area; have something lazily freed by then, if asked for."""

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        if lazy and kernel.task.cpu == 0:
            yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        elif lazy:
            yield from kernel.task.compute(US)
        assert (yield from kernel.set_memory_ro(area.address, pages)) == 0

    return program


@kernels(X86)
def test_two_who_protect_at_the_same_time_overlap_if_nothing_is_lazy(
    kernel: dict[str, Any],
) -> None:
    booted = Booted(**kernel)
    for cpu in (0, 1):
        booted.spawn(protect_one(), cpu)
    booted.run()
    first, second = booted.calls
    assert booted.flushes == [FULL, FULL]
    assert first["start_ps"] < second["end_ps"]
    assert second["start_ps"] < first["end_ps"]


@kernels(X86)
def test_if_something_is_the_second_waits_for_its_purge_and_pays_its_own_flush_only(
    kernel: dict[str, Any],
) -> None:
    booted = Booted(**kernel)
    for cpu in (0, 1):
        booted.spawn(protect_one(lazy=True), cpu)
    booted.run()
    assert sorted(booted.flushes) == [FULL, FULL, ranged("purge", 2)]
    second = max(booted.of_kind("set_memory_ro"), key=lambda row: row["cpu"])
    assert second["crosscalls"] == 1
    assert second["lock_wait_ps"] > 0


DEAF = 500 * US


@pytest.mark.parametrize(
    ("kernel", "stalls"),
    [
        *((kernel, True) for kernel in X86),
        *((kernel, False) for kernel in [*RANGE_ONLY, *ALIASED]),
        ({"profile": "linux-6.18-x86_64", "tlbi": INVLPGB}, False),
        # The firmware's interrupts are not held off by what the kernel switches off.
        *((kernel, False) for kernel in RISCV),
    ],
    ids=str,
)
def test_a_cpu_with_interrupts_off_holds_up_interrupts_only(
    kernel: dict[str, Any], stalls: bool
) -> None:
    def deaf(handle: KernelHandle) -> Calls:
        yield from handle.task.irqs_off(DEAF)

    booted = Booted(**kernel)
    booted.spawn(protect_one(4), 0)
    booted.spawn(deaf, 3)
    booted.run()
    assert (max(call["end_ps"] for call in booted.calls) > DEAF) == stalls
