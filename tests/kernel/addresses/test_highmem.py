"""Short mappings of highmem pages: one flush each time that all slots have been gone through."""

from __future__ import annotations

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from tests.kernel.booted import Booted, Flush, full
from tests.kernel.pool_programs import Calls


def maps(kernel: KernelHandle, count: int) -> Calls:
    for _ in range(count):
        slot = yield from kernel.kmap()
        yield from kernel.kunmap(slot)


@pytest.mark.parametrize(
    ("profile", "keys", "slots"),
    [
        ("linux-4.16-x86_32", {"pae": False}, 1024),
        ("linux-4.16-x86_32", {"pae": True}, 512),
        ("linux-6.1-arm32", {}, 512),
    ],
)
def test_everybody_flushes_once_for_all_slots(
    profile: str, keys: dict[str, bool], slots: int
) -> None:
    booted = Booted(2, profile=profile, **keys)
    assert booted.kernel.highmem.slots == slots
    booted.run(lambda kernel: maps(kernel, 2 * slots + slots // 2))
    assert [flush.cause for flush in booted.flushes] == ["kmap"] * 2
    assert {flush.pages for flush in booted.flushes} == {slots}


def test_a_change_of_attributes_first_flushes_slots_that_have_come_back() -> None:
    booted = Booted(2, profile="linux-4.16-x86_32", pae=False)

    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.set_memory_ro(block.address, 1)
        yield from maps(kernel, 1)
        yield from kernel.set_memory_rw(block.address, 1)
        yield from kernel.set_memory_ro(block.address, 1)

    attributes = full("attributes")
    assert booted.run(program).flushes == [
        attributes, Flush("kmap", "full", 1024), attributes, attributes,
    ]  # fmt: skip


def test_a_slot_in_use_is_passed_over_and_none_is_left_when_all_are() -> None:
    booted = Booted(1, profile="linux-6.1-arm32")
    slots: list[int | None] = []

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(513):
            slots.append((yield from kernel.kmap()))

    booted.run(program)
    assert sorted(slot for slot in slots if slot is not None) == list(range(512))
    assert slots[-1] is None
    assert booted.calls == []


def test_a_slot_cannot_be_given_back_twice() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from maps(kernel, 1)
        yield from kernel.kunmap(1)

    with pytest.raises(UndefinedBehaviour, match="kunmap of slot 1, not in use"):
        Booted(1, profile="linux-6.1-arm32").run(program)
