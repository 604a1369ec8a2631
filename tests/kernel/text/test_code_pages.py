"""Pages for code, by every way of making them executable."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, RW
from pmsim.kernel.text.code_pages import CALLS, OwnCodePages
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]


def pages_of(booted: Booted, way: str, undo: tuple[str, ...] = ("rw",)) -> OwnCodePages:
    return OwnCodePages(booted.kernel.context, way, undo)


def set_memory_calls(booted: Booted) -> list[str]:
    rows = [row for row in booted.operations if row["kind"].startswith("set_memory_")]
    rows.sort(key=lambda row: row["start_ps"])
    return [row["kind"].removeprefix("set_memory_") for row in rows]


@pytest.mark.parametrize("way", CALLS)
def test_pages_end_up_executable_and_read_only_whatever_the_way(way: str) -> None:
    booted = Booted(profile="linux-6.12-x86_64")

    def program(kernel: KernelHandle) -> Calls:
        area = yield from pages_of(booted, way).allocate(kernel.task, 3)
        assert area is not None
        for page in range(3):
            leaf = booted.kernel.pagetable.walk(area.address + page * 4096)
            assert leaf is not None
            assert not leaf.entry & (NX | RW)

    booted.run(program)
    assert set_memory_calls(booted) == list(CALLS[way])


def test_pages_are_filled_while_they_can_be_written() -> None:
    booted = Booted(profile="linux-5.15-x86_64")
    before: list[int] = []

    def fill(task: Any) -> Calls:
        before.append(len(set_memory_calls(booted)))
        yield from task.compute(1000)

    def program(kernel: KernelHandle) -> Calls:
        yield from pages_of(booted, "ro_x").allocate(kernel.task, 1, fill)

    booted.run(program)
    assert before == [0]
    filled = [row for row in booted.operations if row["kind"] == "set_memory_ro"]
    assert filled[0]["start_ps"] >= 1000


@pytest.mark.parametrize(
    ("profile", "way", "calls"),
    [
        ("linux-4.16-x86_64", "ro", ["ro", "nx", "rw"]),
        ("linux-6.1-x86_64", "ro_x", ["ro", "x"]),  # the flag of the area does it
        ("linux-4.16-arm64", "born", []),
    ],
)
def test_pages_are_made_ordinary_before_they_are_freed_where_no_flag_does_it(
    profile: str, way: str, calls: list[str]
) -> None:
    booted = Booted(profile=profile)
    pages = pages_of(booted, way, ("nx", "rw"))

    def program(kernel: KernelHandle) -> Calls:
        area = yield from pages.allocate(kernel.task, 1)
        assert area is not None
        yield from pages.free(kernel.task, area)

    booted.run(program)
    assert set_memory_calls(booted) == calls
    assert len(booted.kernel.vmalloc.areas) == 0
