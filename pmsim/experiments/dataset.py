"""The rows of a sweep on disk: one Parquet dataset, partitioned by cell.

Each finished replication becomes a file of its own at once. Now and then, and at the end, the
files of a cell are put together into one. Whatever the order in which replications finish, and
however often the work is interrupted, the files that are left in the end are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pmsim.errors import ResultError
from pmsim.simulation.result.place import writing
from pmsim.simulation.result.rows import (
    UNREADABLE,
    read_row,
    read_rows,
    schema_of,
    table_of,
    write_row,
    write_rows,
)

ROWS: Final = "replications"
"""The directory of the dataset."""
WHOLE: Final = "all.parquet"
"""The file that a cell's replications are put together in."""
GOES_ON: Final = "what is finished stays, and the same command goes on from there"
"""What to say where there is no room for more rows."""
TOGETHER: Final = 256
"""Files of single replications of a cell that are put together when there are so many."""

_CELL: Final = re.compile(r"cell=(\d{1,12})")
_SINGLE: Final = re.compile(r"(\d{1,9})\.json")


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that cannot be read, and so what is to be done again.

    Attributes
    ----------
    path
        The file.
    cell
        Whose it is.
    replication
        The one that it held; `None`: those of the whole cell.
    """

    path: Path
    cell: int
    replication: int | None

    def __str__(self) -> str:
        what = "" if self.replication is None else f"replication {self.replication} of "
        return f"{self.path} is damaged: {what}cell {self.cell} alone is done again"


@dataclass(slots=True)
class Found:
    """What a dataset holds.

    Attributes
    ----------
    done
        The replications of each cell.
    failed
        How many of them went wrong in simulated time.
    damage
        The files that could not be read; they have been removed.
    """

    done: dict[int, set[int]] = field(default_factory=dict)
    failed: int = 0
    damage: list[Damage] = field(default_factory=list)


class Dataset:
    """The rows of a sweep.

    Parameters
    ----------
    directory
        The sweep's directory.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / ROWS
        self._singles: dict[int, int] = {}

    def add(
        self, cell: int, replication: int, values: Mapping[str, float], error: str | None
    ) -> None:
        """Put one finished replication on disk.

        Raises
        ------
        OutputError
            If the file system refuses or is full; no half a file is left behind.
        """
        row = {"replication": replication, "error": error, **values}
        file = self._folder(cell) / f"{replication}.json"
        with writing(file, GOES_ON):
            write_row(file, row)
        self._singles[cell] = self._singles.get(cell, 0) + 1
        if self._singles[cell] >= TOGETHER:
            self.put_together(cell)

    @property
    def files(self) -> list[Path]:
        """All files of rows."""
        return [
            file
            for folder in self._folders()
            for file in (*_wholes(folder), *_singles(folder).values())
        ]

    def put_together(self, cell: int) -> None:
        """Leave one file of a cell's replications, in their order."""
        folder = self._folder(cell)
        singles = _singles(folder)
        self._singles[cell] = 0
        if not singles:
            return
        with writing(folder / WHOLE, GOES_ON):
            write_rows(folder / WHOLE, self.cell(cell))
            for path in singles.values():
                path.unlink()

    def cell(self, cell: int) -> pa.Table:
        """Return the rows of one cell, by replication; what a replication does not tell is null."""
        folder = self._folder(cell)
        singles = table_of([read_row(path) for path in _singles(folder).values()])
        tables = [*map(read_rows, _wholes(folder)), singles]
        schema = schema_of({name for table in tables for name in table.column_names})
        rows = pa.concat_tables(tables, promote_options="default")
        # A process that was killed may have left replications twice: the same rows, both of them.
        _, first = np.unique(rows["replication"].to_numpy(), return_index=True)
        return rows.take(pa.array(first)).select(schema.names).cast(schema).combine_chunks()

    def examine(self) -> Found:
        """Return what is there; remove what cannot be read, and what a killed process left."""
        found = Found()
        with writing(self.path, GOES_ON):
            for folder in self._folders():
                self._examine(folder, found)
        return found

    def table(self) -> pa.Table:
        """Return all rows, by cell and replication, with the column ``cell``.

        Raises
        ------
        ResultError
            If a file cannot be read.
        """
        try:
            tables = [self._put_together(), *map(self._loose, self._folders())]
        except UNREADABLE as error:
            raise ResultError(
                f"{self.path} cannot be read: {error} (the command that made the sweep does what is"
                " damaged again)"
            ) from error
        schema = _with_cell(schema_of({name for table in tables for name in table.column_names}))
        rows = pa.concat_tables(tables, promote_options="default").select(schema.names).cast(schema)
        return rows.sort_by([("cell", "ascending"), ("replication", "ascending")])

    def _put_together(self) -> pa.Table:
        """Return the rows of all Parquet files."""
        files = [path for folder in self._folders() for path in _wholes(folder)]
        schema = _with_cell(
            schema_of({name for path in files for name in pq.read_schema(path).names})
        )
        if not files:
            return schema.empty_table()
        options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        return ds.dataset(
            [str(path) for path in files],
            schema=schema,
            format=ds.ParquetFileFormat(default_fragment_scan_options=options),
            partitioning=ds.partitioning(pa.schema([("cell", pa.int64())]), flavor="hive"),
            partition_base_dir=str(self.path),
        ).to_table()

    def _loose(self, folder: Path) -> pa.Table:
        """Return the rows of a cell that stand alone, and nowhere else."""
        singles = _singles(folder)
        if singles:
            for path in _wholes(folder):
                for number in read_rows(path)["replication"].to_pylist():
                    singles.pop(number, None)
        rows = [read_row(path) for path in singles.values()]
        cells = pa.array([_cell_of(folder)] * len(rows), pa.int64())
        return table_of(rows).add_column(0, "cell", cells)

    def _examine(self, folder: Path, found: Found) -> None:
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        cell = _cell_of(folder)
        files: list[tuple[Path, int | None]] = [(path, None) for path in _wholes(folder)]
        files += [(path, number) for number, path in _singles(folder).items()]
        done = found.done.setdefault(cell, set())
        for path, number in files:
            try:
                errors = _errors(path)
            except UNREADABLE:
                found.damage.append(Damage(path, cell, number))
                path.unlink()
                continue
            found.failed += sum(
                error is not None for number, error in errors.items() if number not in done
            )
            done.update(errors)
        self._singles[cell] = len(_singles(folder))

    def _folders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return sorted(filter(lambda p: _CELL.fullmatch(p.name), self.path.iterdir()), key=_cell_of)

    def _folder(self, cell: int) -> Path:
        return self.path / f"cell={cell}"


def _errors(path: Path) -> dict[int, str | None]:
    """Read a file of one or many rows; return what each replication says of an error."""
    if path.name == WHOLE:
        rows = read_rows(path).select(["replication", "error"]).to_pylist()
    else:
        rows = [read_row(path)]
    return {row["replication"]: row["error"] for row in rows}


def _with_cell(schema: pa.Schema) -> pa.Schema:
    return schema.insert(0, pa.field("cell", pa.int64()))


def _cell_of(folder: Path) -> int:
    return int(folder.name.partition("=")[2])


def _wholes(folder: Path) -> list[Path]:
    """Return the file of many replications, if there is one."""
    whole = folder / WHOLE
    return [whole] if whole.exists() else []


def _singles(folder: Path) -> dict[int, Path]:
    """Return the files of single replications, by their number."""
    if not folder.is_dir():
        return {}
    found = {int(path.stem): path for path in folder.iterdir() if _SINGLE.fullmatch(path.name)}
    return dict(sorted(found.items()))
