"""What modules are made of, and the table of measured ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.modules.segments import (
    ModuleSegments,
    known_modules,
    segments_of,
    tables_with,
)

CRC7 = ModuleSegments(2, 1, 1, 0, 2, 0, 0, 0, 1)


def test_there_is_a_table_for_each_kernel_whose_modules_were_measured() -> None:
    measured = {name: len(known_modules(name)) for name in get_args(ModuleTable)}
    assert measured == {
        "none": 0, "6.1-x86_64": 39, "6.12-x86_64": 40, "6.1-arm64": 12, "6.12-arm64": 11,
        "6.1-arm32": 9, "6.12-riscv64": 12,
    }  # fmt: skip
    assert segments_of("crc7", "6.1-x86_64") == CRC7
    assert segments_of("nilfs2", "6.1-x86_64").static_call_sites == 189


def test_a_module_has_another_size_on_each_architecture() -> None:
    kernels: list[ModuleTable] = ["6.1-x86_64", "6.12-arm64", "6.1-arm32", "6.12-riscv64"]
    data = {kernel: segments_of("squashfs", kernel).core_data for kernel in kernels}
    # The symbol table of RISC-V keeps thousands of local labels.
    assert data == {"6.1-x86_64": 4, "6.12-arm64": 5, "6.1-arm32": 2, "6.12-riscv64": 115}


def test_functions_that_ftrace_makes_ready_and_alternatives_are_in_the_tables() -> None:
    assert segments_of("squashfs", "6.12-arm64").traced_functions == 83
    assert segments_of("squashfs", "6.12-riscv64").alternatives == 2


def test_only_nls_koi8_ru_fails_in_its_init() -> None:
    kernels: list[ModuleTable] = ["6.1-x86_64", "6.12-x86_64"]
    for kernel in kernels:
        modules = known_modules(kernel).items()
        assert [name for name, module in modules if module.init_fails] == ["nls_koi8_ru"]


def test_dashes_and_underscores_are_the_same_in_a_modules_name() -> None:
    assert segments_of("crc-itu-t", "6.1-x86_64") is segments_of("crc_itu_t", "6.1-x86_64")


def test_a_module_that_was_not_measured_for_a_kernel_is_not_known() -> None:
    with pytest.raises(KeyError):
        segments_of("crc9", "6.1-x86_64")
    with pytest.raises(KeyError):
        segments_of("sunrpc", "6.1-arm64")


def test_kernels_that_measured_a_module_are_named() -> None:
    assert tables_with("crc-itu-t") == ("6.1-x86_64", "6.12-x86_64")


def test_core_and_init_are_the_sums_of_their_segments() -> None:
    module = ModuleSegments(100, 1, 2, 3, 4, 10, 20, 30, 40)
    assert (module.core, module.init) == (10, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_data": -1}, "init_data of a module is negative"),
        ({"static_call_sites": -1}, "static_call_sites of a module is negative"),
        ({"traced_functions": -1}, "traced_functions of a module is negative"),
        ({"enabled_keys": (3, 0)}, "an enabled key of a module has at least one site"),
        ({"file_pages": 0}, "at least one page"),
        ({"core_text": 0, "core_rodata": 0, "core_data": 0}, "at least one page"),
    ],
)
def test_an_impossible_module_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CRC7, **changes)
