"""Which figures fit a sweep: by how many axes it has, and what sort of metric is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from pmsim.errors import ResultError
from pmsim.figures import curve, effects, heat, phases
from pmsim.figures.measures import measure_of
from pmsim.figures.panels import Panel
from pmsim.figures.swept import Swept, axis_of, check_metric, is_grid, metrics_of, varied
from pmsim.simulation.answer.metrics import HEADLINES, metric_of


def along_axes(sweep: Swept, metric: str, ax: Axes | None) -> Axes:
    """Draw a metric along the axes of a sweep; what each of them does, where they are many."""
    if _as_lines(sweep):
        return curve.curves(sweep, metric, ax=ax)
    return effects.tornado(sweep, metric, ax=ax)


def sweep_figures(
    sweep: Swept, metrics: Sequence[str] | None = None, threshold: str | None = None
) -> dict[str, tuple[Panel, ...]]:
    """Return the figures that fit a sweep, by the names of their files.

    Parameters
    ----------
    sweep
        The sweep.
    metrics
        Columns of metrics; the headline metrics that it knows where none are given.
    threshold
        Of the metrics, with its unit: a phase diagram of each is drawn for it.

    Raises
    ------
    ResultError
        If the sweep has no such metric (the nearest is named), or no plane for a threshold.
    UnitError
        If the threshold is no value of a metric.
    """
    for metric in metrics or ():
        check_metric(sweep, metric)
    known = metrics_of(sweep)
    figures: dict[str, tuple[Panel, ...]] = {}
    for metric in metrics or [name for name in HEADLINES if name in known]:
        for kind, module, take in _kinds(sweep, metric, threshold):
            name = f"{kind}-{_plain(metric)}"
            panel = Panel(partial(take, metric=metric), module.size, module.draw)
            if metrics is None and kind == "heat_map":
                panel = replace(panel, says=heat.says)
            figures[name] = (panel,)
    return figures


def _kinds(sweep: Swept, metric: str, threshold: str | None) -> list[tuple[str, Any, Any]]:
    """Return what is drawn of one metric: a name, the module that draws, what takes the data."""
    paths = varied(sweep)
    plane = len(paths) == 2 and is_grid(sweep)
    if threshold is not None and not plane:
        raise ResultError(
            "a threshold is drawn as a line on the plane of two axes, and the sweep "
            + (f"varies {len(paths)}" if len(paths) != 2 else "has chosen points, no grid")
        )
    if not paths:
        return []
    if not _as_lines(sweep):
        return [("tornado", effects, effects.effects)]
    kinds: list[tuple[str, Any, Any]] = [("curves", curve, curve.lines)]
    if plane:
        kinds.append(("heat_map", heat, heat.heat))
    if threshold is not None:
        limit = measure_of(metric).read(threshold)
        kinds.append(("phase_diagram", phases, partial(phases.phases, threshold=limit)))
    elif plane and metric_of(metric)[0].kind == "share" and _by_numbers(sweep, paths):
        kinds.append(("phase_diagram", phases, phases.phases))
    return kinds


def _by_numbers(sweep: Swept, paths: Sequence[str]) -> bool:
    """Return whether all axes are of numbers: between two names there is no place for a line."""
    return all(axis_of(sweep, path).numbers for path in paths)


def _as_lines(sweep: Swept) -> bool:
    """Return whether all cells fit one figure of lines."""
    count = len(varied(sweep))
    return count == 1 or (count == 2 and is_grid(sweep))


def _plain(column: str) -> str:
    """Return a column's name fit for a file: ``operation_p99_ps-load_module``."""
    return column.replace("[", "-").removesuffix("]").replace("/", "-")
