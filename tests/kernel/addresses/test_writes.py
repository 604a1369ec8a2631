"""Writing to kernel memory."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.kernel.addresses.writes import WriteFault
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import PAGE_SIZE, US
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]


def test_a_write_to_protected_memory_is_noted_with_who_where_and_when() -> None:
    booted = Booted()
    faulted: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(4 * PAGE_SIZE)
        assert (yield from kernel.write(area.address, 4 * PAGE_SIZE))
        yield from kernel.set_memory_ro(area.address + PAGE_SIZE, 1)
        assert not (yield from kernel.write(area.address + 5, 2 * PAGE_SIZE))
        faulted.extend((kernel.task.now, area.address + PAGE_SIZE))
        assert (yield from kernel.write(area.address, PAGE_SIZE))

    booted.spawn(program, cpu=2)
    booted.run()
    now, address = faulted
    expected = WriteFault(now, "program 1", 2, 0, address, "read_only")
    assert booted.kernel.faults == [expected]


def test_the_direct_map_is_no_way_around_the_protection() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        assert (yield from kernel.write(alias, 8))
        yield from kernel.set_memory_ro(area.address, 1)
        assert not (yield from kernel.write(alias + 100, 8))

    booted = Booted().run(program)
    (fault,) = booted.kernel.faults
    assert fault.reason == "read_only"
    assert fault.address % PAGE_SIZE == 100


def test_a_write_where_nothing_is_mapped_is_noted_as_such() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        # Into the guard page.
        assert not (yield from kernel.write(area.address + PAGE_SIZE - 1, 2))
        assert not (yield from kernel.write(None, 1))

    booted = Booted().run(program)
    guard, null = booted.kernel.faults
    assert (guard.reason, guard.address % PAGE_SIZE) == ("not_mapped", 0)
    assert (null.reason, null.address) == ("not_mapped", 0)


def test_a_write_costs_its_bytes_up_to_the_fault() -> None:
    costs = KernelCosts(fill_byte=1000, page_fault=US)
    ends: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        ends.append(kernel.task.now)
        yield from kernel.write(area.address, 10)
        ends.append(kernel.task.now)
        yield from kernel.write(area.address + PAGE_SIZE - 3, 10)
        ends.append(kernel.task.now)
        yield from kernel.write(area.address, 0)
        ends.append(kernel.task.now)

    Booted(costs=costs).run(program)
    steps = [later - earlier for earlier, later in itertools.pairwise(ends)]
    assert steps == [10_000, 3_000 + US, 0]


def test_a_negative_size_is_an_error_of_the_program() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.write(0, -1)

    with pytest.raises(ProgramError, match="-1 bytes"):
        Booted().run(program)
