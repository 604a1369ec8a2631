"""The cache of executable memory of Linux 6.18, and what it makes a module cost.

A load is 13 broadcasts where nothing is split, joined or added to the cache, and up to 16 where
leaves are joined (mm/execmem.c, kernel/module/strict_rwx.c). What else a load may meet is counted
apart: splits of a leaf; that a leaf of 2 MiB is joined again only where nobody else holds a piece
of it that can be written; that a new block is one call and one broadcast for all who share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.memory import CachedText
from pmsim.kernel.text.execmem import FREE_DELAY, Piece, RoxCache
from pmsim.units import MS, PAGE_SIZE, S
from tests.kernel.booted import Booted
from tests.kernel.module_lives import CANONICAL, Step, steps

Calls = Generator[Any, Any, Any]

HUGE_PAGES = 512
"""Pages of a leaf of 2 MiB, of which blocks are made (x86-64, ``PMD_SIZE``)."""

BLOCK = 1
"""Broadcasts of a new block: it becomes read-only and executable."""


def booted_6_18() -> tuple[Booted, RoxCache]:
    booted = Booted(profile="linux-6.18-x86_64")
    memory = booted.kernel.modules._memory
    assert isinstance(memory, CachedText)
    return booted, memory._cache


def taken(cache: RoxCache, task: Task, pages: int) -> Generator[Any, Any, Piece]:
    """Take a piece, for which there is room."""
    piece = yield from cache.allocate(task, pages)
    assert piece is not None
    return piece


def counted(step: Step) -> dict[str, int]:
    return dict(Counter(flush.cause for flush in step.flushes))


def load_and_unload(segments: Any = CANONICAL, *, holds: bool = False) -> tuple[Step, Step]:
    """Load and unload a module; ``holds``: beside a piece that stays writable all the while."""
    booted, cache = booted_6_18()
    begins: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        if holds:
            piece = yield from taken(cache, kernel.task, 1)
            yield from cache.force_rw(kernel.task, piece.address, piece.pages)
            yield from kernel.task.sleep(S)
        begins.append(kernel.task.now)
        module = yield from kernel.load_module(segments)
        yield from kernel.task.sleep(S)
        begins.append(kernel.task.now)
        yield from kernel.unload_module(module)

    booted.run(program)
    load, unload = steps(booted, begins[1])
    if holds:
        # Without the block, its one split, and the two calls that made the piece writable.
        del load.calls[:3], load.flushes[:4]
    return load, unload


def test_a_load_beside_a_writable_piece_is_13_broadcasts_and_an_unload_6() -> None:
    load, unload = load_and_unload(holds=True)
    assert [flush.cause for flush in load.flushes] == [
        *["attributes"] * 4,  # text and init text: not executable, then writable
        *["attributes"] * 3,  # constants read-only; both texts back
        "purge",  # the file's buffer
        "attributes",  # read-only after init
        *["attributes"] * 3,  # init text back to the cache
        "reset_perms",  # init data
    ]
    assert counted(unload) == {"attributes": 3, "reset_perms": 3}


def test_a_load_makes_20_calls_up_to_its_end_and_3_as_init_text_goes_back() -> None:
    load, unload = load_and_unload(holds=True)
    assert load.calls == [
        # Each area as it is allocated, by the order of types; data are writable already.
        *("nx8", "rw8", "nx3", "rw3", "nx4", "rw4", "nx1", "rw1", "nx1", "rw1", "nx3", "rw3"),
        *("ro4", "nx3", "nx4", "nx1", "nx3", "rox8", "rox1"),
        "ro1",
        *("nx1", "rw1", "rox1"),
    ]
    assert len(load.calls) == 20 + 3
    assert unload.calls == ["nx8", "rw8", "rox8"]


def test_alone_in_its_block_a_load_joins_the_leaf_twice_and_splits_it_twice() -> None:
    load, unload = load_and_unload()
    # Joined when init text is protected, for text was before it; and when init text is freed.
    assert counted(load) == {
        "attributes": BLOCK + 11, "collapse": 2, "split": 2, "purge": 1, "reset_perms": 1,
    }  # fmt: skip
    assert counted(unload) == {"attributes": 3, "collapse": 1, "split": 1, "reset_perms": 3}


def test_texts_in_blocks_of_their_own_join_a_leaf_each_which_makes_16() -> None:
    # Text leaves one page of its block, so that init text of two pages needs another.
    segments = replace(CANONICAL, core_text=HUGE_PAGES - 1, init_text=2, file_pages=600)
    load, _ = load_and_unload(segments)
    causes = counted(load)
    assert causes["collapse"] == 3
    assert len(load.flushes) - causes["split"] - 2 * BLOCK == 16


def test_the_free_pieces_of_a_block_are_joined_and_the_lowest_is_taken() -> None:
    booted, cache = booted_6_18()

    def program(kernel: KernelHandle) -> Calls:
        task, pieces = kernel.task, []
        for pages in (3, 1, 2):
            pieces.append((yield from taken(cache, task, pages)))
        first = pieces[0].address // PAGE_SIZE
        assert [piece.address // PAGE_SIZE - first for piece in pieces] == [0, 3, 4]
        assert cache.free_pieces == [(first + 6, HUGE_PAGES - 6)]
        yield from cache.free(task, pieces[0])
        yield from cache.free(task, pieces[2])
        assert cache.free_pieces == [(first, 3), (first + 4, HUGE_PAGES - 4)]
        again = yield from taken(cache, task, 3)
        assert again == pieces[0]
        yield from cache.free(task, again)
        yield from cache.free(task, pieces[1])

    booted.run(program)


def test_a_block_of_which_nothing_is_used_is_freed_lazily_by_a_worker() -> None:
    booted, cache = booted_6_18()
    before: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        piece = yield from taken(cache, kernel.task, 5)
        yield from cache.free(kernel.task, piece)
        yield from kernel.task.sleep(S)
        before.append(len(cache.blocks))

    booted.run(program)
    assert before == [0]
    assert cache.free_pieces == []
    assert len(booted.kernel.vmalloc.areas) == 0
    assert booted.kernel.vmalloc.lazy_pages > HUGE_PAGES
    (freed,) = booted.of_kind("vfree")
    assert freed["workload"].startswith("kworker")
    assert freed["crosscalls"] == 0


def test_a_freed_block_leaves_the_direct_map_writable() -> None:
    booted, cache = booted_6_18()

    def program(kernel: KernelHandle) -> Calls:
        piece = yield from taken(cache, kernel.task, 5)
        block = cache.blocks[piece.address // PAGE_SIZE]
        alias = kernel.kernel.direct_map.address(block.runs[0][0])
        assert not (yield from kernel.write(alias, 1))
        yield from cache.free(kernel.task, piece)
        yield from kernel.task.sleep(S)
        assert (yield from kernel.write(alias, 1))

    booted.run(program)


def test_a_piece_that_cannot_be_freed_for_want_of_memory_is_freed_later() -> None:
    booted, cache = booted_6_18()
    pieces: list[Piece] = []

    def program(kernel: KernelHandle) -> Calls:
        piece = yield from taken(cache, kernel.task, 5)
        pieces.append(piece)
        frames = kernel.kernel.frames
        all_that_is_free = frames.allocate(frames.free)
        assert all_that_is_free is not None
        begin = kernel.task.now
        yield from cache.free(kernel.task, piece)
        assert cache.blocks
        yield from kernel.task.sleep(begin + FREE_DELAY + MS - kernel.task.now)
        assert cache.blocks, "there is no memory at the second attempt either"
        frames.release(all_that_is_free)
        yield from kernel.task.sleep(FREE_DELAY)

    booted.run(program)
    assert cache.blocks == {}
    # Each of the three attempts makes its three calls.
    calls = [row["kind"] for row in booted.operations if row["pages"] == pieces[0].pages]
    assert calls.count("set_memory_rox") == 3


def test_executable_memory_that_does_not_fit_in_huge_pages_is_taken_as_small_ones() -> None:
    # The range for modules has room for a module, not for 2 MiB.
    booted = Booted(profile="linux-6.18-x86_64", modules_size="200KiB")
    found: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(CANONICAL)
        found.append(module is not None)
        found.append(kernel.load_refusal())

    booted.run(program)
    assert found == [True, None]


@pytest.mark.parametrize("room", ["16KiB", "60KiB"])
def test_a_load_for_which_there_is_no_room_gives_everything_back(room: str) -> None:
    booted = Booted(profile="linux-6.18-x86_64", modules_size=room)
    found: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        found.append((yield from kernel.load_module(CANONICAL)))
        refusal = kernel.load_refusal()
        assert refusal is not None
        found.append(refusal.error)

    booted.run(program)
    assert found == [None, -12]


def test_a_new_block_is_not_cleaned_away_before_its_own_piece_is_cut() -> None:
    booted, cache = booted_6_18()
    refused: list[int] = []

    def user(pause: int) -> Any:
        def program(kernel: KernelHandle) -> Calls:
            for number in range(60):
                piece = yield from cache.allocate(kernel.task, HUGE_PAGES)
                if piece is None:
                    refused.append(number)
                else:
                    yield from cache.free(kernel.task, piece)
                yield from kernel.task.compute(pause)

        return program

    for cpu, pause in enumerate((1_000, 70_000_000, 230_000_000)):
        booted.spawn(user(pause), cpu=cpu)
    booted.run()
    assert not refused
