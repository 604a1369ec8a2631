"""Flushing all CPUs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.hardware.task import Task
from pmsim.kernel.tlbflush import Cause
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Flush, full, ranged

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


def test_patching_code_makes_cpus_serialise_and_flushes_nothing() -> None:
    booted = Booted()

    def body(task: Task) -> Generator[Any, Any, None]:
        yield from booted.kernel.tlbflush.text_poke_sync(task)

    booted.machine.spawn(0, body)
    assert booted.run().flushes == [Flush("text_poke", "sync_core", -1)]


def test_the_tables_call_causes_by_their_names() -> None:
    named = {"attributes", "split", "purge", "reset_perms", "text_poke", "user", "trace"}
    assert named <= {cause.name.lower() for cause in Cause}
