"""Tables of one replication in memory read like those that went to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pmsim.simulation.tables import memory
from pmsim.simulation.tables.arrays import coded, none_where
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.memory import MemoryTables
from pmsim.simulation.tables.source import whole
from pmsim.simulation.tables.store import TableStore

FAULTS = [
    {
        "at_ps": at, "workload": who, "cpu": 1, "task": 0, "kind": "write",
        "address": "0x0" if at else None, "detail": "wrote",
    }
    for at, who in ((0, "a"), (7, "b"), (9, "a"))
]  # fmt: skip


def operations(count: int) -> dict[str, object]:
    numbers = np.arange(count)
    columns = {column.name: numbers for column in TABLES["operations"].columns}
    del columns["replication"]
    return {
        **columns,
        "parent": none_where(numbers - 1),
        "kind": ["even", "odd"] * (count // 2),
        "workload": ["w"] * count,
    }


class Places:
    """Makes one directory, and knows whether it is there."""

    def __init__(self, path: Path) -> None:
        self.path = path / "rows"

    @contextmanager
    def __call__(self) -> Iterator[Path]:
        self.path.mkdir()
        try:
            yield self.path
        finally:
            for file in self.path.iterdir():
                file.unlink()
            self.path.rmdir()


@pytest.mark.parametrize("most", [memory.MOST_ROWS, 5, 0])
def test_rows_read_the_same_from_memory_and_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(memory, "MOST_ROWS", most)
    place = Places(tmp_path)
    with TableStore(tmp_path) as store, MemoryTables(place) as tables:
        for sink in (store, tables):
            sink.add("operations", operations(4), 3)
            sink.add_rows("faults", FAULTS, 3)
            sink.add_rows("pools", [], 3)
            sink.add("operations", operations(2), 3)
        source = tables.finished()
        assert place.path.exists() == (most < 9)
        store.close()
        for name, table in TABLES.items():
            one, two = (
                [
                    row
                    for batch in found.arrow_batches(name, table.names)
                    for row in batch.to_pylist()
                ]
                for found in (TableFiles(tmp_path), source)
            )
            assert one == two
    assert not place.path.exists()


def test_few_rows_never_see_a_disk() -> None:
    def disk() -> Places:
        raise AssertionError("there is none")

    with MemoryTables(disk) as tables:
        tables.add("operations", operations(memory.MOST_ROWS), 0)
        assert len(whole(tables.finished(), "operations", ["id"])["id"]) == memory.MOST_ROWS


def test_whole_columns_say_minus_one_for_none_and_words_as_words() -> None:
    with MemoryTables(Places(Path())) as tables:
        tables.add("operations", operations(4), 2)
        found = whole(tables.finished(), "operations", ["replication", "parent", "kind"])
    assert found["replication"].tolist() == [2] * 4
    assert found["parent"].tolist() == [-1, 0, 1, 2]
    assert found["kind"].tolist() == ["even", "odd", "even", "odd"]


def test_a_table_without_rows_has_columns_without_values() -> None:
    with MemoryTables(Places(Path())) as tables:
        assert whole(tables.finished(), "pools", ["pages"])["pages"].sum() == 0


def test_words_come_as_numbers_of_words() -> None:
    with MemoryTables(Places(Path())) as tables:
        tables.add("operations", operations(4), 0)
        (batch,) = tables.finished().arrow_batches("operations", ["kind"])
    codes, names = coded(batch.column(0))
    assert [names[code] for code in codes.tolist()] == ["even", "odd", "even", "odd"]
