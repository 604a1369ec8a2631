"""Patching code, on every generation and architecture.

x86 (arch/x86/kernel/alternative.c): 3 serialising calls for each site in 4.16, for each batch of up
to 256 sites from 5.10 on, 2 where every site is one byte; elsewhere what the sources named in the
profiles do.
"""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import NS
from tests.kernel.booted import Booted, Flush, dvm, sbi

SYNC = Flush("text_poke", "sync_core", -1)
KICK = Flush("text_poke", "empty", -1)
FENCE = sbi(SYNC)
UNMAP = dvm("text_poke", 1)

PER_SITE = ["linux-4.16-x86_64", "linux-4.16-x86_32"]
BATCHES = [f"linux-{version}-x86_64" for version in ("5.15", "6.1", "6.6", "6.12", "6.18")]
NO_STATIC_CALLS = [
    *PER_SITE, "linux-4.16-arm64", "linux-6.1-arm64", "linux-6.1-arm32", "linux-6.1-riscv64",
]  # fmt: skip


def patched(profile: str, sites: int, **keys: Any) -> Booted:
    """Patch sites and return the kernel that did it."""
    booted = Booted(profile=profile)
    return booted.run(lambda kernel: kernel.kernel.text_poke.patch(kernel.task, sites, **keys))


@pytest.mark.parametrize("profile", PER_SITE)
@pytest.mark.parametrize("sites", [1, 7])
def test_the_oldest_kernels_serialise_three_times_for_each_site(profile: str, sites: int) -> None:
    booted = patched(profile, sites)
    assert booted.flushes == [SYNC] * 3 * sites
    assert [row["crosscalls"] for row in booted.of_kind("text_poke_bp")] == [3] * sites


@pytest.mark.parametrize("profile", BATCHES)
@pytest.mark.parametrize(
    ("sites", "batches"), [(0, 0), (1, 1), (256, 1), (257, 2), (512, 2), (1000, 4)]
)
def test_later_ones_serialise_three_times_for_each_batch_of_256(
    profile: str, sites: int, batches: int
) -> None:
    booted = patched(profile, sites)
    assert booted.flushes == [SYNC] * 3 * batches
    assert len(booted.of_kind("text_poke_bp_batch")) == batches


@pytest.mark.parametrize("profile", [*PER_SITE, *BATCHES])
def test_instructions_of_one_byte_have_no_tail_to_serialise_after(profile: str) -> None:
    assert patched(profile, 1, one_byte=True).flushes == [SYNC] * 2


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("linux-4.16-arm64", [UNMAP, KICK] * 3),
        ("linux-6.1-arm64", [UNMAP] * 3),
        ("linux-6.18-arm64", [UNMAP] * 3 + [KICK]),
        ("linux-6.1-arm32", [UNMAP, UNMAP, KICK] * 3),  # stop_machine
        ("linux-6.1-riscv64", [FENCE] * 3),
        ("linux-6.12-riscv64", [FENCE]),
    ],
)
def test_elsewhere_three_sites_are_three_writes_and_what_each_kernel_tells_the_others(
    profile: str, expected: list[Flush]
) -> None:
    assert patched(profile, 3).flushes == expected


@pytest.mark.parametrize("profile", BATCHES)
def test_static_call_sites_are_patched_one_by_one(profile: str) -> None:
    booted = Booted(profile=profile)
    booted.run(lambda kernel: kernel.kernel.text_poke.patch_static_calls(kernel.task, 300))
    assert [row["crosscalls"] for row in booted.of_kind("text_poke_bp_batch")] == [3] * 300


@pytest.mark.parametrize("profile", NO_STATIC_CALLS)
def test_a_kernel_without_static_calls_has_no_such_sites(profile: str) -> None:
    booted = Booted(profile=profile)
    booted.run(lambda kernel: kernel.kernel.text_poke.patch_static_calls(kernel.task, 300))
    assert booted.calls == []


def test_each_site_is_written_three_times() -> None:
    booted = Booted(costs=KernelCosts(text_poke_site=100 * NS))
    booted.run(lambda kernel: kernel.kernel.text_poke.patch(kernel.task, 10))
    (batch,) = booted.of_kind("text_poke_bp_batch")
    assert batch["run_ps"] == 3 * 10 * 100 * NS


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("linux-6.1-x86_64", []),  # text_poke_copy tells nobody
        ("linux-6.18-arm64", [UNMAP, UNMAP, KICK]),
        ("linux-6.12-riscv64", [FENCE]),
    ],
)
def test_writing_code_that_nobody_runs_tells_others_only_where_caches_must_hear_of_it(
    profile: str, expected: list[Flush]
) -> None:
    booted = Booted(profile=profile)
    booted.run(lambda kernel: kernel.kernel.text_poke.copy(kernel.task, 2))
    assert booted.flushes == expected


def test_text_mutex_lets_one_batch_through_at_a_time() -> None:
    def program(kernel: KernelHandle) -> Any:
        return kernel.kernel.text_poke.patch(kernel.task, 600)

    booted = Booted()
    booted.spawn(program, 0)
    booted.spawn(program, 1)
    booted.run()
    batches = sorted(booted.of_kind("text_poke_bp_batch"), key=lambda row: row["end_ps"])
    assert len(batches) == 6
    begun = [row["start_ps"] + row["lock_wait_ps"] for row in batches]
    ends = [row["end_ps"] for row in batches]
    assert all(begin >= end for begin, end in zip(begun[1:], ends, strict=False))
    assert any(row["lock_wait_ps"] for row in batches)
