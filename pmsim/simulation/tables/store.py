"""Writing tables as they come: columns in, Parquet files out, memory bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pmsim.simulation.tables.arrays import few_words, numbers
from pmsim.simulation.tables.columns import TABLES, Column, Table
from pmsim.simulation.tables.source import TableSource

ROW_GROUP = 131_072
"""Rows that gather before they are written: a few tens of megabytes for the widest table."""

Values: TypeAlias = Sequence[Any] | npt.NDArray[Any] | pa.Array
"""One column of some rows."""


class TableWriter:
    """Writes one table to one file.

    Parameters
    ----------
    path
        The Parquet file, which must not exist.
    table
        Its declaration.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self._table = table
        self._schema = table.schema()
        text = [column.name for column in table.columns if column.dtype == "text"]
        # Least and largest words cost as much again as the words, and nobody looks for them.
        # Numbers that ascend, as most here do, are told by their differences: a third of the time,
        # and a hundredth of the bytes for a long table of operations.
        whole = [field.name for field in self._schema if pa.types.is_int64(field.type)]
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            use_dictionary=text,
            write_statistics=[name for name in self._schema.names if name not in text],
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        )
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self.rows = 0

    def add(self, columns: Mapping[str, Values], replication: int) -> None:
        """Append rows, given as one sequence for each column but ``replication``."""
        arrays = [
            arrow_array(column, columns[column.name])
            for column in self._table.columns
            if column.name != "replication"
        ]
        count = len(arrays[0])
        arrays.insert(0, numbers(np.full(count, replication)))
        self.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def append(self, rows: pa.RecordBatch) -> None:
        """Append rows that have all columns."""
        self._waiting.append(pa.RecordBatch.from_arrays(rows.columns, schema=self._schema))
        self._waiting_rows += len(rows)
        self.rows += len(rows)
        if self._waiting_rows >= ROW_GROUP:
            self._write()

    def close(self) -> None:
        """Write what has gathered, and finish the file, or let go of it."""
        try:
            self._write()
            self._file.close()
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Let go of a file that cannot be written: it would try so again when it is collected."""
        self._file.is_open = False

    def _write(self) -> None:
        if self._waiting:
            rows = pa.Table.from_batches(self._waiting, self._schema).unify_dictionaries()
            self._file.write_table(rows, row_group_size=ROW_GROUP)
            self._waiting = []
            self._waiting_rows = 0


class TableSink(Protocol):
    """What takes the rows of a run."""

    def add(self, table: str, columns: Mapping[str, Values], replication: int) -> None:
        """Append rows to one table, given as one sequence for each column but ``replication``."""

    def add_rows(self, table: str, rows: Iterable[Mapping[str, Any]], replication: int) -> None:
        """Append rows given one by one; for the short tables."""


class TableStore:
    """The files of all tables of a result, written together.

    Use it as a context manager: the files are finished when the block ends.
    """

    def __init__(self, directory: Path) -> None:
        self._writers: dict[str, TableWriter] = {}
        try:
            for name, table in TABLES.items():
                self._writers[name] = TableWriter(directory / f"{name}.parquet", table)
        except OSError:
            for writer in self._writers.values():
                writer.abandon()
            raise

    def __enter__(self) -> TableStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, table: str, columns: Mapping[str, Values], replication: int) -> None:
        """Append rows to one table."""
        self._writers[table].add(columns, replication)

    def add_rows(self, table: str, rows: Iterable[Mapping[str, Any]], replication: int) -> None:
        """Append rows given one by one; for the short tables."""
        columns = by_column(rows)
        if columns:
            self.add(table, columns, replication)

    def append(self, tables: TableSource) -> None:
        """Append all rows of the same tables elsewhere."""
        for name, writer in self._writers.items():
            for rows in tables.arrow_batches(name, TABLES[name].names):
                writer.append(rows)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table so far."""
        return {name: writer.rows for name, writer in self._writers.items()}

    def close(self) -> None:
        """Finish every file, even where one of them fails."""
        failed: OSError | None = None
        for writer in self._writers.values():
            try:
                writer.close()
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise failed


def by_column(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows with the same keys into columns; without rows there are none."""
    rows = list(rows)
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def arrow_array(column: Column, values: Values) -> pa.Array:
    """Return a column of some rows as Arrow holds it."""
    if isinstance(values, pa.Array):
        return values
    if column.dtype == "text":
        return few_words(list(values))
    return numbers(values, column.dtype)
