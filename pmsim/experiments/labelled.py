"""The rows of a sweep as an xarray dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pmsim.experiments.axes import Cells, Grid, labels
from pmsim.simulation.answer.metrics import METRICS, is_metric, metric_of

if TYPE_CHECKING:
    import xarray as xr


def dataset_of(rows: pd.DataFrame, cells: Cells) -> xr.Dataset:
    """Return rows of replications, labelled by the axes of their cells.

    Parameters
    ----------
    rows
        ``cell``, ``replication`` and the columns of metrics.
    cells
        What the cells are.
    """
    import xarray as xr

    shape, coordinates = _axes(cells)
    numbers = np.sort(rows["replication"].unique())
    coordinates["replication"] = ("replication", numbers)
    place = (rows["cell"].to_numpy(), np.searchsorted(numbers, rows["replication"].to_numpy()))
    variables: dict[str, Any] = {}
    for name, columns in _by_metric(rows).items():
        metric = METRICS[name]
        spread = [_spread(rows[c].to_numpy(), place, (len(cells), len(numbers))) for c in columns]
        about = {"units": metric.unit, "long_name": metric.label, "description": metric.sentence}
        dimensions = (*shape, "replication")
        values = spread[0].reshape(*shape.values(), len(numbers))
        if metric.dimension:
            stacked = [one.reshape(*shape.values(), len(numbers)) for one in spread]
            texts = list(columns.values())
            one = xr.DataArray(
                np.stack(stacked, axis=-1),
                {metric.dimension: texts},
                (*dimensions, metric.dimension),
                attrs=about,
            )
            variables[name] = one
        else:
            variables[name] = (dimensions, values, about)
    return xr.Dataset(variables, coordinates)


def _axes(cells: Cells) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the size of each dimension of the cells, and the coordinates along them."""
    if isinstance(cells, Grid) and cells.axes:
        return (
            {path: len(values) for path, values in cells.axes.items()},
            {path: (path, labels(values)) for path, values in cells.axes.items()},
        )
    coordinates: dict[str, Any] = {"cell": ("cell", np.arange(len(cells)))}
    if not isinstance(cells, Grid):
        for place, path in enumerate(cells.paths):
            coordinates[path] = ("cell", labels([point[place] for point in cells.points]))
    return {"cell": len(cells)}, coordinates


def _by_metric(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the columns of each metric, with their labels."""
    found: dict[str, dict[str, str]] = {}
    for column in filter(is_metric, rows.columns):
        metric, text = metric_of(column)
        found.setdefault(metric.name, {})[column] = text
    return found


def _spread(
    values: npt.NDArray[Any],
    place: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    shape: tuple[int, int],
) -> npt.NDArray[np.float64]:
    """Put values at their cells and replications; what is missing is NaN."""
    spread = np.full(shape, np.nan)
    spread[place] = values
    return spread
