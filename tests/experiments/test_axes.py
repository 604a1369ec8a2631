from __future__ import annotations

import pytest

from pmsim.experiments.axes import Grid, Points, cells_of, label, labels


def test_a_grid_is_every_combination_the_last_path_fastest() -> None:
    grid = Grid({"a": (1, 2), "b": ("x", "y", "z")})
    assert len(grid) == 6
    assert [tuple(cell.changes.values()) for cell in grid] == [
        (1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")
    ]  # fmt: skip
    assert [cell.number for cell in grid] == list(range(6))
    assert list(grid[4].changes) == ["a", "b"]


def test_without_an_axis_there_is_one_cell_that_changes_nothing() -> None:
    (cell,) = Grid({})
    assert cell.changes == {}
    assert str(cell) == "cell 0"


def test_a_grid_of_ten_million_cells_takes_no_memory_and_any_cell_is_found_at_once() -> None:
    grid = Grid({name: tuple(range(10)) for name in "abcdefg"})
    assert len(grid) == 10_000_000
    assert tuple(grid[1_234_567].changes.values()) == (1, 2, 3, 4, 5, 6, 7)


def test_a_cell_says_what_it_changes() -> None:
    assert str(Grid({"machine.cpus": (8,), "p": ({"x": 1},)})[0]) == (
        "cell 0 (machine.cpus=8, p=x=1)"
    )


def test_cells_survive_as_plain_data() -> None:
    for cells in (Grid({"a": (1, "x")}), Points(("a", "b"), ((1, "10ns"), (2, "20ns")))):
        again = cells_of(cells.as_dict())
        assert again == cells
        assert list(again) == list(cells)


def test_labels_are_numbers_or_text_never_both() -> None:
    assert labels([1, 2.5]) == [1, 2.5]
    assert labels([1, "auto"]) == ["1", "auto"]
    assert labels([{"refill": "4KiB"}, True]) == ["refill=4KiB", "true"]
    assert label(3) == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"profile": "linux-4.16-x86_32", "pae": False}, "linux-4.16-x86_32,pae=false"),
        ({"profile": "linux-6.1-x86_64"}, "linux-6.1-x86_64"),
        ({"platform": "opteron-2008", "cpus": 4}, "opteron-2008,cpus=4"),
        ({"ipi": {"ack": "entry"}}, "ipi,ack=entry"),
        ({"ipi": {}}, "ipi"),
        ({"mean": 2, "sigma": 1}, '{"mean": 2, "sigma": 1}'),
        ({"every": 500}, "every=500"),
        ([1, 2], "[1, 2]"),
        (None, "null"),
    ],
)
def test_a_mapping_that_names_something_is_called_by_that_name(value: object, said: str) -> None:
    assert label(value) == said
