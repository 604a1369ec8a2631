from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pmsim import units
from pmsim.errors import ScenarioError
from pmsim.experiments.sampling import range_of, sample_of, sampled

TIMES = {"machine.costs.ipi.entry": ("100ns..300ns",)}
CPUS = {"machine.cpus": ("1..8",)}


def test_a_latin_hypercube_puts_one_point_into_each_slice_of_each_axis() -> None:
    points = sampled({**TIMES, **CPUS}, sample_of("lhs:8"), seed=3)
    cpus = sorted(cell.changes["machine.cpus"] for cell in points)
    assert cpus == [1, 2, 3, 4, 5, 6, 7, 8]
    times = sorted(units.parse_time(cell.changes["machine.costs.ipi.entry"]) for cell in points)
    slices = [(time - 100_000) * 8 // 200_001 for time in times]
    assert slices == list(range(8))


def test_sobol_points_are_balanced_in_every_half() -> None:
    points = sampled({**TIMES, **CPUS}, sample_of("sobol:16"), seed=3)
    cpus = np.array([cell.changes["machine.cpus"] for cell in points])
    times = np.array([units.parse_time(cell.changes["machine.costs.ipi.entry"]) for cell in points])
    quarters = [
        ((cpus <= 4) == low) & ((times < 200_000) == early)
        for low in (True, False) for early in (True, False)
    ]  # fmt: skip
    assert [int(quarter.sum()) for quarter in quarters] == [4, 4, 4, 4]


@pytest.mark.filterwarnings("error")
def test_sobol_takes_any_number_of_points_without_a_complaint() -> None:
    assert len(sampled(CPUS, sample_of("sobol:5"), seed=0)) == 5
    assert len(sampled(CPUS, sample_of("sobol:1"), seed=0)) == 1


@pytest.mark.parametrize("method", ["lhs:6", "sobol:6"])
def test_the_seed_decides_the_points(method: str) -> None:
    def points(seed: int) -> list[dict[str, object]]:
        return [dict(cell.changes) for cell in sampled(TIMES, sample_of(method), seed)]

    assert points(1) == points(1)
    assert points(1) != points(2)


def test_a_list_of_values_is_taken_in_equal_parts() -> None:
    points = sampled({"kernel": ("old", "new")}, sample_of("lhs:10"), seed=0)
    names = [cell.changes["kernel"] for cell in points]
    assert sorted(names) == ["new"] * 5 + ["old"] * 5


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..3", [1, 2, 3]),
        ("0.5..1.5", [0.5, 1.0, 1.25]),
        ("1us..3us", ["1us", "2us", "2.5us"]),
        ("4KiB..8KiB", ["4096B", "6144B", "7168B"]),
        ("1 pages..3 pages", ["1 pages", "2 pages", "3 pages"]),
        ("1/s..2/s", ["1/s", "1.5/s", "1.75/s"]),
    ],
)
def test_a_range_writes_values_as_its_ends_are_written(text: str, values: list[object]) -> None:
    found = range_of(text, "some.key")
    assert [found.at(share) for share in (0, 0.5, 0.75)] == values


def test_both_ends_of_whole_numbers_occur_and_nothing_beyond() -> None:
    found = range_of("1..4", "k")
    seen = {found.at(share) for share in np.linspace(0, 1, 1000, endpoint=False)}
    assert seen == {1, 2, 3, 4}
    assert found.low == Fraction(1)


@pytest.mark.parametrize("text", ["1..x", "1ns..2KiB", "5..5", "9..1", "1..2..3", ".."])
def test_what_is_no_range_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        range_of(text, "machine.cpus")
    (fault,) = caught.value.faults
    assert fault.code == "bad-range"
    assert "machine.cpus" in fault.message


@pytest.mark.parametrize("text", ["lhs", "lhs:", "lhs:0", "grid:3", "sobol:-1", "lhs:9999999999"])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        sample_of(text)
    assert caught.value.faults[0].code == "bad-sample"


def test_points_need_something_to_choose_from() -> None:
    with pytest.raises(ScenarioError, match="nothing to choose"):
        sampled({}, sample_of("lhs:3"), seed=0)
