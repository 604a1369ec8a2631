"""What modules are made of, and the table of measured ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pmsim.kernel.modules.segments import ModuleSegments, known_modules, segments_of

CRC7 = ModuleSegments(2, 1, 1, 0, 2, 0, 0, 0, 1)


def test_the_table_holds_the_39_measured_modules() -> None:
    assert len(known_modules()) == 39
    assert segments_of("crc7") == CRC7
    assert segments_of("nilfs2").static_call_sites == 189


def test_only_nls_koi8_ru_fails_in_its_init() -> None:
    assert [name for name, module in known_modules().items() if module.init_fails] == [
        "nls_koi8_ru"
    ]


def test_dashes_and_underscores_are_the_same_in_a_modules_name() -> None:
    assert segments_of("crc-itu-t") is segments_of("crc_itu_t")


def test_a_module_that_was_not_measured_is_not_known() -> None:
    with pytest.raises(KeyError):
        segments_of("crc9")


def test_core_and_init_are_the_sums_of_their_segments() -> None:
    module = ModuleSegments(100, 1, 2, 3, 4, 10, 20, 30, 40)
    assert (module.core, module.init) == (10, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_data": -1}, "init_data of a module is negative"),
        ({"static_call_sites": -1}, "static_call_sites of a module is negative"),
        ({"enabled_keys": (3, 0)}, "an enabled key of a module has at least one site"),
        ({"file_pages": 0}, "at least one page"),
        ({"core_text": 0, "core_rodata": 0, "core_data": 0}, "at least one page"),
    ],
)
def test_an_impossible_module_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CRC7, **changes)
