"""Which modules workloads load, and the sizes of those that are drawn."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.modules.segments import (
    ModuleSegments,
    SegmentName,
    known_modules,
    segments_of,
)
from pmsim.kernel.profiles import load_profile
from pmsim.workloads.module_choice import (
    LEAST_PAGES,
    ModuleSizes,
    SegmentKeys,
    chosen_modules,
    module_faults,
)
from pmsim.workloads.task import MachineInfo
from tests.ground_truth.published import published

PAGE = 4096
TABLE: ModuleTable = "6.1-x86_64"
KERNEL = load_profile("linux-6.1-x86_64")


def drawn(sizes: ModuleSizes, count: int = 20_000) -> list[ModuleSegments]:
    rng = np.random.default_rng(1)
    return [sizes.draw(rng) for _ in range(count)]


def test_the_mean_module_is_that_of_chamberlains_boot() -> None:
    size, text = published("M0614", "M0615")
    modules = drawn(ModuleSizes())
    mean = np.mean([module.core + module.init for module in modules])
    mean_text = np.mean([module.core_text + module.init_text for module in modules])
    # Bytes of whole pages: 41.7 and 15.3.
    assert mean == pytest.approx(size / PAGE, rel=0.04)
    assert mean_text == pytest.approx(text / PAGE, rel=0.04)


def test_pages_are_spread_and_divided_as_those_of_the_measured_modules() -> None:
    table = list(known_modules(TABLE).values())
    modules = drawn(ModuleSizes())

    def deviation(modules: list[ModuleSegments]) -> float:
        return float(np.std(np.log([module.core + module.init for module in modules]), ddof=1))

    def share(modules: list[ModuleSegments], name: SegmentName) -> float:
        whole = sum(module.core + module.init for module in modules)
        return sum(module.pages_of((name,)) for module in modules) / whole

    assert deviation(modules) == pytest.approx(deviation(table), abs=0.1)
    names: tuple[SegmentName, ...] = ("core_text", "core_rodata", "core_data", "init_data")
    for name in names:
        assert share(modules, name) == pytest.approx(share(table, name), abs=0.05)


@pytest.mark.parametrize("pages", [LEAST_PAGES, 7, 50, 1000])
@pytest.mark.parametrize("text", [0.01, 0.37, 0.99])
def test_without_deviation_every_module_has_the_mean_and_all_its_segments(
    pages: int, text: float
) -> None:
    (module,) = drawn(ModuleSizes(mean=pages, sigma=0, text=text), 1)
    assert module.core + module.init == pages
    names = ("core_text", "core_rodata", "core_ro_after_init", "core_data", "init_text")
    assert min(getattr(module, name) for name in (*names, "init_data")) >= 1


def test_a_mean_that_has_not_a_page_for_each_segment_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 6 pages"):
        ModuleSizes(mean=5)


def test_a_list_is_gone_through_in_turn() -> None:
    own = SegmentKeys(file_pages=1, core_text=1)
    modules = list(islice(chosen_modules(("crc7", own), np.random.default_rng(1), KERNEL), 3))
    assert modules == [segments_of("crc7", TABLE), own.segments(), segments_of("crc7", TABLE)]


def test_modules_of_the_table_are_drawn_where_nothing_is_said() -> None:
    modules = set(islice(chosen_modules(None, np.random.default_rng(1), KERNEL), 500))
    assert modules <= set(known_modules(TABLE).values())
    assert len(modules) > 20


def machine(kernel: str) -> MachineInfo:
    return MachineInfo(1, kernel=load_profile(kernel))


def test_only_names_can_be_unknown() -> None:
    own = SegmentKeys(file_pages=1, core_text=1)
    here = machine("linux-6.1-x86_64")
    assert [fault.path for fault in module_faults((own, "crc77"), here)] == [("segments", 1)]
    assert module_faults(ModuleSizes(), here) == module_faults(None, here) == []


def test_a_module_that_was_measured_for_other_kernels_only_is_refused_and_they_are_named() -> None:
    (fault,) = module_faults(("sunrpc",), machine("linux-6.1-arm64"))
    assert fault.code == "unknown-module"
    assert fault.message == (
        "'sunrpc' was measured for 6.1-x86_64 and 6.12-x86_64, not for 6.1-arm64, where it has"
        " another size"
    )


@pytest.mark.parametrize("choices", [None, ("crc7",)])
def test_where_no_module_was_measured_segments_have_to_be_given(choices: Any) -> None:
    (fault,) = module_faults(choices, machine("linux-4.16-x86_32"))
    assert fault.code == "no-module-table"
    assert module_faults(ModuleSizes(), machine("linux-4.16-x86_32")) == []
