"""Programs that work with pools, for the tests of pmalloc."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.pools import Pool
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Ear

Calls = Generator[Any, Any, Any]


def offsets(booted: Booted, program: Callable[[KernelHandle, Ear], Calls]) -> list[Any]:
    """Run a program and return what it said, addresses as offsets from their area's start."""
    ear = Ear()
    booted.run(lambda kernel: program(kernel, ear))
    areas = [area.mapped for pool in booted.kernel.pmalloc.pools for area in pool.areas]
    return [_offset(word, areas) if isinstance(word, int) else word for word in ear.heard]


def _offset(address: int, areas: list[Any]) -> tuple[int, int]:
    for number, area in enumerate(areas):
        if area.address <= address <= area.address + area.pages * PAGE_SIZE:
            return number, address - area.address
    raise AssertionError(f"{address:#x} is in no area")


def filled(kernel: KernelHandle, areas: int, pages: int = 4) -> Generator[Any, Any, Pool]:
    """Create a pool of so many areas, each full."""
    pool = yield from kernel.pmalloc_create_pool(pages * PAGE_SIZE, 3)
    for _ in range(areas):
        yield from kernel.pmalloc(pool, pages * PAGE_SIZE)
    return pool
