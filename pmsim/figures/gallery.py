"""All figures of a result or a sweep, written to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from pmsim.errors import OutputError
from pmsim.figures import (
    anatomy,
    cpus,
    flushes,
    latencies,
    operations,
    style,
    timeline,
)
from pmsim.figures.calltree import call_tree
from pmsim.figures.choice import sweep_figures
from pmsim.figures.cpus import CpuTables
from pmsim.figures.panels import Panel
from pmsim.figures.swept import Swept

GALLERY: Final[dict[str, tuple[Panel, ...]]] = {
    "operation_cost": (Panel(call_tree, operations.size, operations.draw),),
    "flush_cost": (Panel(flushes.mean_parts, flushes.size, flushes.draw),),
    "broadcast_timeline": (Panel(timeline.rates, timeline.size, timeline.draw),),
    "latency_distribution": (Panel(latencies.latencies, latencies.size, latencies.draw),),
    "cpus_over_time": tuple(
        Panel(partial(cpus.shares, paid=paid), cpus.size, cpus.draw) for paid in ("stolen", "spin")
    ),
    **{
        f"anatomy_{which}": (
            Panel(partial(anatomy.the_call, which=which), anatomy.size, anatomy.draw),
        )
        for which in ("median", "p99", "slowest")
    },
}
"""The figures by the names of their files; several panels stand side by side."""

_DPI: Final = 150


def figures_of(
    found: CpuTables | Swept, metrics: Sequence[str] | None = None, threshold: str | None = None
) -> Mapping[str, tuple[Panel, ...]]:
    """Return the figures of a result or a sweep by the names of their files.

    Parameters
    ----------
    found
        The result, or the sweep.
    metrics
        Columns of metrics that a sweep is drawn for; its headline metrics where not given.
    threshold
        Of these metrics, with its unit, for the phase diagrams of a sweep over two axes.

    Raises
    ------
    ResultError
        If the sweep has no such metric, or no plane for a threshold.
    UnitError
        If the threshold is no value of a metric.
    """
    return sweep_figures(found, metrics, threshold) if isinstance(found, Swept) else GALLERY


def draw_all(
    result: CpuTables | Swept,
    directory: Path | str,
    formats: Sequence[str] = ("png",),
    metrics: Sequence[str] | None = None,
    threshold: str | None = None,
) -> list[Path]:
    """Draw every figure of a result, or those that fit a sweep, into files.

    Parameters
    ----------
    result
        A result of `pmsim.run`, or a sweep.
    directory
        Where the files go; made where it is missing.
    formats
        Endings of the files: any format that Matplotlib writes.
    metrics
        Columns of metrics that a sweep is drawn for; its headline metrics where not given.
    threshold
        Of these metrics, with its unit, for the phase diagrams of a sweep over two axes.

    Returns
    -------
    list of Path
        The files written, a figure's formats together.

    Raises
    ------
    OutputError
        If a format is unknown, or the files cannot be written.
    ResultError
        If the sweep has no such metric, or no plane for a threshold.
    UnitError
        If the threshold is no value of a metric.
    """
    directory = Path(directory)
    written: list[Path] = []
    for name, panels in figures_of(result, metrics, threshold).items():
        figure = _drawn(result, panels)
        with style.themed():
            written += [_save(figure, directory / f"{name}.{ending}") for ending in formats]
    return written


def _drawn(result: CpuTables | Swept, panels: Sequence[Panel]) -> Figure:
    """Return a figure whose panels stand side by side."""
    taken = [panel.take(result) for panel in panels]
    sizes = [panel.size(data) for panel, data in zip(panels, taken, strict=True)]
    width, height = sum(size[0] for size in sizes), max(size[1] for size in sizes)
    figure = style.canvas((width, height))
    with style.themed():
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for panel, data, ax in zip(panels, taken, axes, strict=True):
            panel.draw(data, ax)
    return figure


def _save(figure: Any, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI, metadata=_undated(path.suffix))
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"cannot write {path}: {path.parent} is not a directory") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise OutputError(f"cannot write {path.name}: {error}") from error
    return path


def _undated(suffix: str) -> dict[str, None] | None:
    """Return the metadata that keep the time of drawing out of a file: same result, same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
