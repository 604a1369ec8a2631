"""The tables of a sweep: its cells, their means, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pmsim import formatting
from pmsim.confidence import LEVEL, Estimate
from pmsim.report.table import Cell, Table, count, ident, word
from pmsim.simulation.answer.metrics import HEADLINES, is_metric, metric_of

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

MOST_CELLS: Final = 500
"""Cells that are shown."""
MOST_FAILURES: Final = 50
"""Failed replications that are shown."""


def sweep_tables(sweep: Sweep) -> list[Table]:
    """Return the tables of a sweep, those without rows left out."""
    return [table for table in (headlines(sweep), means(sweep), failures(sweep)) if table.rows]


def headlines(sweep: Sweep, most: int = MOST_CELLS) -> Table:
    """Return the headline metrics of the first cells, with what each mean may be off by."""
    found = sweep.estimates()
    known = [name for name in HEADLINES if any(column == name for _, column in found)]
    rows = [
        (*_place(sweep, int(str(cell)), row), count(row["replications"]),
         *(_mean(name, found.get((int(str(cell)), name))) for name in known))
        for cell, row in sweep.cells.head(most).iterrows()
    ]  # fmt: skip
    head = (*(sweep.axes or ("cell",)), "runs", *(metric_of(name)[0].label for name in known))
    note = f"Means; ± is half of the {formatting.share(LEVEL)} interval."
    if len(sweep.cells) > len(rows):
        note += f" The first {len(rows):,} of {len(sweep.cells):,} cells."
    return Table("cells", head, tuple(rows), note)


def means(sweep: Sweep) -> Table:
    """Return every metric's mean over all cells, and its smallest and largest one in a cell."""
    columns = [name for name in sweep.frame.columns if is_metric(name)]
    by_cell = sweep.frame.groupby("cell")[columns].mean()
    rows = []
    for name in columns:
        metric, label = metric_of(name)
        values = by_cell[name].dropna()
        if len(values):
            numbers = (values.mean(), values.min(), values.max())
            cells = (
                Cell(formatting.quantity(value, metric.form), float(value)) for value in numbers
            )
            said = f"{metric.label}, {label}" if label else metric.label
            rows.append((word(said), *cells))
    head = ("what", "mean of all cells", "in the lowest cell", "in the highest cell")
    return Table("all metrics", head, tuple(rows))


def failures(sweep: Sweep) -> Table:
    """Return the replications that went wrong in simulated time."""
    found = sweep.failures
    rows = [
        (ident(one["cell"]), ident(one["replication"]), word(one["error"]))
        for one in found.head(MOST_FAILURES).to_dict("records")
    ]
    more = f"The first {len(rows):,} of {len(found):,}." if len(rows) < len(found) else ""
    return Table("failures", ("cell", "replication", "error"), tuple(rows), more)


def _place(sweep: Sweep, cell: int, row: Any) -> tuple[Cell, ...]:
    """Return the labels of a cell: numbers are sorted as such."""
    if not sweep.axes:
        return (ident(cell),)
    return tuple(_label(row[path]) for path in sweep.axes)


def _label(value: Any) -> Cell:
    try:
        return Cell(formatting.as_in_files(value), float(value))
    except (TypeError, ValueError):
        return word(value)


def _mean(name: str, found: Estimate | None) -> Cell:
    if found is None:
        return Cell("")
    return Cell(formatting.with_interval(found, metric_of(name)[0].form), found.mean)
