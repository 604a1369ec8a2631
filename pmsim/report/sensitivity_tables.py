"""The table of a sensitivity: every constant that is open, and what it does to the figure."""

from __future__ import annotations

from typing import Final

from pmsim import formatting
from pmsim.experiments.constants.found import Found, FoundConstant
from pmsim.formatting import from_to, written
from pmsim.report.table import Cell, Table, word
from pmsim.simulation.answer.metrics import metric_of

_KNOWN: Final = ("constant", "value", "range", "basis", "at low end", "at high end")
_ENDS: Final = "At the ends of its range: the figure, all other constants as they are."


def varied_constants(found: Found) -> Table:
    """Return all constants with all that was found, for a page."""
    form = metric_of(found.metric)[0].form
    rows = [
        (
            *_known(one, form),
            _index(one.first, one.first_half),
            _index(one.total, one.total_half),
            Cell(formatting.quantity(one.effect, form), one.effect),
            word(one.source),
        )
        for one in found.constants
    ]
    note = (
        f"{_ENDS} Of the spread: Sobol' indices, first and total, with half of their 95 %"
        " intervals. Mean effect: of the whole range, by Morris' screening."
    )
    head = (*_KNOWN, "of the spread, alone", "with others", "mean effect", "source")
    return Table("how sure is that", head, tuple(rows), note)


def constants_that_matter(found: Found) -> Table:
    """Return the constants that matter, with what a terminal has room for."""
    form = metric_of(found.metric)[0].form
    rows = [
        (*_known(one, form), _index(one.total, one.total_half))
        for one in found.constants
        if one.total is not None
    ]
    return Table("constants that matter", (*_KNOWN, "of the spread"), tuple(rows), _ENDS)


def _known(one: FoundConstant, form: str) -> tuple[Cell, ...]:
    return (
        word(one.name),
        word(written(one.value)),
        word(from_to(written(one.low), written(one.high))),
        word(one.basis or "not said"),
        _figure(one.at_low, form),
        _figure(one.at_high, form),
    )


def _figure(value: float | None, form: str) -> Cell:
    return Cell("") if value is None else Cell(formatting.quantity(value, form), value)


def _index(value: float | None, half: float | None) -> Cell:
    if value is None or half is None:
        return Cell("")
    return Cell(f"{100 * value:.0f} ± {100 * half:.0f} %", value)
