"""The tables of a result or a sweep for other programs: CSV and JSON, a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pmsim.errors import OutputError
from pmsim.escaping import inert
from pmsim.experiments.results import Sweep
from pmsim.simulation.result.files import new_files
from pmsim.simulation.result.result import Result
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.tables.files import TableFiles

Batches: TypeAlias = Iterator[pa.RecordBatch]

SWEEP_TABLES: Final = ("cells", "replications", "intervals")
"""The tables of a sweep: its cells, a row per replication, and a row per cell and metric."""
ROWS: Final = 4_096
"""Rows that are Python objects at the same time."""


def table_names(found: Result | Sweep) -> tuple[str, ...]:
    """Return the names of the tables that there are."""
    return SWEEP_TABLES if isinstance(found, Sweep) else tuple(TABLES)


def write_csv(
    found: Result | Sweep, directory: Path, names: Sequence[str] = (), *, force: bool = False
) -> list[Path]:
    """Write tables as CSV files, and return where they are.

    The first line names the columns. Words are in quotation marks, what is missing is empty, times
    are whole picoseconds as in the tables. Text that a spreadsheet would take for a formula has an
    apostrophe in front.

    Parameters
    ----------
    found
        A result or a sweep.
    directory
        Where ``TABLE.csv`` go; made where it is missing.
    names
        The tables; all where none is named.
    force
        Whether files that are there already are replaced.

    Raises
    ------
    OutputError
        If a table is unknown, a file is there already, or cannot be written.
    ResultError
        If a table cannot be read. Nothing is left behind then.
    """
    chosen = _chosen(found, names)
    paths = [directory / f"{name}.csv" for name in chosen]
    with new_files(paths, force=force) as halves:
        for name, half in zip(chosen, halves, strict=True):
            schema, batches = _plain(found, name, for_sheets=True)
            with pa_csv.CSVWriter(half, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
    return paths


def write_json(
    found: Result | Sweep, path: Path, names: Sequence[str] = (), *, force: bool = False
) -> Path:
    """Write tables, manifest and summary as one JSON file, and return where it is.

    A table is a list of objects, one per row and line; what is missing is null.

    Parameters
    ----------
    found, names, force
        As of `write_csv`.
    path
        The file.

    Raises
    ------
    OutputError, ResultError
        As of `write_csv`.
    """
    chosen = _chosen(found, names)
    about: dict[str, Any] = {"manifest": found.manifest}
    if isinstance(found, Result):
        about["summary"] = found.summary.as_dict()
    with new_files([path], force=force) as (half,), half.open("w", encoding="utf-8") as file:
        for key, content in about.items():
            file.write(f"{'{' if key == 'manifest' else ''}{_text(key)}: {_text(content)},\n")
        file.write('"tables": {')
        for place, name in enumerate(chosen):
            file.write(f"{',' if place else ''}\n{_text(name)}: [")
            _write_rows(file, _plain(found, name)[1])
            file.write("\n]")
        file.write("\n}}\n")
    return path


def _chosen(found: Result | Sweep, names: Sequence[str]) -> list[str]:
    known = table_names(found)
    for name in names:
        if name not in known:
            raise OutputError(f"no table is called '{name}'; there are {', '.join(known)}")
    return list(dict.fromkeys(names or known))


def _plain(found: Result | Sweep, name: str, for_sheets: bool = False) -> tuple[pa.Schema, Batches]:
    """Return a table's schema and batches; dictionaries become text, and NaN becomes missing.

    ``for_sheets``: no text is a formula of a spreadsheet's.
    """
    if isinstance(found, Sweep):
        rows = pa.Table.from_pandas(_sweep_frame(found, name), preserve_index=False)
        schema, batches = rows.schema.remove_metadata(), iter(rows.to_batches(ROWS))
    else:
        table = TABLES[name]
        schema = table.schema().remove_metadata()
        batches = TableFiles(found.path).arrow_batches(name, table.names)
    fields = [
        pa.field(one.name, pa.string() if pa.types.is_dictionary(one.type) else one.type)
        for one in schema
    ]
    plain = pa.schema(fields)
    return plain, (_known(batch, plain, for_sheets) for batch in batches)


def _known(batch: pa.RecordBatch, schema: pa.Schema, for_sheets: bool) -> pa.RecordBatch:
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        column = column.cast(field.type)
        if for_sheets and pa.types.is_string(field.type):
            column = _inert(column)
        if pa.types.is_floating(field.type):
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _inert(column: pa.Array) -> pa.Array:
    words = column.dictionary_encode()
    harmless = [None if word is None else inert(word) for word in words.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(words.indices, pa.array(harmless, pa.string())).cast(
        column.type
    )


def _sweep_frame(sweep: Sweep, name: str) -> pd.DataFrame:
    if name == "cells":
        return sweep.cells.reset_index()
    return sweep.frame if name == "replications" else sweep.intervals()


def _write_rows(file: IO[str], batches: Batches) -> None:
    between = "\n"
    for batch in batches:
        for start in range(0, len(batch), ROWS):
            for row in batch.slice(start, ROWS).to_pylist():
                file.write(between + _text(row))
                between = ",\n"


def _text(content: str | Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
