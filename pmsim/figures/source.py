"""What a figure asks of a result: its tables, whole or a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import pandas as pd

from pmsim.simulation.answer.summary import Summary


class Tables(Protocol):
    """The part of a `pmsim.Result` that figures read.

    Times are picoseconds; columns are those of the result directory's Parquet tables.
    """

    @property
    def operations(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def crosscalls(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def cpus(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def timeline(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def anatomy(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def summary(self) -> Summary: ...  # noqa: D102


@runtime_checkable
class Batched(Protocol):
    """A result that can hand out a long table a batch at a time, never the whole of it."""

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows of ``table`` in order, ``columns`` alone."""
        ...


def batches(result: Tables, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of one table, ``columns`` alone, in pieces as small as the result can make."""
    if isinstance(result, Batched):
        yield from result.batches(table, columns)
        return
    frame: pd.DataFrame = getattr(result, table)
    yield frame[list(columns)]
