"""The page on pmalloc's generations: its tables are what the kernel model gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Flush
from tests.kernel.pool_programs import Calls

DOC = Path(__file__).parents[1] / "docs" / "pmalloc-generations.md"

CHANGES = 100


class Variant(NamedTuple):
    """A column of the tables: a generation, and the mode of its pool."""

    pmalloc: str
    mode: PoolMode


VARIANTS = {
    "v21": Variant("v21", "ro"),
    "v23, auto": Variant("v23", "auto_wr"),
    "prmem": Variant("prmem", "wr"),
    "prmem, start": Variant("prmem", "start"),
    "modern": Variant("modern", "ro"),
}

Step = Callable[[KernelHandle, Any], Calls]


def filling(areas: int) -> Step:
    """Grow the pool by areas and zero them, which one that starts protected does rarely."""

    def fill(kernel: KernelHandle, pool: Any) -> Calls:
        for _ in range(areas):
            yield from kernel.pzalloc(pool, pool.refill)

    return fill


def protect(kernel: KernelHandle, pool: Any) -> Calls:
    yield from kernel.pmalloc_protect_pool(pool)


def drain(kernel: KernelHandle, _pool: Any) -> Calls:
    yield from kernel.vm_unmap_aliases()


def free_an_area(kernel: KernelHandle, _pool: Any) -> Calls:
    yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))


def change(kernel: KernelHandle, pool: Any) -> Calls:
    for _ in range(CHANGES):
        yield from kernel.wr_memcpy(pool.areas[0].mapped.address, 8)


def change_among_others(kernel: KernelHandle, pool: Any) -> Calls:
    """Let a ``set_memory`` call that changes nothing follow each change."""
    other = yield from kernel.vmalloc(PAGE_SIZE)
    for _ in range(CHANGES):
        yield from kernel.wr_memcpy(pool.areas[0].mapped.address, 8)
        yield from kernel.set_memory_nx(other.address, 1)


def destroy(kernel: KernelHandle, pool: Any) -> Calls:
    yield from kernel.pmalloc_destroy_pool(pool)


class Line(NamedTuple):
    """A row of the tables: what is done before, and what is counted."""

    before: Sequence[Step]
    counted: Step


fill = filling(10)

HEADS = ("linux-6.1-x86_64", "linux-6.1-arm64", "40 pages", "destroy on")
"""Heads of the tables of counts."""

LINES = {
    "fill": Line((), fill),
    "protect": Line((fill, drain), protect),
    "protect again": Line((fill, protect, drain), protect),
    "protect again after a vfree": Line((fill, protect, drain, free_an_area), protect),
    "100 changes": Line((fill, protect, drain), change),
    "100 changes among other calls": Line((fill, protect, drain), change_among_others),
    "destroy": Line((fill, protect, drain), destroy),
}


def cell(kernel_name: str, variant: Variant, line: Line, pages: int = 4) -> str:
    """Return what a step broadcasts in a pool of areas of so many pages, in the page's words."""
    booted = Booted(profile=kernel_name, pmalloc=variant.pmalloc)
    if line.counted in (change, change_among_others) and not _changes(booted):
        return "not possible"
    begin: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(pages * PAGE_SIZE, 3, variant.mode)
        for step in line.before:
            yield from step(kernel, pool)
        begin.append(kernel.task.now)
        yield from line.counted(kernel, pool)

    booted.run(program)
    starts = [call["start_ps"] for call in booted.calls]
    return _words([f for f, at in zip(booted.flushes, starts, strict=True) if at >= begin[0]])


def _changes(booted: Booted) -> bool:
    return bool(booted.kernel.pmalloc.generation.rare_writes)


def _words(flushes: Sequence[Flush]) -> str:
    if not flushes:
        return "none"
    kinds = Counter(flush.kind for flush in flushes)
    return " + ".join(f"{kinds[kind]} {kind}" for kind in ("full", "range") if kinds[kind])


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """Return the cells of each table of the page whose head is known, by that head."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for paragraph in DOC.read_text(encoding="utf-8").split("\n\n"):
        first, *lines = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in paragraph.splitlines()
            if line.startswith("|") and not set(line) <= set("|-: ")
        ] or [[""]]
        if first[0] in HEADS:
            found[first[0]] = {
                (line[0], title): value
                for line in lines
                for title, value in zip(first[1:], line[1:], strict=True)
            }
    return found


@pytest.mark.parametrize("kernel_name", HEADS[:2])
def test_the_page_says_of_each_step_what_the_model_broadcasts(kernel_name: str) -> None:
    written = tables()[kernel_name]
    expected = {
        (head, title): cell(kernel_name, variant, line)
        for head, line in LINES.items()
        for title, variant in VARIANTS.items()
    }
    assert written == expected


def test_the_page_says_what_forty_pages_cost_cut_into_areas() -> None:
    expected = {}
    cuts = {"40 areas of 1 page": (40, 1), "10 areas of 4 pages": (10, 4)}
    for head, (areas, pages) in (cuts | {"1 area of 40 pages": (1, 40)}).items():
        protecting = Line((filling(areas), drain), protect)
        destroying = Line((filling(areas), protect, drain), destroy)
        for title, variant, line in (
            ("protect", "v21", protecting),
            ("destroy, v21", "v21", destroying),
            ("destroy, modern", "modern", destroying),
        ):
            expected[head, title] = cell("linux-6.1-x86_64", VARIANTS[variant], line, pages)
    assert tables()["40 pages"] == expected


def test_the_page_says_what_destroying_costs_on_several_kernels() -> None:
    written = tables()["destroy on"]
    assert len(written) == 10
    for (kernel_name, title), counted in written.items():
        assert cell(kernel_name, VARIANTS[title], LINES["destroy"]) == counted


def test_the_page_says_how_many_rare_writes_fill_the_list_of_freed_areas() -> None:
    booted = Booted(64, pmalloc="prmem")
    writes = booted.kernel.purge.lazy_max_pages // 2 + 1
    assert f"{writes:,}rd page written" in DOC.read_text(encoding="utf-8")
