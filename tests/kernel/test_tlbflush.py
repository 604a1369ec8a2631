"""Flushing all CPUs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.task import Task
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import (
    INVLPGB,
    TLBI_RANGE,
    Booted,
    Flush,
    dvm,
    dvm_all,
    full,
    ranged,
    small_machine,
)

START = 0xFFFFC90000000000


def flush_range(booted: Booted, start: int, end: int) -> list[Flush]:
    def body(task: Task) -> Generator[Any, Any, None]:
        yield from booted.kernel.tlbflush.flush_tlb_kernel_range(task, start, end, Cause.PURGE)

    booted.machine.spawn(0, body)
    return booted.run().flushes


@pytest.mark.parametrize(
    ("pages", "kind"), [(0, "range"), (1, "range"), (33, "range"), (34, "full"), (1 << 40, "full")]
)
def test_33_pages_are_flushed_one_by_one_and_34_make_it_a_full_flush(pages: int, kind: str) -> None:
    found = flush_range(Booted(), START, START + pages * PAGE_SIZE)
    assert found == [Flush("purge", kind, pages)]


def test_a_part_of_a_page_is_a_page() -> None:
    assert flush_range(Booted(), START + 4095, START + 4097) == [ranged("purge", 1)]


def test_the_ceiling_is_the_profiles() -> None:
    end = START + PAGE_SIZE
    assert flush_range(Booted(ceiling=0), START, end) == [full("purge", 1)]


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ProgramError, match="before it starts"):
        flush_range(Booted(), START, START - 1)


@pytest.mark.parametrize("cpus", [1, 2, 7])
def test_a_flush_goes_to_every_other_cpu_the_idle_ones_too(cpus: int) -> None:
    booted = Booted(cpus)

    def body(task: Task) -> Generator[Any, Any, None]:
        yield from booted.kernel.tlbflush.flush_tlb_all(task, Cause.SPLIT)

    booted.machine.spawn(0, body)
    booted.run()
    assert booted.flushes == [full("split")]
    assert booted.calls[0]["targets"] == cpus - 1
    assert booted.machine.accounts()["handlers"].tolist() == [0] + [1] * (cpus - 1)


@pytest.mark.parametrize(
    ("profile", "kind", "protocol"),
    [
        ("linux-6.1-x86_64", "sync_core", "ipi"),
        # INVLPGB drops translations, it does not serialise.
        ("linux-6.18-x86_64", "sync_core", "ipi"),
        # On Arm the return from an interrupt serialises; what it was for does not matter.
        ("linux-6.18-arm64", "empty", "ipi"),
        ("linux-6.12-riscv64", "sync_core", "sbi"),
    ],
)
def test_telling_of_changed_code_is_a_call_everywhere_and_flushes_nothing(
    profile: str, kind: str, protocol: str
) -> None:
    booted = Booted(profile=profile, tlbi=INVLPGB)

    def body(task: Task) -> Generator[Any, Any, None]:
        yield from booted.kernel.tlbflush.text_poke_sync(task)

    booted.machine.spawn(0, body)
    assert booted.run().flushes == [Flush("text_poke", kind, -1, protocol)]


# ceiling: arch/x86/mm/tlb.c; arch/arm64/include/asm/tlbflush.h of each version; arch/arm/mm/
# tlb-v7.S; arch/riscv/mm/tlbflush.c (64) and include/asm/tlbflush.h (6.1: always everything).
@pytest.mark.parametrize(
    ("profile", "largest"),
    [
        ("linux-4.16-x86_64", 33),
        ("linux-4.16-x86_32", 33),
        ("linux-4.16-arm64", 1024),
        ("linux-6.1-arm64", 512),
        ("linux-6.18-arm64", 511),
        ("linux-6.1-riscv64", 0),
        ("linux-6.12-riscv64", 1),
    ],
)
def test_above_its_limit_every_kernel_flushes_everything(profile: str, largest: int) -> None:
    for pages, kind in ((largest, "range"), (largest + 1, "full")):
        (flush,) = flush_range(Booted(profile=profile), START, START + pages * PAGE_SIZE)
        assert (flush.kind, flush.pages) == (kind, pages)


def test_arm32_flushes_all_its_addresses_page_by_page() -> None:
    # A purge that spans all 240 MiB: 61,440 operations.
    flushes = flush_range(Booted(profile="linux-6.1-arm32"), 0xF0800000, 0xFF800000)
    assert flushes == [dvm("purge", 61_440)]


@pytest.mark.parametrize(
    ("pages", "flush"),
    [(1 << 21, dvm("purge", 1 << 21, 1)), ((1 << 21) + 1, dvm_all("purge", (1 << 21) + 1))],
)
def test_ranges_of_arm64_reach_to_2_to_the_21_pages(pages: int, flush: Flush) -> None:
    booted = Booted(profile="linux-6.18-arm64", tlbi=TLBI_RANGE)
    assert flush_range(booted, START, START + pages * PAGE_SIZE) == [flush]


@pytest.mark.parametrize("tlbi", [None, INVLPGB])
def test_6_18_uses_invlpgb_where_the_cpus_have_it(tlbi: TlbiCosts | None) -> None:
    booted = Booted(profile="linux-6.18-x86_64", tlbi=tlbi)
    flushes = flush_range(booted, START, START + 9 * PAGE_SIZE)
    assert flushes == [dvm("purge", 9, 2) if tlbi else ranged("purge", 9)]
    interrupted = 0 if tlbi else 3
    assert booted.machine.accounts()["handlers"].sum() == interrupted


def test_older_kernels_interrupt_whatever_the_cpus_have() -> None:
    booted = Booted(profile="linux-6.12-x86_64", tlbi=INVLPGB)
    assert flush_range(booted, START, START + 9 * PAGE_SIZE) == [ranged("purge", 9)]


def test_a_kernel_that_needs_broadcasts_does_not_boot_without_them() -> None:
    profile = load_profile("linux-6.1-arm64")
    with pytest.raises(ValueError, match="needs a machine with costs for tlbi"):
        Kernel(small_machine(2), profile)


def test_the_tables_call_causes_by_their_names() -> None:
    named = {"attributes", "split", "purge", "reset_perms", "text_poke", "user", "trace"}
    assert named <= {cause.name.lower() for cause in Cause}
