"""Tables of a calibration: its constants, its cells, and what was left."""

from __future__ import annotations

from collections.abc import Iterable

from pmsim.calibration.calibration import Calibration
from pmsim.calibration.measured import Measured
from pmsim.report.table import Cell, Table, part, time, word
from pmsim.report.truth_tables import signed
from pmsim.units import NS

HELD_OUT = "held out"


def calibration_tables(found: Calibration) -> list[Table]:
    """Return the tables of a calibration, the most important one first."""
    tables = [_constants(found), _cells(found)]
    refused = [one for one in found.session.cells if not one.counts]
    if refused:
        tables.append(_refused(refused))
    if found.fit.left:
        tables.append(_left(found))
    return tables


def _constants(found: Calibration) -> Table:
    return Table(
        title="constants that cells tell",
        columns=("constant", f"on {found.like}", "here", "at least", "at most"),
        rows=tuple(
            (word(_short(one.path)), *map(time, (one.before, one.value, one.low, one.high)))
            for one in found.fit.constants
        ),
        note="At least, at most: bootstrap, 95 %.",
    )


def _cells(found: Calibration) -> Table:
    return Table(
        title="cells",
        columns=("cell", "measured", "±", "simulated", "error", ""),
        rows=tuple(
            _row(one, found.fit.predicted[one.cell]) for one in found.session.cells if one.counts
        ),
        note="±: what the median is known to, at 95 %. Held out: predicted, and never fitted.",
    )


def _row(one: Measured, said_ns: float) -> tuple[Cell, ...]:
    return (
        word(one.cell.name),
        time(one.ns * NS),
        part(one.noise),
        time(said_ns * NS),
        signed(said_ns / one.ns - 1),
        word(HELD_OUT if one.cell.held_out else ""),
    )


def _refused(cells: Iterable[Measured]) -> Table:
    return Table(
        title="cells that do not count",
        columns=("cell", "why"),
        rows=tuple((word(one.cell.name), word(one.refused)) for one in cells),
    )


def _left(found: Calibration) -> Table:
    return Table(
        title=f"constants that stay as on {found.like}",
        columns=("constant", "there", "why"),
        rows=tuple(
            (word(_short(one.path)), time(one.value), word(one.why)) for one in found.fit.left
        ),
        note="All that is not in these tables stays as it is there, too: no cell is about it.",
    )


def _short(path: str) -> str:
    return path.removeprefix("costs.")
