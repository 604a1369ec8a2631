"""A result: what is in its directory, as data frames and mappings."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pmsim.errors import ResultError
from pmsim.escaping import escape
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.result.html import html_table
from pmsim.simulation.result.manifest import FORMAT
from pmsim.simulation.result.place import MANIFEST, result_directory
from pmsim.simulation.result.rows import UNREADABLE, frame_of, read_rows
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.words.sentences import sentences
from pmsim.units import Bytes, parse_size

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "summary.json"
"""The file with the headline numbers."""
METRICS = "metrics.parquet"
"""The file with what each replication measured."""
_KEYS = {
    MANIFEST: ("scenario", "seed", "versions", "host"),
}
"""What the files with keys hold at least."""


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
        self._place = str(path) if temporary is None else "a temporary directory"
        self._tables: dict[str, pd.DataFrame] = {}
        self._files = TableFiles(path)
        found = self.manifest.get("format")
        if found != FORMAT:
            raise ResultError(
                f"{path} is the result of another version of pmsim: it has format {found}, and this"
                f" one reads format {FORMAT} (the scenario in its {MANIFEST} can be run again)"
            )
        self._check_whole(MANIFEST, self.manifest)
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
        return self._json(MANIFEST)

    @cached_property
    def page_size(self) -> Bytes:
        """Bytes of a page of the kernel that ran."""
        # What was written before kernels had a choice has pages of 4 KiB.
        return parse_size(self.manifest["scenario"]["kernel"].get("page_size", "4KiB"))

    @cached_property
    def summary(self) -> Summary:
        """The headline numbers (`pmsim.simulation.answer.summary.Summary`).

        Each is an attribute (``result.summary.cost.share``), and a key as in ``summary.json``
        (``result.summary["cost"]["share"]``).
        """
        try:
            return Summary.from_dict(self._json(SUMMARY))
        except KeyError as error:
            raise ResultError(
                f"{self.path / SUMMARY} is not as it was written: {error.args[0]} missing"
            ) from error
        except ValueError as error:
            raise ResultError(f"{self.path / SUMMARY} is not as it was written: {error}") from error

    @cached_property
    def replications(self) -> pd.DataFrame:
        """One row per replication: every metric (`pmsim.simulation.answer.metrics`) by its column.

        Raises
        ------
        ResultError
            If its file is missing or cannot be read.
        """
        if not (self.path / METRICS).is_file():
            raise ResultError(f"{self.path} is not a whole result: there is no {METRICS} in it")
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
        """One row per shootdown."""
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
    def locks(self) -> pd.DataFrame:
        """One row per lock that a task waited for."""
        return self.table("locks")

    @property
    def tasks(self) -> pd.DataFrame:
        """One row per task of a workload."""
        return self.table("tasks")

    @property
    def faults(self) -> pd.DataFrame:
        """One row per simulated fault or failed call."""
        return self.table("faults")

    @property
    def violations(self) -> pd.DataFrame:
        """One row per CPU that could use what the kernel took for forgotten."""
        return self.table("violations")

    @property
    def safety(self) -> pd.DataFrame:
        """One row per run: how many violations, and what was trusted."""
        return self.table("safety")

    @property
    def overwrites(self) -> pd.DataFrame:
        """One row per write of an attack on pools."""
        return self.table("overwrites")

    @property
    def anatomy(self) -> pd.DataFrame:
        """One row per target of the median, the p99 and the slowest IPI call, and of others."""
        return self.table("anatomy")

    @property
    def stretches(self) -> pd.DataFrame:
        """One row per stretch in which a task kept interrupts off or waited."""
        return self.table("stretches")

    @property
    def interruptions(self) -> pd.DataFrame:
        """One row per isolated CPU and shootdown that interrupted it."""
        return self.table("interruptions")

    @property
    def detail(self) -> pd.DataFrame:
        """One row per run with ``measure.detail``: how much was kept."""
        return self.table("detail")

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
        rows = self.manifest["rows"]
        tables = [(name, f"{rows[name]:,}", table.sentence) for name, table in TABLES.items()]
        said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(self.summary))
        return (
            f"<h4>{escape(self.name)}</h4><ul>{said}</ul>"
            f"{html_table(('table', 'rows', 'what a row is'), tables)}"
            f"<p>in <code>{escape(self._place)}</code></p>"
        )

    def __repr__(self) -> str:
        return f"<pmsim.Result {self.name} in {self._place}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TABLES]

    def _json(self, name: str) -> Mapping[str, Any]:
        path = self.path / name
        if not path.is_file():
            raise ResultError(f"{self.path} is not a whole result: there is no {name} in it")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise ResultError(f"{path} is not as it was written: it holds no keys")
        return content

    def _check_whole(self, name: str, content: Mapping[str, Any]) -> None:
        missing = [key for key in _KEYS[name] if key not in content]
        if missing:
            raise ResultError(
                f"{self.path / name} is not as it was written: {', '.join(missing)} missing"
            )


def open_result(directory: str | Path) -> Result:
    """Return the result in a directory.

    Raises
    ------
    ResultError
        If there is none, or not a whole one, or one of another format.
    """
    path = Path(directory)
    if path.is_file():
        raise ResultError(f"{path} is a file; a result is a directory, as `pmsim run` leaves it")
    if not path.is_dir():
        raise ResultError(f"there is no result at {path}: no such directory")
    return Result(path)
