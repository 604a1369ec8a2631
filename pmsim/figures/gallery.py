"""All figures of a result or a sweep, written to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmsim.errors import OutputError
from pmsim.figures import (
    anatomy,
    cpus,
    designs,
    flushes,
    interruptions,
    isolation,
    latencies,
    look,
    operations,
    overcommitted,
    side_by_side,
    space,
    swings,
    timeline,
    wakeups,
)
from pmsim.figures.calltree import call_tree
from pmsim.figures.choice import sweep_figures
from pmsim.figures.cpus import CpuTables
from pmsim.figures.form import current, form_of, formed
from pmsim.figures.panels import Panel
from pmsim.figures.swept import Swept
from pmsim.figures.swings import Sensitive
from pmsim.simulation.result.place import note
from pmsim.simulation.result.rows import put_whole

GALLERY: Final[dict[str, tuple[Panel, ...]]] = {
    "operation_cost": (Panel(call_tree, operations.size, operations.draw, operations.says),),
    "flush_cost": (Panel(flushes.mean_parts, flushes.size, flushes.draw, flushes.says),),
    "broadcast_timeline": (Panel(timeline.rates, timeline.size, timeline.draw, timeline.says),),
    "latency_distribution": (
        Panel(latencies.latencies, latencies.size, latencies.draw, latencies.says),
    ),
    "interruption_lengths": (
        Panel(interruptions.lengths, interruptions.size, interruptions.draw, interruptions.says),
    ),
    "address_space": tuple(
        Panel(partial(space.space, which=which), space.size, space.draw, space.says, name=which)
        for which in ("vmalloc", "modules")
    ),
    "cpus_over_time": tuple(
        Panel(partial(cpus.shares, paid=paid), cpus.size, cpus.draw, cpus.says, name=paid)
        for paid in ("stolen", "spin")
    ),
    **{
        f"anatomy_{which}": (
            Panel(partial(anatomy.distinct, which=which), anatomy.size, anatomy.draw, anatomy.says),
        )
        for which in ("median", "p99", "slowest")
    },
}
"""The figures by the names of their files; several panels stand side by side."""

_COMPRESSION: Final = 3
"""Of zlib's nine levels: twice as fast as the usual sixth, and files a tenth larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure that has something to say, before it is drawn.

    Attributes
    ----------
    name
        Name of its file, without an ending.
    panels
        Its pictures side by side, each with its data.
    """

    name: str
    panels: tuple[tuple[Panel, Any], ...]

    def save(self, *paths: Path) -> str:
        """Draw it into files, each of which appears whole or not at all.

        Parameters
        ----------
        paths
            Where they go; their endings are any format that Matplotlib writes.

        Returns
        -------
        str
            Its caption: what it shows, and what is drawn of how many things.

        Raises
        ------
        OutputError
            If a format is unknown, or a file cannot be written.
        """
        with look.themed():
            figure = self._drawn()
            for path in paths:
                _save(figure, path)
        return " ".join(str(ax.get_label()) for ax in figure.axes)

    def _drawn(self) -> Figure:
        """Return a figure whose panels stand side by side."""
        sizes = [panel.size(data) for panel, data in self.panels]
        width, height = sum(size[0] for size in sizes), max(size[1] for size in sizes)
        figure = look.canvas(current().fit((width, height)), current().dpi)
        axes = figure.subplots(1, len(self.panels), squeeze=False)[0]
        for (panel, data), ax in zip(self.panels, axes, strict=True):
            panel.draw(data, ax)
        return figure


_SENSITIVITY: Final[dict[str, tuple[Panel, ...]]] = {
    "constants": (Panel(swings.swings, swings.size, swings.draw, swings.says),)
}
"""The figures of a sensitivity."""


_ANSWERS: Final[dict[str, tuple[Panel, ...]]] = {
    "pareto": (Panel(designs.designs, designs.size, designs.draw, designs.says),),
    "protocols": tuple(
        Panel(
            partial(side_by_side.side_by_side, metric=metric), side_by_side.size,
            side_by_side.draw, side_by_side.says, name=metric,
        )
        for metric in side_by_side.COSTS
    ),
    "variants": tuple(
        Panel(
            partial(side_by_side.side_by_side, metric=metric, of=side_by_side.TOGETHER),
            side_by_side.size, side_by_side.draw, side_by_side.says, name=metric.partition("[")[0],
        )
        for metric in side_by_side.ACROSS
    ),
    "isolation": tuple(
        Panel(
            partial(isolation.of_isolated, metric=metric), isolation.size, isolation.draw,
            isolation.says, name=metric,
        )
        for metric in ("isolated_interrupts_per_s", "isolated_own_share")
    ),
    "guests": tuple(
        Panel(
            partial(overcommitted.of_guests, metric=metric), overcommitted.size,
            overcommitted.draw, overcommitted.says, name=metric,
        )
        for metric in (overcommitted.RATE, overcommitted.LATENCY, overcommitted.HELD_UP)
    ),
    "waking": (Panel(wakeups.parts, wakeups.size, wakeups.draw, wakeups.says),),
}  # fmt: skip
"""The figures of sweeps that have an answer of their own."""
_ANSWERED_BY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "pareto": frozenset({designs.COST, designs.EXPOSURE}),
        "protocols": frozenset(side_by_side.COSTS),
        "variants": frozenset(side_by_side.ACROSS),
        "isolation": frozenset({"isolated_interrupts_per_s", "isolated_own_share"}),
        "guests": frozenset({overcommitted.RATE, overcommitted.LATENCY, overcommitted.HELD_UP}),
        "waking": frozenset({wakeups.LATENCY, wakeups.PART}),
    }
)
"""The metrics that they show: where others are asked for, they are not drawn."""


def drawings(
    found: CpuTables | Swept | Sensitive,
    metrics: Sequence[str] | None = None,
    threshold: str | None = None,
) -> list[Drawing]:
    """Return the figures of a result or a sweep that say something, ready to be drawn.

    Parameters
    ----------
    found
        The result, the sweep, or the sensitivity.
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
    if isinstance(found, Swept):
        figures = {**_answers(metrics), **sweep_figures(found, metrics, threshold)}
    else:
        figures = _SENSITIVITY if isinstance(found, Sensitive) else GALLERY
    chosen: list[Drawing] = []
    for name, panels in figures.items():
        taken = [(panel, panel.take(found)) for panel in panels]
        telling = tuple((panel, data) for panel, data in taken if panel.says(data))
        chosen += _apart(name, telling) if current().narrow else [Drawing(name, telling)]
    return [drawing for drawing in chosen if drawing.panels]


def _answers(metrics: Sequence[str] | None) -> dict[str, tuple[Panel, ...]]:
    return {
        name: panels
        for name, panels in _ANSWERS.items()
        if metrics is None or _ANSWERED_BY[name].intersection(metrics)
    }


def _apart(name: str, panels: tuple[tuple[Panel, Any], ...]) -> list[Drawing]:
    """Return a figure for each panel: in a narrow one they have no room side by side."""
    return [
        Drawing("_".join(filter(None, (name, panel.name))), ((panel, data),))
        for panel, data in panels
    ]


def draw_all(
    result: CpuTables | Swept | Sensitive,
    directory: Path | str,
    formats: Sequence[str] = ("png",),
    metrics: Sequence[str] | None = None,
    threshold: str | None = None,
    *,
    width: str | None = None,
) -> list[Path]:
    """Draw the figures of a result, or those that fit a sweep, into files.

    Those that would say nothing are left out: an empty one, a uniform one, or one that looks like
    another.

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
    width
        Of each figure, as in ``"3.3in"`` or ``"84mm"``; that of the current `style` where not
        given.

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
        If the threshold is no value of a metric, or there is no such width.
    """
    written: list[Path] = []
    with formed(current() if width is None else form_of(width)):
        for drawing in drawings(result, metrics, threshold):
            files = [Path(directory) / f"{drawing.name}.{ending}" for ending in formats]
            drawing.save(*files)
            written += files
    return written


def _save(figure: Figure, path: Path) -> None:
    try:
        put_whole(path, lambda half: _write(figure, half, path.suffix.removeprefix(".")))
        note(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"cannot write {path}: {path.parent} is not a directory") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise OutputError(f"cannot write {path.name}: {error}") from error


def _write(figure: Figure, path: Path, ending: str) -> None:
    if ending == "png":
        # `savefig` would draw everything twice, once to find places for it.
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(path, pil_kwargs={"compress_level": _COMPRESSION})
    else:
        figure.savefig(path, format=ending, metadata=_undated(ending))


def _undated(ending: str) -> dict[str, None] | None:
    """Return the metadata that keep the time of drawing out of a file: same result, same bytes."""
    return {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
