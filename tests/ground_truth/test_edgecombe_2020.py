"""Edgecombe 2020: up to four broadcasts make an area executable, and how later kernels spare them.

Rick Edgecombe's cover letter of 2020 counts what the loading of a module or of a BPF program costs
an area of text on Linux 5.10: a flush for ``set_memory_ro`` and one for ``set_memory_x``, each with
a purge if anything was freed lazily meanwhile. His allocator, which would have needed one for a
module and none for a BPF program, was never merged; the nearest that was is measured beside it.
The profile of 5.15 stands for 5.10: both protect modules and programs by the same calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from tests.ground_truth.published import published
from tests.kernel.booted import Booted
from tests.kernel.module_lives import CANONICAL, life

Calls = Generator[Any, Any, Any]

PARTS = dict(zip(("ro", "purge_for_ro", "x", "purge_for_x"),
                 published("M0764", "M0765", "M0766", "M0767"), strict=True))  # fmt: skip
(UP_TO,) = published("M0768")
WITH_HIS_ALLOCATOR = dict(zip(("module", "program"), published("M0769", "M0770"), strict=True))


def causes_of_text(profile: str, *calls: str, freed_meanwhile: bool) -> Counter[str]:
    """Make an area executable by some calls, while others do or do not free areas."""
    booted = Booted(profile=profile)

    def program(kernel: KernelHandle) -> Calls:
        text = yield from kernel.vmalloc("64KiB")
        assert text is not None
        for call in calls:
            if freed_meanwhile:
                other = yield from kernel.vmalloc("4KiB")
                yield from kernel.vfree(other)
            yield from kernel.kernel.set_memory.by_name(kernel.task, call, text.address, 16)

    booted.run(program)
    return Counter(flush.cause for flush in booted.flushes)


def test_an_area_of_text_takes_up_to_four_broadcasts_on_his_kernel() -> None:
    causes = causes_of_text("linux-5.15-x86_64", "ro", "x", freed_meanwhile=True)
    assert causes == {
        "attributes": PARTS["ro"] + PARTS["x"],
        "purge": PARTS["purge_for_ro"] + PARTS["purge_for_x"],
    }
    assert causes.total() == UP_TO == 4


def test_it_takes_two_where_nothing_was_freed_meanwhile() -> None:
    causes = causes_of_text("linux-5.15-x86_64", "ro", "x", freed_meanwhile=False)
    assert causes == {"attributes": 2}


@pytest.mark.parametrize("profile", ["linux-6.12-x86_64", "linux-6.18-x86_64"])
def test_one_call_for_both_brings_text_down_to_the_one_that_he_aimed_at(profile: str) -> None:
    causes = causes_of_text(profile, "rox", freed_meanwhile=False)
    assert causes.total() == WITH_HIS_ALLOCATOR["module"] == 1
    # A purge can still come on top, as it could with his.
    assert causes_of_text(profile, "rox", freed_meanwhile=True).total() == 2


@pytest.mark.parametrize(
    ("profile", "broadcasts"), [("linux-5.15-x86_64", 2), ("linux-6.1-x86_64", 0)]
)
def test_a_program_in_a_pack_takes_the_none_that_he_aimed_at(profile: str, broadcasts: int) -> None:
    booted = Booted(profile=profile)
    before: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.bpf_prog_load(400)
        assert first is not None
        yield from kernel.task.sleep(10**12)
        before.append(kernel.task.now)
        yield from kernel.bpf_prog_load(400)

    booted.run(program)
    second = [call for call in booted.calls if call["start_ps"] >= before[0]]
    assert len(second) == broadcasts
    assert WITH_HIS_ALLOCATOR["program"] == 0


def test_a_whole_module_is_more_than_an_area_of_text_on_every_kernel() -> None:
    # Constants, init text, the file's buffer and the init area come on top of its text; a cache of
    # executable memory, which groups pages as his second series did, makes it dearer.
    totals = {
        profile: len(life(Booted(profile=f"linux-{profile}-x86_64"), CANONICAL)[0].flushes)
        for profile in ("5.15", "6.1", "6.6", "6.12", "6.18")
    }
    assert {name: totals[name] for name in ("5.15", "6.1", "6.6", "6.12")} == {
        "5.15": 8, "6.1": 8, "6.6": 9, "6.12": 7,
    }  # fmt: skip
    assert totals["6.18"] > 13
