"""A sweep as it shows itself in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from pmsim.experiments.said import cell_table
from pmsim.simulation.result.html import html_table

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

MOST_CELLS: Final = 60
"""Cells that are shown."""


def sweep_html(sweep: Sweep) -> str:
    """Return what a sweep is, and its headline figures cell by cell."""
    head, rows = cell_table(sweep, MOST_CELLS)
    cut = len(sweep.cells) - len(rows)
    more = f"<p>... and {cut:,} cells more</p>" if cut > 0 else ""
    state = "" if sweep.complete else " (unfinished)"
    return (
        f"<h4>{escape(sweep.name)}: {len(sweep.cells):,} cells,"
        f" {int(sweep.cells['replications'].sum()):,} replications{state}</h4>"
        f"{html_table(head, rows)}{more}"
        f"<p><code>{escape(str(sweep.path))}</code></p>"
    )
