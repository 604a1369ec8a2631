"""A result: what is in its directory, as data frames and mappings."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pmsim.errors import ResultError
from pmsim.simulation.files import TableFiles
from pmsim.simulation.manifest import FORMAT
from pmsim.simulation.place import MANIFEST, result_directory
from pmsim.simulation.rows import UNREADABLE, frame_of, read_rows
from pmsim.simulation.tables import TABLES

SUMMARY = "summary.json"
"""The file with the headline numbers."""
METRICS = "metrics.parquet"
"""The file with what each replication measured."""


class Result:
    """The result of a run: tables, a summary, and the scenario that led to them.

    Each table is read from its file when it is first asked for, and kept.

    Parameters
    ----------
    path
        The result's directory.
    temporary
        The directory that holds it, where it is to disappear with this object.

    Raises
    ------
    ResultError
        If there is no result at ``path``, or one of another format.

    Examples
    --------
    >>> import pmsim
    >>> result = pmsim.run(pmsim.load("policy-load"))  # doctest: +SKIP
    >>> result.crosscalls.groupby("cause")["targets"].sum()  # doctest: +SKIP
    """

    def __init__(self, path: Path, temporary: TemporaryDirectory[str] | None = None) -> None:
        self.path = path
        self._tables: dict[str, pd.DataFrame] = {}
        self._files = TableFiles(path)
        found = self.manifest.get("format")
        if found != FORMAT:
            raise ResultError(f"{path} holds a result of format {found}, this pmsim reads {FORMAT}")
        if self._files.missing:
            missing = ", ".join(self._files.missing)
            raise ResultError(f"{path} is not a whole result: {missing} missing")
        if temporary is not None:
            weakref.finalize(self, temporary.cleanup)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return str(self.manifest["scenario"].get("name", ""))

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Scenario as run, its hash and seed, versions and host."""
        manifest: dict[str, Any] = self._json(MANIFEST)
        return manifest

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The headline numbers (`pmsim.simulation.summary`)."""
        summary: dict[str, Any] = self._json(SUMMARY)
        return summary

    @cached_property
    def replications(self) -> pd.DataFrame:
        """One row per replication: every metric (`pmsim.simulation.metrics`) by its column.

        Raises
        ------
        ResultError
            If its file is missing or cannot be read.
        """
        try:
            return frame_of(read_rows(self.path / METRICS))
        except UNREADABLE as error:
            raise ResultError(f"{self.path / METRICS} cannot be read: {error}") from error

    @property
    def operations(self) -> pd.DataFrame:
        """One row per operation of the kernel."""
        return self.table("operations")

    @property
    def crosscalls(self) -> pd.DataFrame:
        """One row per cross-call."""
        return self.table("crosscalls")

    @property
    def cpus(self) -> pd.DataFrame:
        """One row per CPU."""
        return self.table("cpus")

    @property
    def timeline(self) -> pd.DataFrame:
        """One row per interval."""
        return self.table("timeline")

    @property
    def cpu_timeline(self) -> pd.DataFrame:
        """One row per CPU and interval."""
        return self.table("cpu_timeline")

    @property
    def pools(self) -> pd.DataFrame:
        """One row per pool."""
        return self.table("pools")

    @property
    def tasks(self) -> pd.DataFrame:
        """One row per task of a workload."""
        return self.table("tasks")

    @property
    def faults(self) -> pd.DataFrame:
        """One row per simulated fault or failed call."""
        return self.table("faults")

    @property
    def anatomy(self) -> pd.DataFrame:
        """One row per target of the median, the p99 and the slowest cross-call."""
        return self.table("anatomy")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name.

        Raises
        ------
        KeyError
            If there is no such table.
        ResultError
            If its file cannot be read.
        """
        if name not in self._tables:
            if name not in TABLES:
                raise KeyError(f"no table is called '{name}'; there are {', '.join(TABLES)}")
            self._tables[name] = self._files.frame(name)
        return self._tables[name]

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows of a table in order, some columns of it, never all rows at once."""
        return self._files.batches(table, columns)

    def save(self, directory: str | Path, *, force: bool = False) -> Result:
        """Copy the result to a directory of its own, whole or not at all.

        Returns
        -------
        Result
            The copy.

        Raises
        ------
        OutputError
            If the directory exists (unless ``force`` and it holds a result), is not writable, or
            the file system is full.
        """
        target = Path(directory)
        with result_directory(target, force=force) as work:
            shutil.copytree(self.path, work, dirs_exist_ok=True)
        return Result(target)

    def _repr_html_(self) -> str:
        from pmsim.simulation.html import result_html

        return result_html(self)

    def __repr__(self) -> str:
        return f"<pmsim.Result {self.name} in {self.path}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TABLES]

    def _json(self, name: str) -> Any:
        path = self.path / name
        if not path.is_file():
            raise ResultError(f"{self.path} is not a whole result: there is no {name} in it")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(f"{path} cannot be read: {error}") from error


def open_result(directory: str | Path) -> Result:
    """Return the result in a directory.

    Raises
    ------
    ResultError
        If there is none, or not a whole one, or one of another format.
    """
    path = Path(directory)
    if not path.is_dir():
        raise ResultError(f"there is no result at {path}: no such directory")
    return Result(path)
