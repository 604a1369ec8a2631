"""Where tables are read from: the files of a result, or one replication that is still in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pmsim.simulation.tables.arrays import coded, filled

Values: TypeAlias = npt.NDArray[Any]


class TableSource(Protocol):
    """Tables that are read some columns and a batch of rows at a time."""

    def arrow_batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in order, ``columns`` alone."""
        ...


def whole(source: TableSource, table: str, columns: Sequence[str]) -> dict[str, Values]:
    """Return columns of a short table as arrays: words as objects, integers that are none as -1."""
    batches = list(source.arrow_batches(table, columns))
    return {
        name: np.concatenate([_array(batch.column(place)) for batch in batches])
        if batches
        else np.empty(0, dtype=np.int64)
        for place, name in enumerate(columns)
    }


def _array(column: pa.Array) -> Values:
    if pa.types.is_dictionary(column.type):
        codes, names = coded(column)
        texts: Values = np.array([*names, None], dtype=object)[codes]
        return texts
    return filled(column)
