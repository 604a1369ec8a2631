"""Files of what replications measured: one as JSON, many as Parquet; never half a file.

A row alone is JSON because a Parquet file of a hundred columns and one row takes longer to write
than some replications take to run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from pmsim.simulation.answer.metrics import absent, is_metric, metric_of, ordered
from pmsim.simulation.tables.arrays import numbers, strings

if TYPE_CHECKING:
    import pandas as pd

Row: TypeAlias = Mapping[str, Any]
"""One replication: ``replication``, ``error``, and its metrics by column."""

UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)
"""What reading a damaged file raises."""


def write_row(path: Path, row: Row) -> None:
    """Write one replication; raise `OSError` if the file system refuses or is full."""
    text = json.dumps(row)
    whole = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "row": row})
    put_whole(path, lambda half: half.write_text(whole, encoding="ascii"))


def read_row(path: Path) -> dict[str, Any]:
    """Read one replication; raise one of `UNREADABLE` if it is not as it was written."""
    content = json.loads(path.read_text(encoding="ascii"))
    row: dict[str, Any] = content["row"]
    if hashlib.sha256(json.dumps(row).encode()).hexdigest() != content["sha256"]:
        raise ValueError(f"{path} is not as it was written")
    return row


def write_rows(path: Path, rows: pa.Table) -> None:
    """Write many replications; raise `OSError` if the file system refuses or is full."""
    put_whole(
        path,
        lambda half: pq.write_table(rows, half, compression="zstd", write_page_checksum=True),
    )


def read_rows(path: Path) -> pa.Table:
    """Read many replications; raise one of `UNREADABLE` if they are not as they were written."""
    rows = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    # The sums cover the values; names and types are known.
    if not rows.schema.equals(schema_of(set(rows.column_names)), check_metadata=True):
        raise ValueError(f"{path} has other columns than it should")
    return rows


def schema_of(names: set[str]) -> pa.Schema:
    """Return the schema of rows with some metrics, each with its unit and sentence."""
    fields = [pa.field("replication", pa.int64(), False), pa.field("error", pa.string())]
    for name in ordered({name for name in names if is_metric(name)}):
        metric, _label = metric_of(name)
        about = {"unit": metric.unit, "sentence": metric.sentence}
        fields.append(pa.field(name, pa.float64(), True, about))
    return pa.schema(fields)


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """Return a table as a data frame, in which what was counted nowhere is zero, not unknown."""
    frame: pd.DataFrame = rows.to_pandas(split_blocks=True)
    for name in filter(is_metric, frame.columns):
        if absent(name) == 0:
            frame[name] = frame[name].where(frame[name].notna() | frame["error"].notna(), 0.0)
    return frame


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows as a table."""
    schema = schema_of({name for row in rows for name in row})
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    arrays = [
        numbers(columns[field.name], "int" if field.type == pa.int64() else "float")
        if field.name != "error"
        else strings(columns["error"])
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def numbered(measured: Sequence[Mapping[str, float]]) -> pa.Table:
    """Return what replications measured as a table, from the first on."""
    return table_of(
        [{"replication": number, "error": None, **row} for number, row in enumerate(measured)]
    )


def put_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let a file appear at ``path`` whole or not at all."""
    half = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(half)
        os.replace(half, path)
    except BaseException:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise
