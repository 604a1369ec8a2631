"""Calls and broadcasts of a module's load and unload, by generation and architecture.

The totals are those that the sources give for a canonical module (kernel/module.c, 4.16 and 5.15;
kernel/module/strict_rwx.c, 6.1, 6.6, 6.12, 6.18), on a kernel that does nothing else: nothing was
freed lazily before, no block of vm_map_ram is dirty, no leaf of the direct map is left to split.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.kernel.profiles import load_profile
from tests.kernel.booted import INVLPGB, TLBI, Booted, Flush
from tests.kernel.module_lives import CANONICAL, OLD, Calls, Step, life

ALL = "full"


def kinds(flushes: list[Flush]) -> list[tuple[str, str]]:
    return [(flush.cause, flush.kind) for flush in flushes]


def invalidations(step: Step) -> list[Flush]:
    """Return the flushes of a load or an unload, without calls that only announce code."""
    return [flush for flush in step.flushes if flush.protocol == "tlbi"]


# Linux 4.16


def test_4_16_makes_twenty_calls_and_nine_broadcasts() -> None:
    load, _ = life(Booted(profile="linux-4.16-x86_64"), OLD)
    assert load.calls == [
        *("ro8", "ro4", "ro1", "ro0", "nx4", "nx0", "nx4", "nx0", "nx3"),  # formation
        *("ro8", "ro4", "ro1", "ro0", "ro0"),  # after init
        *("rw1", "rw0", "rw0", "x0", "x0", "x3"),  # init as it was
    ]
    assert kinds(load.flushes) == [
        *[("attributes", ALL)] * 3,  # read-only: text, constants, init text
        *[("attributes", ALL)] * 3,  # not executable: constants, data, init data
        ("purge", ALL),  # the file's buffer
        *[("attributes", ALL)] * 2,  # init text writable, init data executable again
    ]


def test_4_16_frees_init_lazily_and_unloads_with_four_broadcasts() -> None:
    booted = Booted(profile="linux-4.16-x86_64")
    _, unload = life(booted, OLD)
    # The init area is on the lazy list until then: 4 pages and a guard.
    assert unload.of("purge") == [Flush("purge", "range", 5)]
    assert unload.calls == [
        *("rw0", "rw0", "rw0", "x0", "x0", "x0"),  # of an init area that is gone
        *("rw8", "rw4", "rw0", "x4", "x0", "x4"),
    ]
    assert kinds(unload.of("attributes")) == [("attributes", ALL)] * 4
    assert booted.kernel.vmalloc.lazy_pages == 16 + 1


def test_what_is_read_only_after_init_costs_4_16_two_broadcasts_per_load_and_per_unload() -> None:
    load, unload = life(Booted(profile="linux-4.16-x86_64"), CANONICAL)
    # Not executable and read-only; writable and executable again.
    assert len(load.flushes) == 9 + 2
    assert len(unload.of("attributes")) == 4 + 2


def test_without_nx_a_load_is_four_broadcasts_and_the_purge_and_an_unload_two() -> None:
    booted = Booted(profile="linux-4.16-x86_32", pae=False)
    load, unload = life(booted, OLD)
    # Text, constants and init text read-only; init text writable again.
    assert kinds(load.of("attributes")) == [("attributes", ALL)] * 4
    assert kinds(load.of("purge")) == [("purge", ALL)]
    assert len(load.flushes) == 5
    assert kinds(unload.of("attributes")) == [("attributes", ALL)] * 2


def test_with_pae_a_load_of_4_16_on_32_bit_is_that_on_64_bit() -> None:
    load, unload = life(Booted(profile="linux-4.16-x86_32"), OLD)
    wide = life(Booted(profile="linux-4.16-x86_64"), OLD)
    assert (load, unload) == wide


# Linux 5.15 and 6.1


@pytest.mark.parametrize("profile", ["linux-5.15-x86_64", "linux-6.1-x86_64"])
def test_5_15_and_6_1_make_sixteen_calls_and_eight_broadcasts(profile: str) -> None:
    load, unload = life(Booted(profile=profile), CANONICAL)
    assert len(load.calls) == 16
    assert kinds(load.flushes) == [
        *[("attributes", ALL)] * 3,
        *[("attributes", "range")] * 2,  # text and init text executable
        ("purge", ALL),  # 40 pages and a guard
        ("attributes", ALL),  # read-only after init
        ("reset_perms", ALL),
    ]
    assert (unload.calls, kinds(unload.flushes)) == ([], [("reset_perms", ALL)])


# Linux 6.6


def test_6_6_makes_sixteen_calls_and_nine_broadcasts_all_full() -> None:
    load, unload = life(Booted(profile="linux-6.6-x86_64"), CANONICAL)
    assert load.calls == [
        *("ro8", "ro1", "ro4", "ro0", "nx3", "nx4", "nx1", "nx3", "nx0", "x8", "x1"),
        *("ro8", "ro1", "ro4", "ro0", "ro1"),
    ]
    assert kinds(load.flushes) == [
        *[("attributes", ALL)] * 5,
        ("purge", ALL),
        ("attributes", ALL),
        *[("reset_perms", ALL)] * 2,  # init text, init data
    ]
    # Text, constants, read-only after init, data: each is an area.
    assert (unload.calls, kinds(unload.flushes)) == ([], [("reset_perms", ALL)] * 4)


# Linux 6.12


def test_6_12_skips_what_is_absent_and_makes_seven_broadcasts() -> None:
    load, unload = life(Booted(profile="linux-6.12-x86_64"), CANONICAL)
    assert load.calls == ["ro4", "nx3", "nx4", "nx1", "nx3", "rox8", "rox1", "ro4", "ro1"]
    assert kinds(load.flushes) == [
        *[("attributes", ALL)] * 3,  # constants; text; init text
        ("purge", ALL),
        ("attributes", ALL),
        *[("reset_perms", ALL)] * 2,
    ]
    assert kinds(unload.flushes) == [("reset_perms", ALL)] * 4


# arm64


@pytest.mark.parametrize(
    "segments",
    [
        CANONICAL,
        ModuleSegments(
            3, 1, 1, 1, 2, init_text=1, init_rodata=0, init_ro_after_init=0, init_data=2
        ),
        ModuleSegments(
            101, 24, 11, 1, 7, init_text=1, init_rodata=0, init_ro_after_init=0, init_data=11
        ),
    ],
)
def test_6_1_on_arm64_is_5_core_pages_and_2_init_pages_and_15(segments: ModuleSegments) -> None:
    load, unload = life(Booted(profile="linux-6.1-arm64"), segments)
    assert len(invalidations(load)) == 5 * segments.core + 2 * segments.init + 15
    assert {flush.protocol for flush in invalidations(load) + unload.flushes} == {"tlbi"}
    assert kinds(unload.flushes) == [("reset_perms", ALL)]


def test_without_the_alias_a_load_of_6_1_on_arm64_is_one_wait_for_each_call_with_pages() -> None:
    load, unload = life(Booted(profile="linux-6.1-arm64", rodata="on"), CANONICAL)
    with_pages = [call for call in load.calls if not call.endswith("0")]
    # And one for the file's buffer, one for the init area.
    assert len(invalidations(load)) == len(with_pages) + 2 == 15
    assert len(unload.flushes) == 1


@pytest.mark.parametrize(
    ("profile", "areas"),
    # Core and init; every type but init rodata.
    [("linux-6.1-arm64", 2), ("linux-6.1.y-arm64", 2), ("linux-6.12-arm64", 6)],
)
def test_on_arm64_a_load_interrupts_all_cpus_once_for_each_area(profile: str, areas: int) -> None:
    load, _ = life(Booted(profile=profile), CANONICAL)
    assert [flush.protocol for flush in load.flushes[:areas]] == ["ipi"] * areas
    assert len(load.flushes) - len(invalidations(load)) == areas


@pytest.mark.parametrize(
    ("profile", "each"),
    [
        ("linux-6.1-arm64", 1), ("linux-6.12-arm64", 2), ("linux-6.1-arm32", 2),
        ("linux-6.12-riscv64", 0), ("linux-6.1-x86_64", 0),
    ],
)  # fmt: skip
def test_ftrace_flushes_a_page_for_each_function_that_it_makes_ready(
    profile: str, each: int
) -> None:
    plain, _ = life(Booted(profile=profile), CANONICAL)
    traced, _ = life(Booted(profile=profile), replace(CANONICAL, traced_functions=83))
    assert len(traced.flushes) - len(plain.flushes) == 83 * each


def test_an_erratum_makes_every_kernel_flush_of_a_load_interrupt_all_other_cpus() -> None:
    segments = replace(CANONICAL, traced_functions=83)
    load, _ = life(Booted(profile="linux-6.1-arm32"), segments)
    tlbi = replace(TLBI, erratum_798181=True)
    called, _ = life(Booted(profile="linux-6.1-arm32", tlbi=tlbi), segments)
    # Mappings that code was written through are flushed without a call.
    flushes = [flush for flush in load.flushes if flush.cause != "text_poke"]
    assert len(called.flushes) == len(load.flushes) + len(flushes)


def test_riscv_fences_for_each_area_and_each_alternative() -> None:
    load, _ = life(Booted(profile="linux-6.12-riscv64"), replace(CANONICAL, alternatives=3))
    assert sum(flush.kind == "sync_core" for flush in load.flushes) == 6 + 3


def test_4_16_on_arm64_is_one_wait_for_each_call_with_pages_and_purges_nothing() -> None:
    load, unload = life(Booted(profile="linux-4.16-arm64"), CANONICAL)
    with_pages = [call for call in load.calls if not call.endswith("0")]
    assert len(load.flushes) == len(with_pages) == 13
    assert len(unload.flushes) == len([c for c in unload.calls if not c.endswith("0")]) == 6
    # Constants, text, data: with nothing read-only after init.
    assert len(life(Booted(profile="linux-4.16-arm64"), OLD)[1].flushes) == 4


def test_6_12_on_arm64_goes_by_the_pages_of_each_area() -> None:
    booted = Booted(profile="linux-6.12-arm64")
    load, unload = life(booted, CANONICAL)
    text, rodata, ro_after_init, init_text = 8, 4, 1, 1
    formation_and_after = text + init_text + 2 * rodata + ro_after_init + 11
    assert len(invalidations(load)) == formation_and_after + 1 + 2
    assert kinds(unload.flushes) == [("reset_perms", ALL)] * 4


def test_6_18_on_arm64_protects_constants_once() -> None:
    twice, _ = life(Booted(profile="linux-6.12-arm64"), CANONICAL)
    once, unload = life(Booted(profile="linux-6.18-arm64"), CANONICAL)
    assert len(twice.flushes) - len(once.flushes) == CANONICAL.core_rodata + 1
    assert kinds(unload.flushes) == [("reset_perms", ALL)] * 4


# The others: one wait for each call with pages, since none asks whether anything changed


@pytest.mark.parametrize(
    ("profile", "protocol"), [("linux-6.1-arm32", "tlbi"), ("linux-6.1-riscv64", "sbi")]
)
def test_arm32_and_riscv_tell_all_cpus_of_each_call_with_pages(profile: str, protocol: str) -> None:
    load, unload = life(Booted(profile=profile), CANONICAL)
    with_pages = [call for call in load.calls if not call.endswith("0")]
    assert len(with_pages) == 13
    assert len(load.of("attributes")) == len(with_pages)
    assert len(load.of("reset_perms")) == len(unload.of("reset_perms")) == 1
    assert {flush.protocol for flush in load.flushes} == {protocol}


def test_6_12_on_riscv_flushes_twice_for_each_page_of_an_area_that_is_freed() -> None:
    load, unload = life(Booted(profile="linux-6.12-riscv64"), CANONICAL)
    # The two direct-map calls that promise not to flush do: 2 per page, and 1 for the area.
    assert len(load.of("reset_perms")) == 2 * CANONICAL.init + 2
    assert len(unload.of("reset_perms")) == 2 * CANONICAL.core + 4


# Note (a): calls about nothing purge all the same


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-6.1-x86_64", "linux-6.6-x86_64"])
def test_a_call_about_an_absent_segment_is_made(profile: str) -> None:
    load, _ = life(Booted(profile=profile), replace(CANONICAL, init_text=0, init_data=0))
    assert len(load.calls) == len(life(Booted(profile=profile), CANONICAL)[0].calls)


# Splits of the direct map come on top, where the pages are fresh


@pytest.mark.parametrize("version", ["4.16", "5.15", "6.1", "6.6", "6.12"])
def test_a_first_load_splits_the_leaf_that_its_pages_are_in_and_a_second_one_nothing(
    version: str,
) -> None:
    profile = f"linux-{version}-x86_64"
    segments = OLD if version == "4.16" else CANONICAL
    plain = life(Booted(profile=profile), segments)
    booted = Booted(profile=profile, direct_map_leaf="2MiB")
    first = life(booted, segments)
    # All pages of a module of 20 come from the same 2 MiB, and a split stays.
    causes = [[flush.cause for flush in step.flushes] for step in first]
    assert [step.count("split") for step in causes] == [1, 0]
    assert [[cause for cause in step if cause != "split"] for step in causes] == [
        [flush.cause for flush in step.flushes] for step in plain
    ]
    assert booted.kernel.pagetable.leaves_split == 1


# Note (b): a block of vm_map_ram that is dirty and still in use


@pytest.mark.parametrize(
    ("profile", "more"),
    [
        # One for every call but that which purges the file's buffer, and takes the block along.
        ("linux-5.15-x86_64", 16 - 1),
        ("linux-6.1-x86_64", 16 - 1),
        ("linux-6.6-x86_64", 1),
        ("linux-6.12-x86_64", 1),
    ],
)
def test_a_dirty_block_makes_every_call_flush_up_to_6_4_and_one_since(
    profile: str, more: int
) -> None:
    plain, _ = life(Booted(profile=profile), CANONICAL)
    booted = Booted(profile=profile)

    def leave_dirty(kernel: KernelHandle) -> Calls:
        pages = yield from kernel.alloc_pages(0)
        assert pages is not None
        stays = yield from kernel.vm_map_ram(pages)
        assert stays is not None
        goes = yield from kernel.vm_map_ram(pages)
        assert goes is not None
        yield from kernel.vm_unmap_ram(goes)

    booted.spawn(leave_dirty, 1)
    dirty, _ = life(booted, CANONICAL)
    assert len(dirty.flushes) == len(plain.flushes) + more


def test_a_load_does_not_patch_static_calls_where_there_are_none() -> None:
    segments = replace(CANONICAL, static_call_sites=7)
    assert load_profile("linux-4.16-x86_64").static_calls is False
    assert life(Booted(profile="linux-4.16-x86_64"), segments)[0].of("text_poke") == []
    assert len(life(Booted(), segments)[0].of("text_poke")) == 21


@pytest.mark.parametrize(
    ("profile", "broadcasts"),
    [
        ("linux-4.16-x86_64", 3 * (300 + 2)),  # site by site
        ("linux-6.1-x86_64", 3 * (2 + 1)),  # by key, at most 256 sites at a time
    ],
)
def test_sites_of_keys_that_are_enabled_are_patched_as_the_module_comes(
    profile: str, broadcasts: int
) -> None:
    booted = Booted(profile=profile)
    load, _ = life(booted, replace(CANONICAL, enabled_keys=(300, 2)))
    assert len(load.of("text_poke")) == broadcasts
    # After its permissions are set, before its init.
    causes = [flush.cause for flush in load.flushes]
    first = causes.index("text_poke")
    assert set(causes[first : first + broadcasts]) == {"text_poke"}
    assert causes[first + broadcasts] == "purge"


def test_where_the_cpu_broadcasts_invalidations_a_load_of_6_18_interrupts_nobody() -> None:
    by_ipi, _ = life(Booted(profile="linux-6.18-x86_64"), CANONICAL)
    load, unload = life(Booted(profile="linux-6.18-x86_64", tlbi=INVLPGB), CANONICAL)
    assert {flush.protocol for flush in load.flushes + unload.flushes} == {"tlbi"}
    assert len(load.flushes) == len(by_ipi.flushes)
