from __future__ import annotations

import errno
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pmsim.errors import OutputError
from pmsim.experiments import dataset as module
from pmsim.experiments.dataset import Dataset, Found
from pmsim.simulation.answer.metrics import METRICS

VALUES = {"lost_share": 0.25, "operation_mean_ps[vfree]": 7.0}


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(found)}


def test_each_replication_is_a_file_at_once_and_one_file_in_the_end(tmp_path: Path) -> None:
    rows = Dataset(tmp_path)
    for number in (2, 0, 1):
        rows.add(3, number, VALUES, None)
    assert list(files(tmp_path)) == [f"replications/cell=3/{number}.json" for number in range(3)]
    rows.put_together(3)
    assert list(files(tmp_path)) == ["replications/cell=3/all.parquet"]
    assert rows.cell(3)["replication"].to_pylist() == [0, 1, 2]


def test_the_files_in_the_end_do_not_depend_on_the_way_there(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    straight = Dataset(one)
    for number in range(4):
        straight.add(0, number, VALUES | ({"failures": 1.0} if number == 2 else {}), None)
    straight.put_together(0)
    for number in (3, 1, 2, 0):
        crooked = Dataset(other)
        crooked.add(0, number, VALUES | ({"failures": 1.0} if number == 2 else {}), None)
        if number == 1:
            crooked.put_together(0)
        crooked.examine()
    crooked.put_together(0)
    assert files(one) == files(other)


def test_many_files_of_a_cell_are_put_together_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOGETHER", 3)
    rows = Dataset(tmp_path)
    for number in range(4):
        rows.add(0, number, VALUES, None)
    assert list(files(tmp_path)) == [
        "replications/cell=0/3.json",
        "replications/cell=0/all.parquet",
    ]


def test_what_is_there_is_found(tmp_path: Path) -> None:
    rows = Dataset(tmp_path)
    assert rows.examine() == Found()
    rows.add(0, 0, VALUES, None)
    rows.add(0, 5, {}, "deadlock")
    rows.put_together(0)
    rows.add(0, 6, VALUES, None)
    rows.add(12, 1, VALUES, None)
    assert Dataset(tmp_path).examine() == Found({0: {0, 5, 6}, 12: {1}}, failed=1)


@pytest.mark.parametrize("keep", [0, 1, 2, 100, -1])
def test_a_cut_off_file_is_found_and_removed_and_nothing_else(tmp_path: Path, keep: int) -> None:
    rows = Dataset(tmp_path)
    for cell in (0, 1):
        for number in (0, 1):
            rows.add(cell, number, VALUES, None)
        rows.put_together(cell)
    rows.add(1, 2, VALUES, None)
    whole = rows.path / "cell=0" / "all.parquet"
    single = rows.path / "cell=1" / "2.json"
    for path in (whole, single):
        path.write_bytes(path.read_bytes()[:keep])
    found = Dataset(tmp_path).examine()
    assert found.done == {0: set(), 1: {0, 1}}
    assert [(one.cell, one.replication) for one in found.damage] == [(0, None), (1, 2)]
    assert "cell 0 alone is done again" in str(found.damage[0])
    assert "replication 2 of cell 1 alone" in str(found.damage[1])
    assert list(files(tmp_path)) == ["replications/cell=1/all.parquet"]


@pytest.mark.parametrize(("together", "step"), [(False, 1), (True, 7)])
def test_every_flipped_byte_is_noticed_or_without_effect(
    tmp_path: Path, together: bool, step: int
) -> None:
    rows = Dataset(tmp_path)
    rows.add(0, 0, VALUES, None)
    if together:
        rows.put_together(0)
    path = rows.path / "cell=0" / ("all.parquet" if together else "0.json")
    sound, table = path.read_bytes(), rows.cell(0)
    for place in range(0, len(sound), step):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])
        again = Dataset(tmp_path)
        if not again.examine().damage:
            assert again.cell(0).equals(table), place
    path.write_bytes(sound)


def test_what_a_killed_process_left_half_is_removed(tmp_path: Path) -> None:
    rows = Dataset(tmp_path)
    rows.add(0, 0, VALUES, None)
    (rows.path / "cell=0" / ".1.json.tmp").write_bytes(b"{")
    assert Dataset(tmp_path).examine().done == {0: {0}}
    assert list(files(tmp_path)) == ["replications/cell=0/0.json"]


def test_a_replication_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    rows = Dataset(tmp_path)
    rows.add(0, 0, VALUES, None)
    kept = (rows.path / "cell=0" / "0.json").read_bytes()
    rows.put_together(0)
    (rows.path / "cell=0" / "0.json").write_bytes(kept)  # killed before it was removed
    again = Dataset(tmp_path)
    assert again.examine().done == {0: {0}}
    assert len(again.cell(0)) == 1
    again.put_together(0)
    assert list(files(tmp_path)) == ["replications/cell=0/all.parquet"]


def test_a_full_disk_is_said_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(rows: object, path: Path = Path(), **_: object) -> None:
        place = rows if isinstance(rows, Path) else path
        place.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    rows = Dataset(tmp_path)
    rows.add(0, 0, VALUES, None)
    before = files(tmp_path)
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OutputError, match=r"no space left.*goes on from there"):
        rows.put_together(0)
    monkeypatch.setattr(Path, "write_text", lambda path, *_, **__: full(path))
    with pytest.raises(OutputError, match=r"no space left.*goes on from there"):
        rows.add(0, 1, VALUES, None)
    assert files(tmp_path) == before


def test_columns_bear_unit_and_sentence_and_stand_in_the_order_of_declaration(
    tmp_path: Path,
) -> None:
    rows = Dataset(tmp_path)
    rows.add(
        0, 0, {"failures": 0.0, "operation_mean_ps[b]": 1.0, "operation_mean_ps[a]": 2.0}, None
    )
    schema = rows.cell(0).schema
    assert schema.names == [
        "replication", "error", "operation_mean_ps[a]", "operation_mean_ps[b]", "failures"
    ]  # fmt: skip
    about = schema.field("operation_mean_ps[a]").metadata
    assert about == {b"unit": b"ps", b"sentence": METRICS["operation_mean_ps"].sentence.encode()}


def test_cells_with_other_columns_make_one_table(tmp_path: Path) -> None:
    rows = Dataset(tmp_path)
    rows.add(10, 0, {"broadcasts": 1.0}, None)
    rows.add(9, 0, {"failures": 2.0}, None)
    assert rows.table().to_pylist() == [
        {"cell": 9, "replication": 0, "error": None, "broadcasts": None, "failures": 2.0},
        {"cell": 10, "replication": 0, "error": None, "broadcasts": 1.0, "failures": None},
    ]


def test_an_empty_dataset_is_an_empty_table(tmp_path: Path) -> None:
    assert Dataset(tmp_path).table().num_rows == 0
    assert Dataset(tmp_path).table().column_names == ["cell", "replication", "error"]
