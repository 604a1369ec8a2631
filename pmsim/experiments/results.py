"""A sweep on disk as labelled tables: pandas frames and xarray datasets."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pmsim import formatting
from pmsim.confidence import LEVEL, Estimate
from pmsim.escaping import escape
from pmsim.experiments.axes import Cells, Grid, cells_of, labels
from pmsim.experiments.dataset import Dataset
from pmsim.experiments.directory import read_manifest
from pmsim.simulation.answer.estimates import estimate
from pmsim.simulation.answer.metrics import HEADLINES, is_metric, metric_of
from pmsim.simulation.result.html import html_table
from pmsim.simulation.result.rows import frame_of
from pmsim.simulation.run.stopping import headline_estimates, too_wide, too_wide_said

if TYPE_CHECKING:
    import xarray as xr

SHOWN_CELLS: Final = 60
"""Cells that a notebook shows."""


class Sweep:
    """The result of a sweep, finished or not.

    Parameters
    ----------
    path
        Its directory.
    temporary
        The directory that holds it, where it is to disappear with this object.

    Raises
    ------
    ResultError
        If there is no sweep at ``path``, or one of another format.

    Examples
    --------
    >>> import pmsim
    >>> sweep = pmsim.sweep("policy-load", {"machine.cpus": [8, 16]})  # doctest: +SKIP
    >>> sweep.intervals("lost_share")  # doctest: +SKIP
    """

    def __init__(self, path: Path, temporary: TemporaryDirectory[str] | None = None) -> None:
        self.path = path
        self._place = str(path) if temporary is None else "a temporary directory"
        self.manifest: Mapping[str, Any] = read_manifest(path)
        self._cells: Cells = cells_of(self.manifest["cells"])
        if temporary is not None:
            weakref.finalize(self, temporary.cleanup)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return str(self.manifest["name"])

    @property
    def files(self) -> list[Path]:
        """The files of its rows."""
        return Dataset(self.path).files

    @cached_property
    def axes(self) -> Mapping[str, tuple[Any, ...]]:
        """The labels of each axis by dotted path; for chosen points those that occur."""
        if isinstance(self._cells, Grid):
            return {path: tuple(labels(values)) for path, values in self._cells.axes.items()}
        return {path: tuple(self.cells[path].unique()) for path in self._cells.paths}

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell: the label of each axis, and ``replications``, those that are there."""
        changes = [cell.changes for cell in self._cells]
        paths = list(changes[0]) if changes else []
        frame = pd.DataFrame({path: labels([one[path] for one in changes]) for path in paths})
        frame = frame.reindex(range(len(changes)))
        frame.index.name = "cell"
        counts = self._rows["cell"].value_counts()
        return frame.assign(replications=counts.reindex(frame.index, fill_value=0).astype("int64"))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per replication: ``cell``, the label of each axis, ``replication``, metrics.

        ``error`` says what went wrong where a replication failed, and is missing elsewhere; a
        metric that a replication does not tell is NaN.
        """
        rows = self._rows
        axes = self.cells.drop(columns="replications").loc[rows["cell"]]
        axes.index = rows.index
        return pd.concat([rows[["cell"]], axes, rows.drop(columns="cell")], axis=1)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per column of metrics: its metric, label, unit, kind, and what it means."""
        rows = [(name, *metric_of(name)) for name in self._rows.columns if is_metric(name)]
        return pd.DataFrame(
            [(m.name, text, m.unit, m.kind, m.sentence) for _, m, text in rows],
            index=pd.Index([name for name, _, _ in rows], name="column"),
            columns=["metric", "of", "unit", "kind", "sentence"],
        )

    @property
    def complete(self) -> bool:
        """Whether every cell has the replications that were asked for."""
        return bool(self.manifest["complete"])

    @property
    def failures(self) -> pd.DataFrame:
        """What went wrong in simulated time: ``cell``, ``replication``, ``error``."""
        return self._rows.loc[self._rows["error"].notna(), ["cell", "replication", "error"]]

    @property
    def over_budget(self) -> pd.DataFrame:
        """Replications that cost more than ``measure.budget`` allows, a row of `frame` each."""
        if "over_budget" not in self._rows:
            return self.frame.iloc[:0]
        return self.frame[self._rows["over_budget"] > 0]

    def estimates(
        self, columns: Sequence[str] = HEADLINES, level: float = LEVEL
    ) -> dict[tuple[int, str], Estimate]:
        """Return the mean of some metrics in every cell, with its interval.

        Parameters
        ----------
        columns
            Their columns; those that no replication knows are passed over.
        level
            Of confidence.

        Returns
        -------
        dict
            By cell and column.
        """
        seed = int(self.manifest["seed"])
        known = [name for name in columns if name in self._rows]
        return {
            (int(str(cell)), name): estimate(name, rows[name].to_numpy(), seed, level)
            for cell, rows in self._rows.groupby("cell")
            for name in known
        }

    def intervals(self, *columns: str, level: float = LEVEL) -> pd.DataFrame:
        """Return the same as a table.

        Parameters
        ----------
        *columns
            Columns of metrics; the headline metrics where none is given.
        level
            Of confidence.

        Returns
        -------
        DataFrame
            One row per cell and metric: ``cell``, the label of each axis, ``metric``, ``mean``,
            ``low``, ``high``, ``n`` (replications), ``method``.

        Raises
        ------
        KeyError
            If a column is no metric's.
        """
        for column in columns:
            metric_of(column)
        axes = self.cells.drop(columns="replications")
        rows = [
            {"cell": cell, **axes.loc[cell].to_dict(), "metric": name, **one.as_dict()}
            for (cell, name), one in self.estimates(columns or HEADLINES, level).items()
        ]
        names = ["cell", *axes.columns, "metric", "mean", "low", "high", "n", "level", "method"]
        frame = pd.DataFrame(rows, columns=names)
        return frame.astype(dict.fromkeys(("mean", "low", "high"), "float64"))

    def imprecise(self) -> list[str]:
        """Say which headline figures are not known as well as was asked for; none if all are."""
        wanted = self.manifest.get("precision")
        if wanted is None:
            return []
        most = int(self.manifest["max_replications"])
        said = []
        for cell, rows in self._rows.groupby("cell"):
            measured: Any = rows.to_dict("records")
            found = headline_estimates(measured, int(self.manifest["seed"]))
            for name, one in too_wide(found, wanted).items():
                said.append(f"cell {cell}: {too_wide_said(name, one, wanted, most)}")
        return said

    def to_xarray(self) -> xr.Dataset:
        """Return the metrics as an xarray dataset.

        Returns
        -------
        Dataset
            Dimensions are the axes of a grid (of chosen points, ``cell``), ``replication``, and for
            some metrics ``operation``, ``workload`` or ``cause``. Each variable bears its unit and
            meaning as attributes.
        """
        from pmsim.experiments.labelled import dataset_of

        return dataset_of(self._rows, self._cells)

    @cached_property
    def _rows(self) -> pd.DataFrame:
        # Columns come from Arrow one by one, of which pandas warns who adds one; a copy joins them.
        return frame_of(Dataset(self.path).table()).copy()

    def _repr_html_(self) -> str:
        cells = [int(str(number)) for number in self.cells.index[:SHOWN_CELLS]]
        more = len(self.cells) - len(cells)
        rest = f"<p>... and {formatting.counted(more, 'cell')} more</p>" if more else ""
        return (
            f"<h4>{escape(self.name)}: {formatting.counted(len(self.cells), 'cell')},"
            f" {formatting.counted(int(self.cells['replications'].sum()), 'replication')}"
            f"{'' if self.complete else ' (unfinished)'}</h4>"
            f"{html_table(*self._headlines(cells))}"
            f"{rest}"
            f"<p>in <code>{escape(self._place)}</code></p>"
        )

    def _headlines(self, cells: Sequence[int]) -> tuple[list[str], list[list[str]]]:
        """Return the headline metrics of some cells as text: the heads of columns, and rows."""
        found = self.estimates()
        known = [name for name in HEADLINES if any(column == name for _, column in found)]
        head = [*(self.axes or ["cell"]), "n", *(metric_of(name)[0].label for name in known)]
        rows = []
        for cell in cells:
            row = self.cells.loc[cell]
            figures = [
                formatting.with_interval(found[cell, name], metric_of(name)[0].form)
                if (cell, name) in found
                else ""
                for name in known
            ]
            place = [formatting.as_in_files(row[path]) for path in self.axes] or [str(cell)]
            rows.append([*place, str(row["replications"]), *figures])
        return head, rows

    def __repr__(self) -> str:
        cells = formatting.counted(len(self._cells), "cell")
        return f"<pmsim.Sweep {self.name}: {cells} in {self._place}>"

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name.startswith("_"))
