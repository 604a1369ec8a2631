"""Whatever is asked for and in whatever order: areas never overlap, and all of it comes back."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.kernel.handle import KernelHandle
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]
Action = tuple[str, int]

SMALL: dict[str, Any] = {
    "vmalloc_size": "4MiB",
    "lazy_max_unit": "64KiB",
    "vmap_block_pages": 64,
    "vmap_block_limit": 16,
}
"""Ranges that run out, and a lazy list that is purged, within some ten actions."""

KERNELS = pytest.mark.parametrize(
    ("profile", "keys"),
    [
        ("linux-4.16-x86_64", {"modules_size": "1MiB"}),
        ("linux-4.16-x86_32", {"modules_size": "4MiB"}),  # one range for both
        ("linux-5.15-x86_64", {"modules_size": "1MiB"}),
        ("linux-6.1-x86_64", {"modules_size": "1MiB"}),
        ("linux-6.1-x86_64", {"modules_size": "1MiB", "purge_by": "unmap"}),
        ("linux-6.12-x86_64", {"modules_size": "1MiB"}),
        ("linux-6.1-arm64", {"modules_size": "256KiB"}),  # modules fall back to the other range
    ],
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["vmalloc", "vmalloc", "modules", "reset"]), st.integers(1, 90)),
        st.tuples(st.sampled_from(["vmap", "ram", "ram"]), st.integers(0, 5)),
        st.tuples(st.sampled_from(["free", "free", "unram"]), st.integers(0, 30)),
        st.tuples(st.sampled_from(["aliases", "drain", "purge"]), st.just(0)),
    ),
    max_size=40,
)


class User:
    """Does what it is told on one CPU, then gives all back; the last one purges what is freed."""

    def __init__(self, actions: list[Action], everybody: list[User]) -> None:
        self._actions = actions
        self._everybody = everybody
        self.areas: list[Any] = []
        self.mappings: list[Any] = []
        self.done = False
        everybody.append(self)

    def __call__(self, kernel: KernelHandle) -> Calls:
        blocks = []
        for order in range(6):
            blocks.append((yield from kernel.alloc_pages(order)))
        for what, number in self._actions:
            yield from self._do(kernel, what, number, blocks)
            assert_apart(self._everybody)
        while self.areas:
            yield from free(kernel, self.areas.pop())
        while self.mappings:
            yield from kernel.vm_unmap_ram(self.mappings.pop())
        for block in blocks:
            yield from kernel.free_pages(block)
        self.done = True
        if all(user.done for user in self._everybody):
            yield from kernel.kernel.purge.purge(kernel.task)

    def _do(self, kernel: KernelHandle, what: str, number: int, blocks: list[Any]) -> Calls:
        vmalloc, task = kernel.kernel.vmalloc, kernel.task
        made: Any = None
        if what in ("vmalloc", "modules", "reset"):
            where = "vmalloc" if what == "vmalloc" else "modules"
            flag = what == "reset"
            size = number * PAGE_SIZE
            made = yield from vmalloc.vmalloc_in(task, size, where, flush_reset_perms=flag)
        elif what == "vmap":
            made = yield from kernel.vmap(blocks[number])
        elif what == "ram":
            mapping = yield from kernel.vm_map_ram(blocks[number])
            self.mappings += [] if mapping is None else [mapping]
        elif what == "free" and self.areas:
            yield from free(kernel, self.areas.pop(number % len(self.areas)))
        elif what == "unram" and self.mappings:
            yield from kernel.vm_unmap_ram(self.mappings.pop(number % len(self.mappings)))
        elif what in ("aliases", "drain", "purge"):
            calls = {
                "aliases": kernel.vm_unmap_aliases,
                "drain": kernel.drain_vmap_area,
                "purge": lambda: kernel.kernel.purge.purge(task),
            }
            yield from calls[what]()
        self.areas += [] if made is None else [made]


def free(kernel: KernelHandle, area: Any) -> Calls:
    yield from (kernel.vfree if area.allocated else kernel.vunmap)(area)


def spans(users: list[User]) -> Iterator[tuple[int, int]]:
    """Yield first and last page of all that is in use; an area's guard is its own."""
    for user in users:
        for area in user.areas:
            page = area.address // PAGE_SIZE
            yield page, page + area.pages
        for mapping in user.mappings:
            yield mapping.page, mapping.page + mapping.pages - 1


def assert_apart(users: list[User]) -> None:
    for (_, last), (first, _) in pairwise(sorted(spans(users))):
        assert last < first


@KERNELS
@settings(max_examples=25)
@given(one=ACTIONS, other=ACTIONS)
def test_addresses_are_given_once_and_all_of_them_and_all_memory_come_back(
    profile: str, keys: dict[str, Any], one: list[Action], other: list[Action]
) -> None:
    booted = Booted(4, profile=profile, **SMALL, **keys)
    kernel, users = booted.kernel, list[User]()
    ranges = set(kernel.vmalloc.ranges.values())
    before = {where: where.space.blocks() for where in ranges}
    frames = kernel.frames.free
    for cpu, actions in enumerate((one, other)):
        booted.spawn(User(actions, users), cpu)
    booted.run()
    assert len(kernel.vmalloc.areas) == 0
    assert kernel.purge.lazy_pages == 0
    assert {where: where.space.blocks() for where in ranges} == before
    assert kernel.frames.free == frames
    for where in ranges:
        pages = (where.end - where.start) // PAGE_SIZE
        assert not kernel.pagetable.read(where.start, pages).any()
