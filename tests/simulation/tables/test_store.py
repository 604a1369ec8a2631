from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pmsim.simulation.tables import store
from pmsim.simulation.tables.arrays import none_where, words
from pmsim.simulation.tables.columns import OPERATIONS, TABLES
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.store import TableStore


def operations(first: int, count: int, kind: str = "vmalloc") -> dict[str, Any]:
    """Rows in which every number tells its row and column."""
    columns = {
        column.name: [1000 * (first + i) + place for i in range(count)]
        for place, column in enumerate(OPERATIONS.columns)
        if column.name != "replication"
    }
    return columns | {"kind": [kind] * count, "workload": ["w"] * count}


def test_every_table_has_a_file_even_without_rows(tmp_path: Path) -> None:
    with TableStore(tmp_path):
        pass
    files = TableFiles(tmp_path)
    assert files.missing == []
    for name, table in TABLES.items():
        frame = files.frame(name)
        assert list(frame.columns) == list(table.names)
        assert len(frame) == 0


def test_rows_come_back_in_order_with_their_replication(tmp_path: Path) -> None:
    with TableStore(tmp_path) as tables:
        tables.add("operations", operations(0, 3), 0)
        tables.add("operations", operations(3, 2, "vfree"), 1)
        assert tables.rows["operations"] == 5
    frame = TableFiles(tmp_path).frame("operations")
    assert frame["replication"].tolist() == [0, 0, 0, 1, 1]
    assert frame["kind"].tolist() == ["vmalloc"] * 3 + ["vfree"] * 2
    place = OPERATIONS.names.index("start_ps")
    assert frame["start_ps"].tolist() == [1000 * i + place for i in range(5)]


def test_words_are_categories_and_integers_that_may_be_none_stay_integers(tmp_path: Path) -> None:
    large = 2**62 + 1  # no float holds it
    with TableStore(tmp_path) as tables:
        rows = operations(0, 2) | {"parent": none_where(np.array([-1, large]))}
        tables.add("operations", rows, 0)
    frame = TableFiles(tmp_path).frame("operations")
    assert frame["kind"].dtype == "category"
    assert frame["parent"].dtype == "Int64"
    assert frame["parent"].isna().tolist() == [True, False]
    assert frame["parent"][1] == large
    assert list(frame.columns) == list(OPERATIONS.names)


def test_words_are_looked_up_by_code() -> None:
    assert words(np.array([1, 0, 1]), ["full", "range"]).to_pylist() == ["range", "full", "range"]


def test_the_same_rows_in_any_chunks_are_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 7)
    frames = []
    for size in (1, 3, 20):
        folder = tmp_path / str(size)
        folder.mkdir()
        with TableStore(folder) as tables:
            for first in range(0, 60, size):
                tables.add("operations", operations(first, size, f"kind{first % 4}"), 0)
        frames.append(TableFiles(folder).frame("operations").drop(columns="kind"))
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_rows_are_written_as_they_gather_and_not_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 100)
    with TableStore(tmp_path) as tables:
        for first in range(0, 1000, 10):
            tables.add("operations", operations(first, 10), 0)
            assert tables._writers["operations"]._waiting_rows < 100
    assert pq.ParquetFile(tmp_path / "operations.parquet").num_row_groups == 10


def test_each_column_of_a_file_says_its_unit_and_what_it_is(tmp_path: Path) -> None:
    with TableStore(tmp_path):
        pass
    for name, table in TABLES.items():
        schema = pq.read_schema(tmp_path / f"{name}.parquet")
        for column in table.columns:
            metadata = schema.field(column.name).metadata
            assert metadata[b"unit"].decode() == column.unit
            assert metadata[b"sentence"].decode() == column.sentence


def test_a_batch_holds_the_columns_asked_for(tmp_path: Path) -> None:
    with TableStore(tmp_path) as tables:
        tables.add("operations", operations(0, 5), 0)
    (batch,) = TableFiles(tmp_path).batches("operations", ["kind", "id"])
    assert list(batch.columns) == ["kind", "id"]
    assert batch["kind"].dtype == "category"


def test_all_files_are_closed_even_where_one_of_them_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    class Full:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            if self.name == "operations":
                raise OSError(28, "No space left on device")

    tables = TableStore(tmp_path)
    tables.close()
    monkeypatch.setattr(tables, "_writers", {name: Full(name) for name in TABLES})
    with pytest.raises(OSError, match="No space"):
        tables.close()
    assert closed == list(TABLES)


def test_arrow_keeps_columns_that_come_as_arrow_arrays(tmp_path: Path) -> None:
    with TableStore(tmp_path) as tables:
        tables.add("operations", operations(0, 2) | {"pages": pa.array([3, 4])}, 0)
    assert TableFiles(tmp_path).frame("operations")["pages"].tolist() == [3, 4]
