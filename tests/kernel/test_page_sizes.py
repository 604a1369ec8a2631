"""Pages of 16 and 64 KiB: what the kernel's formulas make of them, each written out.

Closed forms are those of arch/arm64 (pgtable-hwdef.h, tlbflush.h, memory.h, sparsemem.h) and of
mm/vmalloc.c; nothing here was read off a run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError, ScenarioError
from pmsim.kernel.costs import BY_BYTE, KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.keys.values import PAGE_SIZES
from pmsim.kernel.modules.segments import SEGMENT_NAMES, known_modules
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.kernel.tlbflush import Cause
from pmsim.units import GIB, KIB, MIB
from tests.kernel.booted import TLBI_RANGE, Booted, dvm, dvm_all

Calls = Generator[Any, Any, Any]
ARM64 = [name for name in profile_names() if name.endswith("arm64")]
LARGER = [16 * KIB, 64 * KIB]
EVERY_SIZE = pytest.mark.parametrize("page", PAGE_SIZES, ids=lambda page: f"{page // KIB}KiB")


def booted(page: int, profile: str = "linux-6.1-arm64", cpus: int = 4, **keys: Any) -> Booted:
    return Booted(cpus, profile=profile, page_size=f"{page}B", **keys)


def level_shift(page: int, n: int) -> int:
    """ARM64_HW_PGTABLE_LEVEL_SHIFT (arch/arm64/include/asm/pgtable-hwdef.h)."""
    return (page.bit_length() - 1 - 3) * (4 - n) + 3


@EVERY_SIZE
@pytest.mark.parametrize("name", ARM64)
def test_the_page_table_has_the_shape_of_pgtable_hwdef(page: int, name: str) -> None:
    profile = load_profile(name, {"page_size": f"{page}B"})
    geometry = profile.geometry
    # ARM64_HW_PGTABLE_LEVELS of 48 bits; a table is a page of entries of 8 bytes.
    assert geometry.levels == (48 - 4) // (page.bit_length() - 1 - 3)
    assert geometry.entries == page // 8
    assert geometry.span(2) * page == 1 << level_shift(page, 2)
    top = 1 << level_shift(page, 4 - geometry.levels)
    assert geometry.span(geometry.levels) * page == profile.top_level_span == top
    assert geometry.root_entries == (1 << 48) // top


@pytest.mark.parametrize(("page", "leaf"), [(16 * KIB, 32 * MIB), (64 * KIB, 512 * MIB)])
def test_blocks_are_those_of_arms_manual(page: int, leaf: int) -> None:
    profile = load_profile("linux-6.1-arm64", {"page_size": f"{page}B"})
    assert profile.geometry.leaf_sizes == [page, leaf]


@EVERY_SIZE
@pytest.mark.parametrize("cpus", [1, 3, 64])
def test_32_mib_may_gather_for_each_bit_of_the_number_of_cpus(page: int, cpus: int) -> None:
    assert (
        booted(page, cpus=cpus).kernel.purge.lazy_max_pages == cpus.bit_length() * 32 * MIB // page
    )


@EVERY_SIZE
def test_areas_of_a_page_are_purged_as_often_as_their_bytes_say(page: int) -> None:
    # Each frees two pages, its guard included; the limit is 32 MiB on one CPU.
    each, times = 32 * MIB // page // 2 + 1, 2

    def churn(kernel: KernelHandle) -> Calls:
        for _ in range(times * each):
            yield from kernel.vfree((yield from kernel.vmalloc(page)))

    found = booted(page, cpus=1).run(churn)
    assert [row["pages"] for row in found.of_kind("purge")] == [2 * each] * times


PTRS_PER_PTE = {4 * KIB: 512, 16 * KIB: 2048, 64 * KIB: 8192}


@EVERY_SIZE
@pytest.mark.parametrize(
    ("profile", "limit"),
    [
        # MAX_TLB_RANGE; above MAX_TLBI_OPS; from MAX_DVM_OPS on.
        ("linux-4.16-arm64", lambda page: 1024),
        ("linux-6.1-arm64", lambda page: PTRS_PER_PTE[page]),
        ("linux-6.12-arm64", lambda page: PTRS_PER_PTE[page]),
        ("linux-6.18-arm64", lambda page: PTRS_PER_PTE[page] - 1),
    ],
)
def test_a_range_of_up_to_a_tables_pages_is_dropped_page_by_page(
    page: int, profile: str, limit: Any
) -> None:
    most = limit(page)

    def flush(kernel: KernelHandle) -> Calls:
        start = kernel.profile.vmalloc_start
        yield from kernel.flush_tlb_kernel_range(start, start + most * page)
        yield from kernel.flush_tlb_kernel_range(start, start + (most + 1) * page)

    found = booted(page, profile).run(flush).flushes
    assert found == [dvm("request", most), dvm_all("request", most + 1)]


@pytest.mark.parametrize("page", LARGER)
def test_a_unit_of_an_operation_on_ranges_is_of_the_kernels_pages(page: int) -> None:
    # 64 MiB: one operation of 2^(5 scale + 1) pages times 1 to 32, as 64 MiB is a power of two.
    keys = {"page_size": f"{page}B"}
    machine = Booted(2, profile="linux-6.18-arm64", tlbi=TLBI_RANGE, **keys)
    pages = 64 * MIB // page
    machine.run(
        lambda kernel: kernel.kernel.tlbflush.flush_pages(kernel.task, pages, Cause.REQUEST)
    )
    assert machine.flushes == [dvm("request", pages, 1)]


@EVERY_SIZE
def test_rodata_full_protects_the_alias_of_every_page_by_itself(page: int) -> None:
    pages = MIB // page

    def protect(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(MIB)
        assert area.pages == pages
        assert (yield from kernel.set_memory_ro(area.address, pages)) == 0

    found = booted(page).run(protect).flushes
    assert found == [dvm("attributes", 1)] * pages + [dvm("attributes", pages)]


@pytest.mark.parametrize(("page", "leaf"), [(16 * KIB, 32 * MIB), (64 * KIB, 512 * MIB)])
def test_a_huge_area_is_made_of_the_blocks_that_there_are(page: int, leaf: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        small = yield from kernel.vmalloc_huge(leaf - 1)
        large = yield from kernel.vmalloc_huge(leaf + 1)
        assert (small.leaf, small.pages) == (1, leaf // page)
        assert (large.leaf, large.pages, large.address % leaf) == (
            leaf // page,
            2 * leaf // page,
            0,
        )

    booted(page).run(program)


def test_a_kernel_stack_is_at_least_a_page_on_a_multiple_of_twice_its_size() -> None:
    def program(kernel: KernelHandle) -> Calls:
        stack = yield from kernel.alloc_thread_stack()
        assert (stack.pages, stack.address % (128 * KIB)) == (1, 0)

    booted(64 * KIB).run(program)


@pytest.mark.parametrize(
    ("page", "size", "pages"),
    [
        # size / page * 64 bytes of descriptors: of 2 MiB less than a page, so that nothing is done.
        (16 * KIB, 2 * MIB, 0),
        (16 * KIB, 32 * MIB, 8),
        (16 * KIB, GIB, 256),
        (64 * KIB, 2 * MIB, 0),
        (64 * KIB, 512 * MIB, 8),
    ],
)
def test_descriptors_of_huge_pages_lie_in_small_ones_and_split_nothing(
    page: int, size: int, pages: int
) -> None:
    found = booted(page).run(lambda kernel: kernel.hugetlb_vmemmap_optimize(3, size)).flushes
    assert found == ([dvm("vmemmap", pages - 1)] * 3 if pages else [])


def test_a_size_that_no_huge_page_has_is_refused() -> None:
    with pytest.raises(ProgramError, match="no huge page"):
        booted(64 * KIB).run(lambda kernel: kernel.hugetlb_vmemmap_optimize(1, GIB))


@pytest.mark.parametrize(("page", "section"), [(16 * KIB, 128 * MIB), (64 * KIB, 512 * MIB)])
def test_a_section_that_goes_is_a_flush_for_each_descriptor_page_entry_and_table(
    page: int, section: int
) -> None:
    pages = section // page
    flushes = pages * 64 // page + pages + pages // PTRS_PER_PTE[page]
    found = booted(page, cpus=2).run(lambda kernel: kernel.arch_remove_memory()).flushes
    assert found == [dvm("hot_remove", 1)] * flushes


@pytest.mark.parametrize("page", LARGER)
def test_a_measured_module_has_its_segments_in_larger_pages(page: int) -> None:
    times = page // (4 * KIB)
    for module in known_modules("6.1-arm64").values():
        larger = module.in_pages_of(page)
        for name in ("file_pages", *SEGMENT_NAMES):
            small, large = getattr(module, name), getattr(larger, name)
            # The fewest pages that hold as many bytes.
            assert (large - 1) * times < small <= large * times or small == large == 0
        assert larger.traced_functions == module.traced_functions


def test_what_goes_with_bytes_costs_more_for_a_larger_page() -> None:
    costs, larger = KernelCosts(), booted(64 * KIB).kernel.costs
    for name in KernelCosts.__dataclass_fields__:
        times = 16 if name in BY_BYTE else 1
        assert getattr(larger, name) == times * getattr(costs, name)


@pytest.mark.parametrize("name", [name for name in profile_names() if name not in ARM64])
def test_other_architectures_have_pages_of_4_kib_alone(name: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile(name, {"page_size": "64KiB"})
    (fault,) = error.value.faults
    assert (fault.file, fault.code) == ("kernel.page_size", "impossible")
    assert fault.hint == "it can have 4KiB"


@pytest.mark.parametrize(
    ("keys", "place", "hint"),
    [
        ({"page_size": "8KiB"}, "kernel.page_size", "it can have 4KiB or 16KiB or 64KiB"),
        ({"page_size": "64KiB", "thread_stack": "16KiB"}, "kernel.thread_stack", "for example"),
        ({"page_size": "64KiB", "direct_map_leaf": "2MiB"}, "kernel.direct_map_leaf", "512MiB"),
        ({"page_table_levels": 3}, "kernel.page_table_levels", "48 bits take 4"),
        ({"page_size": "64KiB", "page_table_levels": 4}, "kernel.page_table_levels", "take 3"),
    ],
)
def test_what_does_not_go_with_the_pages_is_refused_at_its_key(
    keys: dict[str, Any], place: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile("linux-6.1-arm64", keys)
    (fault,) = error.value.faults
    assert fault.file == place
    assert hint in fault.hint


@pytest.mark.parametrize("text", ["64KiB", "64 KiB", "65536B"])
def test_a_size_may_be_written_in_any_way(text: str) -> None:
    assert load_profile("linux-6.1-arm64", {"page_size": text}).ceiling == 8192
