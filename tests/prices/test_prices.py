"""The price list against the counts that follow from reading the kernels' code."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from pmsim.errors import ScenarioError
from pmsim.kernel.profiles import profile_names
from pmsim.prices import meter
from pmsim.prices.catalogue import CANONICAL_MODULE, CATALOGUE, CODE, MEMORY, Sizes
from pmsim.prices.formats import COLUMNS, as_csv, as_json, as_markdown
from pmsim.prices.listing import PriceList, price_list
from pmsim.prices.meter import Price
from pmsim.prices.offers import Offer, offers
from pmsim.units import NS, PAGE_SIZE

ALL = profile_names()
X86 = [name for name in ALL if "x86" in name]
K, P = 10, 4


def offer(kernel: str, platform: str | None = None, cpus: int | None = None) -> Offer:
    (found,) = offers([kernel], [] if platform is None else [platform], cpus)
    return found


def price(
    kernel: str,
    operation: str,
    sizes: Sizes | None = None,
    platform: str | None = None,
    working_set: int = 512,
) -> Price:
    found = price_or_none(kernel, operation, sizes, platform, working_set)
    assert found is not None
    return found


def price_or_none(
    kernel: str,
    operation: str,
    sizes: Sizes | None = None,
    platform: str | None = None,
    working_set: int = 512,
) -> Price | None:
    one, priced = offer(kernel, platform), CATALOGUE[operation]
    return meter.price(one.machine, one.profile, priced, sizes or Sizes(K, P), working_set)


@pytest.mark.parametrize("kernel", ALL)
@pytest.mark.parametrize("operation", ["create", "grow", "vfree", "protect_again", "rare_write"])
def test_what_changes_no_permission_and_starts_no_purge_broadcasts_nothing(
    kernel: str, operation: str
) -> None:
    assert price(kernel, operation).broadcasts == 0


@pytest.mark.parametrize("kernel", ALL)
@pytest.mark.parametrize("operation", ["vfree", "rare_write"])
def test_a_page_freed_leaves_itself_and_its_guard_on_the_lazy_list(
    kernel: str, operation: str
) -> None:
    assert price(kernel, operation).lazy_pages == 2


@pytest.mark.parametrize("kernel", X86)
def test_protecting_is_a_full_flush_for_each_area_on_every_x86(kernel: str) -> None:
    for areas, pages in ((K, P), (1, 40), (3, 1)):
        found = price(kernel, "protect", Sizes(areas, pages))
        assert (found.full, found.range, found.sync) == (areas, 0, 0)


@pytest.mark.parametrize("kernel", X86)
@pytest.mark.parametrize("pages", [1, 32, 33])
def test_destroying_on_x86_flushes_each_area_and_purges_all_but_the_last(
    kernel: str, pages: int
) -> None:
    found = price(kernel, "destroy", Sizes(K, pages))
    # A purge of an area and its guard is ranged up to 33 pages.
    ranged = K - 1 if pages + 1 <= 33 else 0
    assert (found.full, found.range) == (K + K - 1 - ranged, ranged)
    assert found.lazy_pages == pages + 1


@pytest.mark.parametrize("kernel", ["linux-6.1-arm64", "linux-6.18-arm64"])
@pytest.mark.parametrize(("areas", "pages"), [(K, P), (1, 40)])
def test_arm64_with_rodata_full_flushes_each_page_once_more_in_the_linear_map(
    kernel: str, areas: int, pages: int
) -> None:
    sizes = Sizes(areas, pages)
    assert price(kernel, "protect", sizes).broadcasts == areas * (pages + 1)
    assert price(kernel, "destroy", sizes).broadcasts == areas * (pages + 1) + areas - 1


@pytest.mark.parametrize(
    ("kernel", "again"), [("linux-6.1-x86_64", 0), ("linux-6.1-arm64", K * (P + 1))]
)
def test_prmem_protects_everything_again_which_only_arm64_flushes(kernel: str, again: int) -> None:
    assert price(f"{kernel},pmalloc=prmem", "protect_again").broadcasts == again


@pytest.mark.parametrize("kernel", ["linux-6.1-x86_64", "linux-6.12-x86_64", "linux-6.1-arm64"])
def test_a_port_with_reset_perms_destroys_an_area_with_one_full_flush(kernel: str) -> None:
    found = price(f"{kernel},pmalloc=modern", "destroy")
    assert (found.full, found.range) == (K, 0)


def test_one_big_refill_beats_many_small_ones() -> None:
    # 40 pages, as 40 areas and as one.
    for sizes, protect, destroy in ((Sizes(40, 1), 40, 79), (Sizes(1, 40), 1, 1)):
        assert price("linux-6.1-x86_64", "protect", sizes).broadcasts == protect
        assert price("linux-6.1-x86_64", "destroy", sizes).broadcasts == destroy


def test_protecting_on_arm64_6_1_carries_two_invalidations_for_each_page() -> None:
    assert price("linux-6.1-arm64", "protect").invalidations == 2 * K * P


@pytest.mark.parametrize(
    "kernel",
    ["linux-4.16-arm64", "linux-6.1-arm64,rodata=on", "linux-6.18-arm64,rodata=on"],
)
def test_arm64_without_the_linear_alias_flushes_each_area_once(kernel: str) -> None:
    assert price(kernel, "protect").broadcasts == K


def test_destroying_on_arm64_4_16_leaves_everything_lazily_freed() -> None:
    found = price("linux-4.16-arm64", "destroy")
    assert (found.broadcasts, found.lazy_pages) == (K, K * (P + 1))


@pytest.mark.parametrize(
    ("kernel", "load", "unload"),
    [
        ("linux-4.16-x86_64", 9, 4),
        ("linux-5.15-x86_64", 8, 1),
        ("linux-6.1-x86_64", 8, 1),
        ("linux-6.6-x86_64", 9, 4),
        ("linux-6.12-x86_64", 7, 4),
        ("linux-4.16-x86_32", 9, 4),
        ("linux-4.16-x86_32,pae=false", 5, 2),
        # And an interrupt for each of two areas, a flush for each of 83 traced functions.
        ("linux-6.1-arm64", 5 * 16 + 2 * 4 + 15 + 2 + 83, 1),
    ],
)
def test_a_module_costs_what_reading_the_loader_gives(kernel: str, load: int, unload: int) -> None:
    assert price(kernel, "load").broadcasts == load
    assert price(kernel, "unload").broadcasts == unload


def test_the_module_of_the_worked_example_has_16_pages_and_4_for_its_init() -> None:
    assert (CANONICAL_MODULE.core, CANONICAL_MODULE.init) == (16, 4)


@pytest.mark.parametrize("platform", ["skylake-sp-2s", "epyc-turin"])
def test_a_load_from_the_cache_of_executable_memory_is_13_to_16_broadcasts_and_two_splits(
    platform: str,
) -> None:
    load = price("linux-6.18-x86_64", "load", platform=platform).broadcasts
    unload = price("linux-6.18-x86_64", "unload", platform=platform).broadcasts
    assert 13 <= load - 2 <= 16
    assert 6 <= unload - 1 <= 7


@pytest.mark.parametrize("operation", ["protect", "destroy", "load", "unload", "purge"])
def test_invlpgb_makes_as_many_broadcasts_as_interrupts_do_and_interrupts_nobody(
    operation: str,
) -> None:
    by_interrupts = price("linux-6.18-x86_64,invalidate_by=ipi", operation, platform="epyc-turin")
    by_invlpgb = price("linux-6.18-x86_64", operation, platform="epyc-turin")
    assert by_invlpgb.broadcasts == by_interrupts.broadcasts
    assert (by_invlpgb.interrupts, by_invlpgb.interrupted) == (0, 0)
    assert by_interrupts.interrupts == 511 * by_interrupts.broadcasts


def test_code_is_patched_by_interrupts_even_where_invlpgb_invalidates() -> None:
    found = price("linux-6.18-x86_64", "static_key", platform="epyc-turin")
    assert (found.sync, found.interrupts, found.invalidations) == (3, 3 * 511, 0)


@pytest.mark.parametrize(("sites", "calls"), [(1, 3), (8, 3), (256, 3), (257, 6)])
def test_sites_are_patched_in_batches_of_256(sites: int, calls: int) -> None:
    assert price("linux-6.1-x86_64", "static_key", Sizes(sites=sites)).sync == calls


def test_linux_4_16_patches_site_by_site() -> None:
    assert price("linux-4.16-x86_64", "static_key", Sizes(sites=8)).sync == 24


@pytest.mark.parametrize(
    ("kernel", "load"),
    [("linux-4.16-x86_64", 2), ("linux-5.15-x86_64", 2), ("linux-6.1-x86_64", 0)],
)
def test_a_bpf_program_costs_two_flushes_until_many_share_a_pack(kernel: str, load: int) -> None:
    assert price(kernel, "bpf_load").broadcasts == load


@pytest.mark.parametrize("kernel", ALL)
def test_a_stack_that_is_not_kept_is_freed_lazily_with_its_guard(kernel: str) -> None:
    found = price_or_none(kernel, "thread_exit")
    pages = offer(kernel).profile.thread_stack // PAGE_SIZE
    lazily = None if found is None else (found.broadcasts, found.lazy_pages)
    assert lazily == ((0, pages + 1) if pages else None)


def test_x86_64_maps_stacks_of_16_kib() -> None:
    assert price("linux-6.1-x86_64", "thread_exit").lazy_pages == 5


def test_interrupts_are_broadcasts_times_the_other_cpus() -> None:
    found = price("linux-6.1-x86_64", "destroy", platform="skylake-sp-2s")
    assert found.interrupts == (K + K - 1) * 55
    assert found.interrupted == 55


def test_a_purge_steals_a_handler_from_every_other_cpu_and_empties_its_tlb() -> None:
    one = offer("linux-6.1-x86_64")
    costs = one.machine.costs
    found = price("linux-6.1-x86_64", "purge")
    assert found.full == 1
    assert found.stolen_ps == 55 * (costs.ipi.entry + costs.tlb.flush_all + costs.ipi.exit)
    assert found.refill_ps == 55 * 512 * costs.tlb.walk


def test_a_broadcast_invalidation_steals_the_stated_share_of_service_and_recovery() -> None:
    one = offer("linux-6.1-arm64")
    tlbi = one.machine.costs.tlbi
    assert tlbi is not None
    found = price("linux-6.1-arm64", "purge")
    assert found.invalidations == 1
    service = tlbi.everything + tlbi.barrier + 127 * tlbi.answer
    assert found.stolen_ps == 127 * ((service + tlbi.recovery) // 4)
    assert found.interrupts == 0


def test_work_that_needs_no_tlb_refills_none() -> None:
    assert price("linux-6.1-x86_64", "protect", working_set=0).refill_ps == 0


def test_on_32_bit_x86_addresses_run_out_before_a_purge_is_due() -> None:
    # Eight CPUs tolerate 128 MiB of lazily freed addresses, and there are 120.
    assert price_or_none("linux-4.16-x86_32", "purge") is None
    assert price("linux-4.16-x86_32", "exhausted").broadcasts == 1


@pytest.mark.parametrize("kernel", [name for name in ALL if name.endswith("64")])
def test_on_64_bit_addresses_never_run_out(kernel: str) -> None:
    assert price_or_none(kernel, "exhausted") is None
    assert price(kernel, "purge").broadcasts == 1


def test_on_risc_v_6_12_freeing_flagged_memory_flushes_twice_for_each_page() -> None:
    # Text, constants, what is read-only after init, and data: areas of 8, 4, 1 and 3 pages.
    assert price("linux-6.12-riscv64", "unload").broadcasts == 2 * CANONICAL_MODULE.core + 4


def test_a_list_prices_every_operation_on_a_kernel_of_its_own() -> None:
    one = offer("linux-6.1-x86_64", cpus=4)
    found = price_list(one.machine, one.profile)
    assert set(found.prices) == set(CATALOGUE)
    assert (found.kernel, found.machine, found.cpus) == ("linux-6.1-x86_64", "skylake-sp-2s", 4)
    alone = meter.price(one.machine, one.profile, CATALOGUE["protect"], Sizes(), 512)
    assert found.prices["protect"] == alone


# What a command line names


def test_a_kernel_is_priced_on_the_usual_platform_of_its_architecture() -> None:
    found = {one.profile.arch: one.machine.name for one in offers([], [], None)}
    assert found == {
        "x86_64": "skylake-sp-2s",
        "x86_32": "xeon-2006",
        "arm64": "altra-max",
        "arm32": "cortex-a15",
        "riscv64": "sg2042",
    }


def test_of_all_kernels_those_are_priced_that_run_on_the_platforms_named() -> None:
    found = offers([], ["altra-max", "kunpeng-920-2s"], None)
    assert {one.profile.arch for one in found} == {"arm64"}
    assert [one.machine.name for one in found[:2]] == ["altra-max", "kunpeng-920-2s"]


def test_a_change_of_a_kernel_stands_in_its_label() -> None:
    one = offer("linux-6.1-x86_64,ceiling=5,direct_map_leaf=2MiB")
    assert one.label == "linux-6.1-x86_64,ceiling=5,direct_map_leaf=2MiB"
    assert (one.profile.ceiling, one.profile.direct_map_level) == (5, 2)


@pytest.mark.parametrize(
    ("kernels", "platforms", "code"),
    [
        (["linux-7-x86_64"], [], "unknown-kernel"),
        (["linux-6.1-x86_64,ceiling"], [], "bad-change"),
        (["linux-6.1-x86_64,celling=5"], [], "unknown-key"),
        (["linux-6.1-x86_64,invalidate_by=tlbi"], [], "impossible"),
        (["linux-6.18-x86_64,invalidate_by=tlbi"], ["skylake-sp-2s"], "no-tlbi"),
        (["linux-6.1-arm64"], ["skylake-sp-2s"], "wrong-architecture"),
        ([], ["skylark"], "unknown-platform"),
    ],
)
def test_what_cannot_be_priced_is_a_fault(
    kernels: list[str], platforms: list[str], code: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        offers(kernels, platforms, None)
    assert [fault.code for fault in caught.value.faults] == [code]


def test_all_faults_of_a_command_line_come_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        offers(["linux-7-x86_64", "linux-6.1-x86_64,ceiling"], ["skylark"], None)
    codes = {fault.code for fault in caught.value.faults}
    assert codes == {"unknown-kernel", "bad-change", "unknown-platform"}


# How it is written

SOME = Price(10, 9, 0, 57, 0, 3, 5, 148_000 * NS, 129_000 * NS, 675 * NS, 0)
LIST = PriceList("linux-6.1-x86_64", "small", 4, Sizes(), 512, {"destroy": SOME, "purge": None})


def test_csv_has_a_row_for_each_operation_and_nothing_where_there_is_no_price() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([LIST]))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["operation"] for row in rows] == ["destroy", "purge"]
    assert (rows[0]["full"], rows[0]["takes_ps"]) == ("10", "148000000")
    assert (rows[1]["full"], rows[1]["takes_ps"]) == ("", "")


def test_json_has_the_same_rows_as_csv() -> None:
    rows = json.loads(as_json([LIST]))
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["range"], rows[1]["range"]) == (9, None)


def test_markdown_shows_a_dash_where_there_is_no_price_and_aligns_its_columns() -> None:
    lines = as_markdown([LIST]).splitlines()
    assert lines[0] == "**linux-6.1-x86_64** on small, 4 CPUs"
    table = lines[2:]
    assert len({len(line) for line in table}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[2] == ["destroy the pool", "10", "9", "0", "57", "0", "3", "+5", "148 µs",
                        "129 µs", "675 ns", "0 s"]  # fmt: skip
    assert cells[3] == ["vfree that starts a purge", *["-"] * 11]


def test_of_several_kernels_markdown_counts_all_broadcasts_in_two_tables_first() -> None:
    one = offer("linux-6.1-x86_64", cpus=2)
    lists = [price_list(one.machine, one.profile, label=label) for label in ("a", "b")]
    memory, code, *in_full = as_markdown(lists).split("\n\n")
    for table, operations in ((memory, MEMORY), (code, CODE)):
        head, _, first, second = [line.split("|")[1:-1] for line in table.splitlines()]
        shorts = [priced.short for priced in operations.values()]
        assert [cell.strip() for cell in head] == ["shootdowns of", *shorts, "interrupts"]
        assert (first[0].strip(), second[0].strip()) == ("a", "b")
    assert len(in_full) == 4


def test_markdown_fits_128_columns() -> None:
    text = as_markdown([price_list(one.machine, one.profile) for one in offers(ALL[:7], [], None)])
    assert max(map(len, text.splitlines())) <= 128


def test_what_a_purge_took_from_the_lazy_list_is_not_counted_as_a_price() -> None:
    purge = replace(SOME, lazy_pages=-49_152)
    text = as_markdown([replace(LIST, prices={"purge": purge})])
    assert "49,152" not in text
    assert "purged" in text
