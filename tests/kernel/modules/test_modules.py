"""Loading and unloading modules on a simulated 6.1."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import asdict, replace
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import ModuleSegments, segments_of
from pmsim.kernel.pagetables.entries import NX, RW
from pmsim.units import MS, PAGE_SIZE, S
from tests.kernel.booted import Booted, Flush, full, ranged

Calls = Generator[Any, Any, Any]

SPREAD = ModuleSegments(
    file_pages=19, core_text=2, core_rodata=3, core_ro_after_init=5, core_data=7,
    init_text=11, init_rodata=13, init_ro_after_init=0, init_data=17,
)  # fmt: skip
"""A module whose segments are told by their sizes."""

SMALL = ModuleSegments(2, 1, 1, 0, 2, 0, 0, 0, 1)
RESET = "reset_perms"


def loaded(booted: Booted, segments: ModuleSegments) -> Module | None:
    """Load one module and return it when all its work is done."""
    found: list[Module | None] = []

    def program(kernel: KernelHandle) -> Calls:
        found.append((yield from kernel.load_module(segments)))

    booted.run(program)
    return found[0]


def kinds(flushes: list[Flush]) -> list[tuple[str, str]]:
    """Return why and how; the span of a reset depends on where frames lie."""
    return [(flush.cause, flush.kind) for flush in flushes]


def calls(booted: Booted) -> list[str]:
    rows = [row for row in booted.operations if row["kind"].startswith("set_memory_")]
    return [f"{row['kind'].removeprefix('set_memory_')}{row['pages']}" for row in rows]


def test_a_load_makes_sixteen_set_memory_calls_in_a_fixed_order() -> None:
    booted = Booted()
    loaded(booted, SPREAD)
    formation = ["ro2", "ro3", "ro11", "ro13", "nx3", "nx5", "nx7", "nx13", "nx17", "x2", "x11"]
    assert calls(booted) == [*formation, "ro2", "ro3", "ro11", "ro13", "ro5"]


def test_a_load_flushes_what_changes_purges_its_file_and_frees_its_init_part() -> None:
    booted = Booted()
    loaded(booted, SPREAD)
    assert booted.flushes[:-1] == [
        *[full("attributes")] * 4,  # read-only: text and constants of core and init
        ranged("attributes", 2),  # executable: the two texts, which touch no alias
        ranged("attributes", 11),
        ranged("purge", 19 + 1),  # the file's buffer, at the first call after init
        full("attributes"),  # read-only after init
    ]
    assert kinds(booted.flushes[-1:]) == [(RESET, "full")]


@pytest.mark.parametrize(
    ("name", "broadcasts"), [("crc7", 5), ("crc32_generic", 7), ("squashfs", 8), ("jfs", 8)]
)
def test_a_load_is_5_7_or_8_broadcasts_by_the_segments_that_it_has(
    name: str, broadcasts: int
) -> None:
    booted = Booted()
    loaded(booted, replace(segments_of(name, "6.1-x86_64"), static_call_sites=0))
    assert len(booted.flushes) == broadcasts


@pytest.mark.parametrize(("pages", "kind"), [(33, "range"), (34, "full")])
def test_the_size_of_the_text_changes_the_kind_of_a_flush_not_the_number(
    pages: int, kind: str
) -> None:
    booted = Booted()
    loaded(booted, replace(SMALL, core_text=pages))
    attributes = [flush.kind for flush in booted.flushes if flush.cause == "attributes"]
    assert attributes == ["full", "full", kind]


@pytest.mark.parametrize(("pages", "kind"), [(32, "range"), (33, "full")])
def test_the_purge_of_the_file_counts_its_guard_page(pages: int, kind: str) -> None:
    booted = Booted()
    loaded(booted, replace(SMALL, file_pages=pages))
    purges = [flush for flush in booted.flushes if flush.cause == "purge"]
    assert [(flush.kind, flush.pages) for flush in purges] == [(kind, pages + 1)]


def test_each_static_call_site_is_a_batch_of_three_serialising_broadcasts() -> None:
    booted = Booted()
    loaded(booted, replace(SMALL, static_call_sites=7))
    patches = [flush for flush in booted.flushes if flush.cause == "text_poke"]
    assert kinds(patches) == [("text_poke", "sync_core")] * 21
    assert [row["crosscalls"] for row in booted.of_kind("text_poke_bp_batch")] == [3] * 7


def test_an_unload_is_one_full_flush() -> None:
    booted = Booted()

    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(SPREAD)
        yield from kernel.task.sleep(S)
        booted.calls.clear()
        assert (yield from kernel.unload_module(module))

    booted.run(program)
    assert kinds(booted.flushes)[-1:] == [(RESET, "full")]
    assert booted.of_kind("unload_module")[0]["crosscalls"] == 1
    assert len(booted.kernel.vmalloc.areas) == 0


def test_a_module_is_protected_segment_by_segment() -> None:
    booted = Booted()
    module = loaded(booted, SPREAD)
    assert module is not None

    def rights(address: int) -> tuple[bool, bool]:
        leaf = booted.kernel.pagetable.walk(address)
        assert leaf is not None
        return bool(leaf.entry & RW), not leaf.entry & NX

    assert rights(module.segment("core_text").address) == (False, True)
    assert rights(module.segment("core_rodata").address) == (False, False)
    assert rights(module.segment("core_ro_after_init").address) == (False, False)
    assert rights(module.segment("core_data").address) == (True, False)


def test_the_init_part_is_freed_a_grace_period_after_the_load_by_a_worker() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=30 * MS))
    loaded(booted, SMALL)
    (load,), (free,) = booted.of_kind("load_module"), booted.of_kind("do_free_init")
    assert free["workload"].startswith("kworker")
    assert free["end_ps"] - load["end_ps"] >= 30 * MS
    assert free["pages"] == SMALL.init


def test_init_parts_that_gather_during_a_grace_period_are_freed_after_the_next_one() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=S))

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(5):
            yield from kernel.load_module(SMALL)

    booted.run(program)
    # The first goes alone, the four that came meanwhile together; each still makes its own flush.
    assert [row["pages"] for row in booted.of_kind("do_free_init")] == [1, 4]
    assert kinds(booted.flushes).count((RESET, "full")) == 5


def test_for_a_module_without_an_init_part_a_worker_waits_and_frees_nothing() -> None:
    booted = Booted()
    loaded(booted, replace(SMALL, init_data=0))
    assert [(r["pages"], r["crosscalls"]) for r in booted.of_kind("do_free_init")] == [(0, 0)]
    assert len(booted.flushes) == 4


def test_a_module_whose_init_fails_is_taken_out_with_two_full_flushes() -> None:
    booted = Booted()
    assert loaded(booted, segments_of("nls_koi8-ru", "6.1-x86_64")) is None
    assert [call.rstrip("0123456789") for call in calls(booted)] == (
        ["ro"] * 4 + ["nx"] * 5 + ["x"] * 2
    )
    # Init, which takes the file's buffer along, then core.
    assert kinds(booted.flushes)[-2:] == [(RESET, "full")] * 2
    assert len(booted.flushes) == 5 + 2
    assert (len(booted.kernel.vmalloc.areas), booted.kernel.modules.loaded) == (0, [])


@pytest.mark.parametrize("room", ["16KiB", "24KiB"])
def test_a_load_without_room_for_the_module_is_refused_and_leaves_nothing(room: str) -> None:
    # A module's core is 4 pages and a guard, its init part 1 and a guard.
    booted = Booted(modules_size=room)
    assert loaded(booted, SMALL) is None
    assert len(booted.kernel.vmalloc.areas) == 0
    # Nothing was protected yet, so that nothing has to be reset.
    assert RESET not in [flush.cause for flush in booted.flushes]


def test_a_load_without_memory_for_the_file_is_refused_at_once() -> None:
    booted = Booted(memory="32MiB")
    assert loaded(booted, replace(SMALL, file_pages=10_000)) is None
    assert calls(booted) == []


def test_a_module_is_unloaded_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(SMALL)
        assert (yield from kernel.unload_module(module)) is True
        assert (yield from kernel.unload_module(module)) is False

    booted = Booted().run(program)
    assert len(booted.of_kind("unload_module")) == 1


def test_unloading_no_module_is_undefined() -> None:
    with pytest.raises(UndefinedBehaviour, match="no module"):
        Booted().run(lambda kernel: kernel.unload_module(None))


def test_module_mutex_is_held_over_the_broadcasts_of_a_pass() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.load_module(SPREAD)

    booted = Booted()
    booted.spawn(program, 0)
    booted.spawn(program, 1)
    booted.run()
    changes = [row for row in booted.operations if row["kind"].startswith("set_memory_")]
    changes.sort(key=lambda row: row["start_ps"])
    # Passes of 11, 11, 5 and 5 calls, one after the other, each of one CPU alone.
    owners = [row["cpu"] for row in changes]
    for begin, end in ((0, 11), (11, 22), (22, 27), (27, 32)):
        assert len(set(owners[begin:end])) == 1
    for before, after in itertools.pairwise(changes):
        assert before["end_ps"] <= after["start_ps"]


def test_an_unload_holds_module_mutex_over_its_grace_period() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=S, module_load=MS))

    def unloader(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(SMALL)
        yield from kernel.unload_module(module)

    def loader(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(100 * MS)
        yield from kernel.load_module(SMALL)

    booted.spawn(unloader, 0)
    booted.spawn(loader, 1)
    booted.run()
    late = booted.of_kind("load_module")[1]
    assert late["lock_wait_ps"] > S // 2


def test_an_unloaded_modules_frames_are_writable_in_the_direct_map_again() -> None:
    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(SMALL)
        assert module is not None
        core = kernel.kernel.vmalloc.find(module.segment("core_text").address)
        assert core is not None
        text = kernel.kernel.direct_map.address(core.runs[0][0])
        assert not (yield from kernel.write(text, 1))
        yield from kernel.unload_module(module)
        assert (yield from kernel.write(text, PAGE_SIZE))

    Booted().run(program)


def test_a_load_takes_the_loaders_time_in_three_parts_and_an_unload_its_own() -> None:
    nothing = dict.fromkeys(asdict(KernelCosts()), 0)
    parts = {"module_load": 1000, "module_link": 200, "module_init": 30, "module_unload": 4}
    booted = Booted(costs=KernelCosts(**{**nothing, **parts}))

    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(SMALL)
        yield from kernel.unload_module(module)

    booted.run(program)
    assert [row["run_ps"] for row in booted.of_kind("load_module")] == [1000 + 200 + 30]
    assert [row["run_ps"] for row in booted.of_kind("do_init_module")] == [30]
    assert [row["run_ps"] for row in booted.of_kind("unload_module")] == [4]


def test_of_the_init_parts_that_have_gathered_the_newest_goes_first() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=S))

    def program(kernel: KernelHandle) -> Calls:
        for pages in (1, 2, 3, 4):
            yield from kernel.load_module(replace(SMALL, init_data=pages))

    booted.run(program)
    workers = [row for row in booted.of_kind("vfree") if row["workload"].startswith("kworker")]
    freed = [row["pages"] for row in sorted(workers, key=lambda row: row["start_ps"])]
    # The first goes alone; its work runs when the others are there.
    assert freed == [1, 4, 3, 2]


def test_a_module_whose_init_fails_is_there_for_a_grace_period_more() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=30 * MS))
    assert loaded(booted, replace(SMALL, init_fails=True)) is None
    (init,) = booted.of_kind("do_init_module")
    # One before it is taken out, and one, under the mutex, as every module that goes.
    assert init["end_ps"] - init["start_ps"] >= 2 * 30 * MS
