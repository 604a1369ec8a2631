"""The tables of one replication in memory, as long as they are short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pmsim.simulation.tables.arrays import numbers
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.source import TableSource
from pmsim.simulation.tables.store import ROW_GROUP, TableStore, Values, arrow_array, by_column

MOST_ROWS: Final = ROW_GROUP
"""Rows of all tables together that are kept in memory; with more of them, all go to files."""


class MemoryTables:
    """Takes the rows of one replication, like a `TableStore`, and gives them back.

    Most replications of a sweep are short, and nobody keeps their tables: what they are measured by
    is taken from the columns as they came. Use it as a context manager: what had to go to files is
    removed when the block ends.

    Parameters
    ----------
    scratch
        Makes a directory for what is too long for memory, and removes it.
    """

    def __init__(self, scratch: Callable[[], AbstractContextManager[Path]]) -> None:
        self._scratch = scratch
        self._undo = ExitStack()
        self._pieces: dict[str, list[tuple[Mapping[str, Values], int]]] = {}
        self._rows = 0
        self._files: tuple[TableStore, TableFiles] | None = None

    def __enter__(self) -> MemoryTables:
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.close()

    def add(self, table: str, columns: Mapping[str, Values], replication: int) -> None:
        """Append rows, given as one sequence for each column but ``replication``."""
        if self._files is not None:
            self._files[0].add(table, columns, replication)
            return
        self._pieces.setdefault(table, []).append((columns, replication))
        self._rows += len(next(iter(columns.values())))
        if self._rows > MOST_ROWS:
            self._move_to_files()

    def add_rows(self, table: str, rows: Iterable[Mapping[str, Any]], replication: int) -> None:
        """Append rows given one by one; for the short tables."""
        columns = by_column(rows)
        if columns:
            self.add(table, columns, replication)

    def finished(self) -> TableSource:
        """Return where the rows are read from, once all are there."""
        if self._files is None:
            return self
        store, files = self._files
        store.close()
        return files

    def arrow_batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in order, some columns of it."""
        declared = {column.name: column for column in TABLES[table].columns}
        for values, replication in self._pieces.get(table, ()):
            count = len(next(iter(values.values())))
            arrays = [
                numbers(np.full(count, replication))
                if name == "replication"
                else arrow_array(declared[name], values[name])
                for name in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _move_to_files(self) -> None:
        directory = self._undo.enter_context(self._scratch())
        store = self._undo.enter_context(TableStore(directory))
        for table, pieces in self._pieces.items():
            for columns, replication in pieces:
                store.add(table, columns, replication)
        self._pieces.clear()
        self._files = store, TableFiles(directory)
