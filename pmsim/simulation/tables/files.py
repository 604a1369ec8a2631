"""Reading the tables of a result directory, whole or in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pmsim.errors import ResultError
from pmsim.simulation.tables.columns import TABLES

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 131_072
"""Rows of a batch: as many as `pmsim.simulation.tables.store` writes at once."""


class TableFiles:
    """The Parquet files of a result.

    Parameters
    ----------
    directory
        Where they are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, table: str) -> Path:
        """Return where a table is."""
        return self.directory / f"{table}.parquet"

    @property
    def missing(self) -> list[str]:
        """The tables that have no file."""
        return [name for name in TABLES if not self.path(name).is_file()]

    def frame(self, table: str) -> pd.DataFrame:
        """Return a whole table: words as categories, integers that may be none as ``Int64``.

        Raises
        ------
        ResultError
            If its file cannot be read.
        """
        with self._reading(table):
            rows = pq.read_table(self.path(table))
        self._check_columns(table, TABLES[table].names, rows.column_names)
        return _frame(rows, table)

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows of a table in order, some columns of it, never all rows at once.

        Raises
        ------
        ResultError
            If its file cannot be read, or does not have the columns.
        """
        for rows in self.arrow_batches(table, columns):
            yield _frame(pa.Table.from_batches([rows]), table)

    def arrow_batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the same as Arrow record batches, which cost less."""
        with self._reading(table):
            file = pq.ParquetFile(self.path(table))
            self._check_columns(table, columns, file.schema_arrow.names)
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns))

    def _check_columns(self, table: str, wanted: Iterable[str], found: Iterable[str]) -> None:
        missing = [name for name in wanted if name not in set(found)]
        if missing:
            raise ResultError(f"{self.path(table)} has no column {', '.join(missing)}")

    @contextmanager
    def _reading(self, table: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise ResultError(f"{self.path(table)} cannot be read: {error}") from error


def _frame(rows: pa.Table, table: str) -> pd.DataFrame:
    declared = {column.name: column for column in TABLES[table].columns}
    wide = [
        name
        for name in rows.column_names
        if declared[name].nullable and declared[name].dtype == "int"
    ]
    frame: pd.DataFrame = rows.drop_columns(wide).to_pandas()
    for name in wide:
        # Without this, pandas would turn a column with a hole in it into floats.
        place = rows.column_names.index(name)
        frame.insert(place, name, rows[name].to_pandas(types_mapper=_nullable))
    return frame


def _nullable(kind: pa.DataType) -> Any:
    """Return the type of pandas that integers with holes take."""
    import pandas as pd

    return pd.Int64Dtype() if kind == pa.int64() else None
