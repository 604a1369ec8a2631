"""The page table against a plain dictionary from pages to entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.kernel.geometry import Geometry
from pmsim.kernel.pagetables.entries import FRAME, GLOBAL, NX, PAGE_KERNEL, PRESENT, PSE, RW, Leaf
from pmsim.kernel.pagetables.pagetable import PageTable
from pmsim.units import GIB, MIB, PAGE_SIZE, TIB

BASE = 0xFFFFC90000000000
ENTRIES = 512
SHAPES = {
    "x86-32": Geometry(2, 10, 32),
    "arm32": Geometry(2, 9, 32),
    "x86-32-pae": Geometry(3, 9, 32),
    "sv39": Geometry(3, 9, 39),
    "x86-64": Geometry(4, 9, 48),
    "x86-64-5-level": Geometry(5, 9, 57),
    "arm64-16k": Geometry(4, 11, 48, 14),
    "arm64-64k": Geometry(3, 13, 48, 16),
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def at(page: int, shape: Geometry = SHAPES["x86-64"]) -> int:
    return BASE + page * shape.page_size


PAGES = st.integers(0, 3 * ENTRIES)
COUNTS = st.one_of(st.integers(0, 8), st.integers(500, 530), st.integers(0, 2 * ENTRIES))
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("map"), PAGES, COUNTS, st.integers(0, 1 << 20)),
        st.tuples(st.just("unmap"), PAGES, COUNTS, st.just(0)),
        st.tuples(st.just("clear RW"), PAGES, COUNTS, st.just(0)),
        st.tuples(st.just("set RW"), PAGES, COUNTS, st.just(0)),
        st.tuples(st.just("clear NX"), PAGES, COUNTS, st.just(0)),
    ),
    max_size=12,
)


@given(shape=st.sampled_from(list(SHAPES.values())), changes=CHANGES)
def test_it_does_what_a_dictionary_of_pages_does(
    shape: Geometry, changes: list[tuple[str, int, int, int]]
) -> None:
    table, plain = PageTable(shape), dict[int, int]()
    bits = {"clear RW": (0, RW), "set RW": (RW, 0), "clear NX": (0, NX)}
    for what, first, count, pfn in changes:
        pages = range(first, first + count)
        mapped = [page for page in pages if page in plain]
        if what == "map":
            table.map(at(first, shape), [(pfn, count)])
            plain |= {page: (pfn + i) * FRAME | PAGE_KERNEL for i, page in enumerate(pages)}
        elif what == "unmap":
            assert table.unmap(at(first, shape), count) == len(mapped)
            for page in mapped:
                del plain[page]
        else:
            setting, clearing = bits[what]
            new = {page: (plain[page] | setting) & ~clearing for page in mapped}
            changed = sum(plain[page] != entry for page, entry in new.items())
            assert table.protect(at(first, shape), count, setting, clearing) == changed
            plain |= new
    everything = table.read(BASE, 6 * ENTRIES).tolist()
    assert everything == [plain.get(page, 0) for page in range(6 * ENTRIES)]
    for page in (0, 1, ENTRIES - 1, ENTRIES, 2 * ENTRIES):
        entry = plain.get(page)
        address = at(page, shape)
        assert table.walk(address + 7) == (Leaf(1, address, entry) if entry else None)


RANGES = st.tuples(st.integers(0, 2 * ENTRIES), st.integers(0, 2 * ENTRIES)).map(sorted)


@given(large=st.booleans(), ranges=st.lists(RANGES, max_size=6))
def test_what_is_protected_and_opened_again_is_as_it_was(
    large: bool, ranges: list[list[int]]
) -> None:
    # Two leaves of 2 MiB or their pages, always mapped; leaves that are partly changed are split.
    table = PageTable()
    table.map_linear(BASE, 2 * ENTRIES, 0, 2 if large else 1, PAGE_KERNEL)
    before = table.read(BASE, 2 * ENTRIES).tolist()
    for first, end in ranges:
        for page in (first, end):
            leaf = table.walk(at(page)) if first < end and page < 2 * ENTRIES else None
            if leaf is not None and leaf.level == 2 and page % ENTRIES:
                table.split(at(page))
        closed = table.protect(at(first), end - first, 0, RW)
        entries = table.read(at(first), end - first)
        assert not any(int(entry) & RW for entry in entries)
        assert table.protect(at(first), end - first, 0, RW) == 0
        assert table.protect(at(first), end - first, RW, 0) == closed
        assert table.read(BASE, 2 * ENTRIES).tolist() == before


@EVERY_SHAPE
def test_an_address_is_translated_to_its_frame_and_offset(shape: Geometry) -> None:
    table = PageTable(shape)
    table.map(BASE, [(100, 2), (7, 1)])
    assert table.translate(at(1, shape) + 1) == 101 * shape.page_size + 1
    assert table.translate(at(2, shape) + 5) == 7 * shape.page_size + 5
    assert table.translate(at(3, shape)) is None


def test_an_entry_that_is_not_present_translates_nothing() -> None:
    table = PageTable()
    table.map(BASE, [(1, 1)])
    table.protect(BASE, 1, 0, PRESENT | RW)
    assert table.translate(BASE) is None
    assert table.walk(BASE) == Leaf(1, BASE, PAGE_SIZE | PAGE_KERNEL & ~(PRESENT | RW))


@EVERY_SHAPE
def test_the_first_page_of_a_range_allocates_one_table_per_level(shape: Geometry) -> None:
    table = PageTable(shape)
    table.map(BASE, [(1, 1)])
    # All levels but the root: each new table also costs the entry that points to it.
    assert table.tables_allocated == shape.levels - 1
    assert table.entries_written == shape.levels
    table.map(at(1, shape), [(2, shape.entries)])
    assert table.tables_allocated == shape.levels
    assert table.entries_written == shape.levels + shape.entries + 1


def test_tables_stay_when_what_they_map_is_unmapped() -> None:
    table = PageTable()
    table.map(BASE, [(0, 600)])
    table.unmap(BASE, 600)
    written = table.entries_written
    table.map(BASE, [(0, 600)])
    assert table.tables_allocated == 4
    assert table.entries_written == written + 600


def test_protecting_what_is_protected_writes_nothing() -> None:
    table = PageTable()
    table.map(BASE, [(0, 1000)])
    assert table.protect(BASE, 1000, 0, RW) == 1000
    written = table.entries_written
    assert table.protect(BASE, 1000, 0, RW) == 0
    assert table.entries_written == written


@pytest.mark.parametrize(("level", "size"), [(2, 2 * MIB), (3, GIB)])
def test_a_large_leaf_translates_all_its_pages(level: int, size: int) -> None:
    table = PageTable()
    address, pfn = BASE & -GIB, 3 * GIB // PAGE_SIZE
    table.map_leaf(address, pfn, level)
    assert table.translate(address + size - 1) == 3 * GIB + size - 1
    assert table.translate(address + size) is None
    assert table.walk(address + size // 2) == Leaf(
        level, address, 3 * GIB | PAGE_KERNEL | PSE, size // PAGE_SIZE
    )


def test_a_split_leaf_keeps_frames_and_rights() -> None:
    table = PageTable()
    address = BASE & -GIB
    table.map_leaf(address, GIB // PAGE_SIZE, 3, PAGE_KERNEL & ~RW)
    before = table.read(address, 1024)
    old = table.split(address + 5 * MIB)
    assert (old.level, old.pages) == (3, ENTRIES * ENTRIES)
    inner = Leaf(2, address + 4 * MIB, GIB + 4 * MIB | PAGE_KERNEL & ~RW | PSE, ENTRIES)
    assert table.walk(address + 5 * MIB) == inner
    table.split(address + 5 * MIB)
    page = GIB + 5 * MIB | PAGE_KERNEL & ~RW
    assert table.walk(address + 5 * MIB) == Leaf(1, address + 5 * MIB, page)
    assert table.read(address, 1024).tolist() == before.tolist()
    assert table.leaves_split == 2


def test_only_a_large_leaf_can_be_split() -> None:
    table = PageTable()
    table.map(BASE, [(1, 1)])
    for address in (BASE, at(1)):
        with pytest.raises(ValueError, match="no large leaf"):
            table.split(address)


def test_a_large_leaf_partly_in_a_range_is_refused_if_it_would_change() -> None:
    table = PageTable()
    address = BASE & -GIB
    table.map_leaf(address, 0, 2)
    with pytest.raises(ValueError, match="only partly"):
        table.protect(address, 511, 0, RW)
    with pytest.raises(ValueError, match="only partly"):
        table.unmap(address + PAGE_SIZE, 511)
    assert table.protect(address, 511, RW, 0) == 0
    assert table.protect(address, 512, 0, RW) == 1
    assert table.unmap(address, 512) == 512
    assert table.walk(address) is None


def test_a_leaf_is_aligned_and_replaces_no_table() -> None:
    table = PageTable()
    address = BASE & -GIB
    for bad_address, bad_pfn in ((address + PAGE_SIZE, 0), (address, 1)):
        with pytest.raises(ValueError, match="aligned"):
            table.map_leaf(bad_address, bad_pfn, 2)
    table.map(address, [(5, 1)])
    with pytest.raises(ValueError, match="smaller leaves"):
        table.map_leaf(address, 0, 2)
    table.map_leaf(address + 2 * MIB, 512, 2)
    with pytest.raises(ValueError, match="split it first"):
        table.map(address + 2 * MIB, [(5, 1)])


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_terabytes_that_were_always_mapped_cost_nothing_until_looked_at(
    levels: int, level: int
) -> None:
    table = PageTable(Geometry(levels, 9, 12 + 9 * levels))
    start = 0xFFFF888000000000
    table.map_linear(start, 4 * TIB // PAGE_SIZE, 0, level, PAGE_KERNEL)
    for physical in (0, 12345 * PAGE_SIZE + 8, 4 * TIB - 1):
        assert table.translate(start + physical) == physical
        leaf = table.walk(start + physical)
        assert leaf is not None
        assert leaf.level == level
    assert table.translate(start + 4 * TIB) is None
    assert table.translate(start - 1) is None
    assert (table.tables_allocated, table.entries_written) == (0, 0)


def test_a_range_that_was_always_mapped_reads_as_its_smallest_pages() -> None:
    start = 0xFFFF888000000000
    tables = [PageTable() for _ in range(3)]
    for level, table in enumerate(tables, 1):
        table.map_linear(start, GIB // PAGE_SIZE, 0, level, PAGE_KERNEL)
    reads = [table.read(start + 5 * MIB, 3000).tolist() for table in tables]
    assert reads[0] == reads[1] == reads[2]
    assert reads[0][0] == 5 * MIB | PAGE_KERNEL


def test_a_range_that_was_always_mapped_can_share_a_table_with_others() -> None:
    table = PageTable()
    table.map_linear(BASE, 10, 0, 1, PAGE_KERNEL)
    table.map(at(10), [(99, 1)])
    assert [e >> 12 & 0xFFFF for e in table.read(BASE, 12).tolist()] == [*range(10), 99, 0]


def test_leaves_that_were_always_mapped_are_whole_and_aligned() -> None:
    with pytest.raises(ValueError, match="whole, aligned"):
        PageTable().map_linear(BASE & -GIB, 513, 0, 2, PAGE_KERNEL)


def test_a_run_starts_behind_the_hole_below_it() -> None:
    table = PageTable()
    table.map(at(3), [(0, 1200)])
    table.unmap(at(900), 1)
    assert table.run_start(at(5) + 17) == at(3)
    assert table.run_start(at(899)) == at(3)
    assert table.run_start(at(1202)) == at(901)
    assert table.run_start(at(900)) is None
    assert table.run_start(at(1203)) is None
    assert table.run_start(BASE + GIB) is None


def test_reading_nothing_gives_no_entries() -> None:
    assert PageTable().read(BASE, 0).tolist() == []


def test_flags_given_to_a_mapping_are_its_flags() -> None:
    table = PageTable()
    table.map(BASE, [(3, 2)], PRESENT | GLOBAL)
    assert table.read(BASE, 2).tolist() == [3 << 12 | 0x101, 4 << 12 | 0x101]


@pytest.mark.parametrize(
    ("name", "large", "root_entries"),
    [("x86-32", 4 * MIB, 1024), ("arm32", 2 * MIB, 2048), ("x86-32-pae", 2 * MIB, 4)],
)
def test_a_32_bit_table_has_the_leaves_and_the_top_of_its_kind(
    name: str, large: int, root_entries: int
) -> None:
    # Intel SDM, volume 3, 4.3 and 4.4; arch/arm/include/asm/pgtable-2level.h.
    shape = SHAPES[name]
    assert shape.span(2) * PAGE_SIZE == large
    assert shape.root_entries == root_entries
    assert shape.root_entries * shape.span(shape.levels) * PAGE_SIZE == 4 * GIB


@EVERY_SHAPE
def test_a_linear_range_of_large_leaves_splits_in_every_shape(shape: Geometry) -> None:
    table, start = PageTable(shape), 0xC0000000
    large, page = shape.span(2), shape.page_size
    size = large * page
    table.map_linear(start, 4 * large, 0, 2, PAGE_KERNEL)
    entry = large * FRAME | PAGE_KERNEL | PSE
    assert table.walk(start + size) == Leaf(2, start + size, entry, large)
    table.split(start + size)
    assert table.protect(start + size + 5 * page, 1, 0, RW) == 1
    levels = [table.walk(start + i * size) for i in range(5)]
    assert [leaf and leaf.level for leaf in levels] == [2, 1, 2, 2, None]
    assert table.translate(start + 3 * size - 1) == 3 * size - 1


def test_a_run_goes_on_through_large_leaves() -> None:
    table, address = PageTable(), BASE & -GIB
    table.map_leaf(address, 0, 2)
    table.map_leaf(address + 2 * MIB, ENTRIES, 2)
    table.map(address + 4 * MIB, [(5, 2)])
    for where in (address, address + 3 * MIB, address + 4 * MIB + PAGE_SIZE):
        assert table.run_start(where) == address
    table.split(address + 2 * MIB)
    assert table.run_start(address + 4 * MIB) == address
    table.unmap(address + 2 * MIB, 1)
    assert table.run_start(address + 4 * MIB) == address + 2 * MIB + PAGE_SIZE


def test_a_split_leaf_that_is_alike_again_is_joined() -> None:
    table, address = PageTable(), BASE & -GIB
    table.map_leaf(address, 3 * ENTRIES, 2)
    table.split(address)
    table.protect(address + 5 * PAGE_SIZE, 2, 0, RW)
    assert not table.collapse(address)
    table.protect(address, ENTRIES, 0, RW)
    assert table.collapse(address + 7 * PAGE_SIZE)
    entry = 3 * ENTRIES * PAGE_SIZE | PAGE_KERNEL & ~RW | PSE
    assert table.walk(address + MIB) == Leaf(2, address, entry, ENTRIES)
    with pytest.raises(ValueError, match="split it first"):
        table.map(address, [(7, 1)])
    assert table.read(address, 2).tolist() == [entry & ~PSE, (entry & ~PSE) + PAGE_SIZE]
    assert not table.collapse(address)


@pytest.mark.parametrize(
    "runs",
    [[(3 * ENTRIES, 511)], [(3 * ENTRIES + 1, 512)], [(3 * ENTRIES, 511), (9, 1)]],
    ids=["with a hole", "not aligned", "not in order"],
)
def test_what_could_be_no_large_leaf_is_not_joined(runs: list[tuple[int, int]]) -> None:
    table, address = PageTable(), BASE & -GIB
    table.map(address, runs)
    assert not table.collapse(address)


def test_what_is_not_present_is_not_joined() -> None:
    table, address = PageTable(), BASE & -GIB
    table.map(address, [(0, ENTRIES)])
    table.protect(address, ENTRIES, 0, PRESENT)
    assert not table.collapse(address)
