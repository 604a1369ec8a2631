"""The rules that explain noise explain nothing else."""

from __future__ import annotations

import pytest

from tests.ground_truth.noise import (
    EXACT,
    VARYING,
    Counts,
    OwnMemory,
    UnexplainedError,
    align,
    explain,
)
from tests.ground_truth.observed import HUGE, Row

SPANS = (5, 5)
"""Two purges of one area of 4 pages each."""


def predicted(**numbers: int) -> Counts:
    """Three protected areas of 4 pages are destroyed: 3 full flushes, 2 purges, 3 areas freed."""
    base = dict.fromkeys((*EXACT, *VARYING), 0)
    base |= {
        "n_set_memory_rw": 3, "n_cpa_flush": 3, "n_flush_tlb_all": 3, "n_flush_tlb_all_by_cpa": 3,
        "n_flush_tlb_kernel_range": 2, "n_fkr_by_purge": 2, "n_cross_calls": 5, "n_cross_full": 3,
        "n_cross_range": 2, "targets": 5, "n_vfree": 3, "vfree_pages_with_guard": 15,
        "n_vm_unmap_aliases": 3,
    }  # fmt: skip
    return Counts(2, base | numbers, SPANS, (4, 4, 4))


def seen(spans: tuple[int, ...] = SPANS, /, **changes: int) -> Row:
    """Return a row as it was predicted, but for some numbers raised by so much."""
    numbers = {name: count + changes.pop(name, 0) for name, count in predicted().numbers.items()}
    assert not changes
    calls = numbers["n_cross_calls"]
    cells = {name: str(count) for name, count in numbers.items()}
    cells["pages_per_kernel_range_flush"] = ";".join(map(str, spans))
    cells["pages_per_cpa_flush"] = "4;4;4"
    cells["handlers_per_cpu"] = f"{calls};{calls}"
    return Row(1, cells)


ONE_PURGE = {
    "n_flush_tlb_kernel_range": 1, "n_fkr_by_purge": 1, "n_cross_calls": 1, "targets": 1,
}  # fmt: skip
ONE_SPLIT = {
    "n_flush_tlb_all": 1, "n_flush_tlb_all_by_split": 1, "n_cross_calls": 1, "n_cross_full": 1,
    "targets": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        (seen(), ""),
        (seen((5, 5, 5), **ONE_PURGE, n_cross_range=1), "K"),
        (seen((13, 5, 5), **ONE_PURGE, n_cross_range=1), "K"),
        (seen((5, 40, 5), **ONE_PURGE, n_cross_full=1), "K"),
        (seen((5, 10)), "M"),
        (seen((274, 5), n_cross_full=1, n_cross_range=-1), "M"),
        (seen(n_vfree=2, vfree_pages_with_guard=10), "F"),
        (seen(**ONE_SPLIT), "S"),
        (seen(n_vmalloc=1), "B"),
    ],
)
def test_each_rule_of_the_noise_is_recognised(row: Row, codes: str) -> None:
    assert explain(predicted(), row) == codes


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(seen(n_set_memory_rw=1), id="one call more"),
        pytest.param(seen(n_flush_tlb_all_by_cpa=1, n_flush_tlb_all=1), id="one full flush more"),
        pytest.param(
            seen(
                (5,), n_flush_tlb_kernel_range=-1, n_fkr_by_purge=-1, n_cross_calls=-1,
                n_cross_range=-1, targets=-1,
            ),
            id="one purge fewer",
        ),
        pytest.param(seen((6, 5, 5), **ONE_PURGE, n_cross_range=1), id="six pages are no stack"),
        pytest.param(seen((9, 5, 5), **ONE_PURGE, n_cross_range=1), id="nor are nine"),
        pytest.param(
            seen((5,) * 5, **dict.fromkeys(ONE_PURGE, 3), n_cross_range=3),
            id="three purges of stacks",
        ),
        pytest.param(seen((5, 9)), id="a purge wider by less than a stack"),
        pytest.param(seen((5, 4)), id="a purge narrower"),
        pytest.param(seen((274, 5)), id="a span of 274 pages ranged"),
        pytest.param(seen((5, 5, 5), **ONE_PURGE, n_cross_full=1), id="a span of 5 pages full"),
        pytest.param(seen(n_vfree=1, vfree_pages_with_guard=4), id="a freed area that is no stack"),
        pytest.param(seen(n_vfree=-1, vfree_pages_with_guard=-5), id="one area fewer"),
        pytest.param(seen(targets=1), id="a broadcast to one CPU too many"),
        pytest.param(seen(n_cross_full=1, n_cross_calls=1, targets=1), id="a broadcast of nobody"),
        pytest.param(seen(n_cross_kworker=1), id="a worker's broadcast"),
        pytest.param(seen(n_vm_unmap_aliases=1), id="one vm_unmap_aliases more"),
    ],
)  # fmt: skip
def test_whatever_no_rule_produces_is_unexplained(row: Row) -> None:
    with pytest.raises(UnexplainedError):
        explain(predicted(), row)


def test_every_cpu_must_have_run_every_function() -> None:
    row = seen()
    row.cells["handlers_per_cpu"] = "5;4"
    with pytest.raises(UnexplainedError, match="another number of flush functions"):
        explain(predicted(), row)


def test_spans_beyond_the_first_64_of_a_row_are_not_missed() -> None:
    assert align([2] * 70, [2] * 64, None) == set()
    assert align([2] * 70, [2] * 60 + [5] + [2] * 3, None) == {"K"}
    with pytest.raises(UnexplainedError):
        align([2] * 70, [2] * 63 + [4], None)


def test_a_purge_of_several_areas_is_wider_by_any_number_but_never_narrower() -> None:
    assert align([40], [41], 0, several=True) == {"L"}
    with pytest.raises(UnexplainedError):
        align([40], [39], 0, several=True)


def test_a_flush_up_to_the_modules_stands_for_no_other() -> None:
    assert align([4, HUGE], [4, HUGE], 0) == set()
    with pytest.raises(UnexplainedError):
        align([4, HUGE], [4, 400], 0)
    with pytest.raises(UnexplainedError):
        align([4], [4, HUGE], 1)


def test_the_memory_of_a_modules_own_init_is_told_from_stacks() -> None:
    tables = OwnMemory(freed=2, freed_pages=1473)
    row = seen(n_vfree=5, vfree_pages_with_guard=1473 + 15)
    assert explain(predicted(), row, own=tables) == "FI"
    with pytest.raises(UnexplainedError):
        explain(predicted(), seen(n_vfree=5, vfree_pages_with_guard=1473 + 14), own=tables)
    with pytest.raises(UnexplainedError):
        explain(predicted(), row)
