"""Kernel profiles: data, overrides, and what is said of bad ones."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pmsim.errors import ScenarioError
from pmsim.kernel.geometry import Geometry
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import (
    load_profile,
    profile_differences,
    profile_keys,
    profile_like,
    profile_names,
    profile_sources,
    profile_summary,
)
from pmsim.units import GIB, KIB, MIB, PAGE_SIZE, TIB

LINUX_6_1 = "linux-6.1-x86_64"


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_every_key_with_a_source(name: str) -> None:
    assert set(profile_keys(name)) == set(KernelProfile.model_fields)
    sources = profile_sources(name)
    assert set(sources) == set(KernelProfile.model_fields) - {"name"}
    assert all(len(source) >= len("arch/x86") for source in sources.values())
    assert profile_summary(name)
    assert load_profile(name).name == name


def test_every_key_says_what_it_means() -> None:
    assert all(field.description for field in KernelProfile.model_fields.values())


FOLDERS = {"x86_64": "x86", "x86_32": "x86", "arm64": "arm64", "arm32": "arm", "riscv64": "riscv"}
"""Where the source of an architecture lies, below arch/."""


@pytest.mark.parametrize("name", profile_names())
def test_no_key_rests_on_the_source_of_another_architecture(name: str) -> None:
    own = FOLDERS[load_profile(name).arch]
    for key, source in profile_sources(name).items():
        assert set(re.findall(r"\barch/(\w+)", source)) <= {own}, key


def test_linux_6_1_is_what_its_source_says() -> None:
    profile = load_profile(LINUX_6_1)
    assert profile.crosscall_order == "concurrent"
    assert profile.ceiling == 33
    assert profile.lazy_max_unit == 32 * MIB
    assert profile.vmalloc_range == (0xFFFFC90000000000, 32 * TIB)
    assert profile.direct_map_start == 0xFFFF888000000000
    # MODULES_END is 0xffffffffff000000.
    assert sum(profile.modules_range) == 0xFFFFFFFFFF000000
    assert (profile.direct_map_leaf, profile.direct_map_level) == (4 * KIB, 1)
    assert not profile.alias_on_nx


def test_five_levels_have_their_own_address_space() -> None:
    profile = load_profile(LINUX_6_1, {"page_table_levels": 5})
    assert profile.vmalloc_range == (0xFFA0000000000000, 12800 * TIB)
    assert profile.direct_map_start == 0xFF11000000000000
    assert profile.modules_range == load_profile(LINUX_6_1).modules_range


def test_what_follows_from_a_key_may_still_be_given() -> None:
    profile = load_profile(LINUX_6_1, {"page_table_levels": 5, "vmalloc_size": "1TiB"})
    assert profile.vmalloc_range == (0xFFA0000000000000, TIB)


def test_without_pae_there_is_no_nx_and_every_address_space_has_copies() -> None:
    pae = load_profile("linux-4.16-x86_32")
    plain = load_profile("linux-4.16-x86_32", {"pae": False})
    assert (pae.nx, pae.page_table_levels, pae.top_level_copies) == (True, 3, "none")
    assert (plain.nx, plain.page_table_levels, plain.top_level_copies) == (False, 2, "fault")
    assert pae.modules_range == pae.vmalloc_range == plain.vmalloc_range


def test_rodata_on_leaves_the_alias_alone() -> None:
    assert load_profile("linux-6.1-arm64").linear_alias
    assert not load_profile("linux-6.1-arm64", {"rodata": "on"}).linear_alias
    assert not load_profile("linux-6.18-arm64", {"rodata": "on"}).linear_alias


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_lists_only_what_differs(name: str) -> None:
    like = profile_like(name)
    differences = profile_differences(name)
    assert (like is None) == (not differences)
    same = [d.key for d in differences if d.value == d.other]
    said_anew = [key for key in same if _source(name, key) == _source(str(like), key)]
    assert not said_anew


def _source(name: str, key: str) -> str:
    return profile_sources(name)[key]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_read_back_from_all_its_keys(name: str) -> None:
    profile = load_profile(name)
    keys = {key: value for key, value in profile_keys(name).items() if key != "name"}
    assert load_profile(name, keys) == profile


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_is_named_after_its_architecture(name: str) -> None:
    profile = load_profile(name)
    assert name.endswith(f"-{profile.arch}")
    assert profile.word_bytes == (4 if profile.arch.endswith("32") else 8)


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("ceiling", 0, 0),
        ("ceiling", "512 pages", 512),
        ("direct_map_leaf", "2MiB", 2 * MIB),
        ("memory", "4GiB", 4 * GIB),
        ("crosscall_order", "serial", "serial"),
        ("vmalloc_start", "0xffffc80000000000", 0xFFFFC80000000000),
        ("lazy_max_unit", "0B", 0),
        ("purge_by", "unmap", "unmap"),
        ("page_table_levels", 5, 5),
        ("alias_on_nx", True, True),
    ],
)
def test_a_key_can_be_overridden(key: str, given: Any, value: Any) -> None:
    assert getattr(load_profile(LINUX_6_1, {key: given}), key) == value


@pytest.mark.parametrize(
    ("key", "given", "code", "hint"),
    [
        ("ceiling", "33ns", "wrong-unit", "pages"),
        ("ceiling", -1, "negative-quantity", "4 pages"),
        ("ceiling", True, "bad-quantity", "pages"),
        ("memory", 64, "missing-unit", "GiB"),
        ("memory", "0B", "not-positive", "KiB"),
        ("direct_map_leaf", "64KiB", "bad-leaf", "2MiB"),
        ("vmalloc_size", "5kB", "bad-range", "GiB"),
        ("modules_size", "1B", "bad-range", "GiB"),
        ("crosscall_order", "parallel", "bad-value", ""),
        ("page_table_levels", 3, "impossible", "4 or 5"),
        ("invalidate_by", "tlbi", "impossible", "ipi"),
        ("module_loader", "rox_cache", "impossible", "two_areas"),
        ("vmalloc_start", 4096, "bad-address", "0xffffc90000000000"),
        ("vmalloc_start", "4KiB", "bad-address", "0xffffc90000000000"),
        ("vmalloc_start", "ffffc90000000000", "bad-address", "0xffffc90000000000"),
        ("modules_start", 1 << 64, "bad-address", "0xffffc90000000000"),
        ("page_offset", 0xFFFFC90000000001, "bad-range", "0xffffc90000000000"),
        ("modules_start", 0xFFFFFFFFFFFFF000, "bad-range", "1008MiB"),
        ("lazy_merges", 1, "bad-value", ""),
        ("area_free_stays", "5", "bad-value", ""),
        ("name", "mine", "unknown-key", ""),
    ],
)
def test_a_bad_value_is_reported_at_its_key(key: str, given: Any, code: str, hint: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile(LINUX_6_1, {key: given})
    (fault,) = error.value.faults
    assert (fault.file, fault.code) == (f"kernel.{key}", code)
    assert hint in fault.hint


def test_memory_is_made_of_whole_leaves() -> None:
    overrides = {"memory": "3MiB", "direct_map_leaf": "2MiB"}
    with pytest.raises(ScenarioError, match="no multiple of direct_map_leaf") as error:
        load_profile(LINUX_6_1, overrides)
    assert error.value.faults[0].code == "bad-memory"
    assert load_profile(LINUX_6_1, overrides | {"memory": "4MiB"}).memory == 1024 * PAGE_SIZE


def test_all_bad_keys_are_reported_at_once() -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile(LINUX_6_1, {"ceiling": "1s", "memory": "1s"})
    assert [fault.file for fault in error.value.faults] == ["kernel.ceiling", "kernel.memory"]
    with pytest.raises(ScenarioError) as error:
        load_profile(LINUX_6_1, {"celing": 1, "zzz": 2})
    near, far = error.value.faults
    assert (near.code, near.hint) == ("unknown-key", "did you mean ceiling?")
    assert "keys: " in far.hint


@pytest.mark.parametrize("name", ["linux-6.1", "linux-6.1-x86-64", "Linux"])
def test_an_unknown_profile_is_met_with_the_nearest_one(name: str) -> None:
    with pytest.raises(ScenarioError, match=f"no kernel profile '{name}'") as error:
        load_profile(name)
    (fault,) = error.value.faults
    assert fault.code == "unknown-kernel"
    assert LINUX_6_1 in fault.hint


def test_a_version_alone_is_met_with_its_architectures() -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile("linux-6.1")
    assert error.value.faults[0].hint.startswith("did you mean linux-6.1-x86_64 or linux-6.1-arm")
    assert "linux-6.12" not in error.value.faults[0].hint.partition("?")[0]


def test_a_name_near_to_none_is_met_with_all_of_them() -> None:
    with pytest.raises(ScenarioError) as error:
        profile_summary("??")
    assert error.value.faults[0].hint == "known: " + ", ".join(profile_names())


@pytest.mark.parametrize(
    ("profile", "overrides", "sizes"),
    [
        ("linux-4.16-x86_32", {"pae": False, "direct_map_leaf": "2MiB"}, "4KiB and 4MiB"),
        ("linux-4.16-x86_32", {"direct_map_leaf": "4MiB"}, "4KiB and 2MiB"),
        ("linux-6.1-x86_64", {"direct_map_leaf": "4MiB"}, "4KiB and 2MiB and 1GiB"),
    ],
)
def test_leaves_are_those_of_the_page_table(
    profile: str, overrides: dict[str, object], sizes: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile(profile, overrides)
    (fault,) = error.value.faults
    assert (fault.code, fault.hint) == ("bad-leaf", f"it has {sizes}")


@pytest.mark.parametrize(
    ("profile", "overrides", "shape"),
    [
        ("linux-6.1-x86_64", {}, (4, 9, 48)),
        ("linux-6.1-x86_64", {"page_table_levels": 5}, (5, 9, 57)),
        ("linux-4.16-x86_32", {}, (3, 9, 32)),
        ("linux-4.16-x86_32", {"pae": False}, (2, 10, 32)),
        ("linux-6.1-arm32", {}, (2, 9, 32)),
        ("linux-6.18-arm64", {}, (4, 9, 48)),
        ("linux-6.12-riscv64", {}, (4, 9, 48)),
    ],
)
def test_the_page_table_has_the_shape_of_its_architecture(
    profile: str, overrides: dict[str, object], shape: tuple[int, int, int]
) -> None:
    assert load_profile(profile, overrides).geometry == Geometry(*shape)


@pytest.mark.parametrize(
    ("profile", "split", "modules", "lowmem"),
    [
        # Modules are 16 MiB below PAGE_OFFSET; the direct map ends 8 MiB below VMALLOC_START.
        ("linux-6.1-arm32", 0x80000000, 0x7F000000, 0xF0000000 - 0x80000000),
        ("linux-4.14-arm32", 0x80000000, 0x7F000000, 0xF0000000 - 0x80000000),
        ("linux-6.1-arm32", 0x40000000, 0x3F000000, 0xF0000000 - 0x40000000),
        # MAXMEM: up to 128 MiB below 0xff7fe000, in leaves of 4 MiB.
        ("linux-4.16-x86_32", 0x80000000, 0xF7FFE000, (0xF77FE000 - 0x80000000) >> 22 << 22),
    ],
)
def test_another_split_of_32_bits_moves_modules_and_the_direct_map(
    profile: str, split: int, modules: int, lowmem: int
) -> None:
    found = load_profile(profile, {"page_offset": split})
    assert (found.page_offset, found.modules_start, found.lowmem) == (split, modules, lowmem)


@pytest.mark.parametrize(
    ("key", "given", "said", "hint"),
    [
        ("crosscall_order", "serail", "'serail' is not one of: concurrent, serial",
         "did you mean serial?"),
        ("page_table_levels", "4", "'4' is not one of: 2, 3, 4, 5",
         "did you mean 4?"),
        ("area_free_stays", 1.5, "'1.5' is no whole number", ""),
        ("lazy_merges", "maybe", "'maybe' is neither true nor false", ""),
        ("area_free_stays", "5", "'5' is no whole number", "write 5, without quotes"),
        ("unsafe", "yes", "'yes' is neither true nor false", "write true, without quotes"),
        ("area_free_stays", [1], "a list is no whole number", ""),
        ("area_free_stays", None, "nothing is no whole number", ""),
        ("memory", {"GiB": 4}, "a mapping is not a size",
         "units that fit: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB; for example 4KiB"),
        ("memory", 64, "'64' has no unit",
         "units that fit: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB; for example 4KiB"),
        ("vmalloc_start", 4096, "0x1000 lies below all kernels",
         "for example 0xffffc90000000000"),
        ("vmalloc_start", True, "'true' is no address", "for example 0xffffc90000000000"),
        ("modules_start", "4KiB", "'4KiB' is no address", "for example 0xffffc90000000000"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_key_is_said_in_plain_words(
    key: str, given: Any, said: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        load_profile(LINUX_6_1, {key: given})
    (fault,) = error.value.faults
    assert fault.message.startswith(said)
    assert fault.hint == hint
