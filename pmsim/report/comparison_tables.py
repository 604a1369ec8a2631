"""Several results side by side: which settings differ, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pmsim import formatting
from pmsim.confidence import LEVEL
from pmsim.experiments.comparison import Comparison, Difference
from pmsim.report.table import Cell, Table, count, word
from pmsim.simulation.answer.metrics import metric_of

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

MOST_SETTINGS: Final = 40
"""Keys of scenarios that are shown, the first."""
NOT_SETTINGS: Final = ("name", "description")
"""Keys of a scenario that change nothing."""


def comparison_tables(found: Comparison, sides: Mapping[str, Result]) -> list[Table]:
    """Return the tables of a comparison, those without rows left out.

    Parameters
    ----------
    found
        The comparison.
    sides
        The results by the names that the comparison calls them by, the first one first.
    """
    tables = (settings(sides), differences(found))
    return [table for table in tables if table.rows]


def settings(sides: Mapping[str, Result]) -> Table:
    """Return the keys of the scenarios as run that are not the same on all sides."""
    flat = [dict(_keys(one.manifest["scenario"])) for one in sides.values()]
    every = dict.fromkeys(key for keys in flat for key in keys)
    rows = [
        (word(key), *(word(keys.get(key, "–")) for keys in flat))
        for key in every
        if key not in NOT_SETTINGS and len({repr(keys.get(key)) for keys in flat}) > 1
    ]
    shown = rows[:MOST_SETTINGS]
    more = f"The first {len(shown):,} of {len(rows):,}." if len(shown) < len(rows) else ""
    return Table("settings that differ", ("key", *sides), tuple(shown), more)


def differences(found: Comparison) -> Table:
    """Return how every metric of whole runs differs from the first side."""
    paired = all(one.paired for one in found.differences)
    note = (
        "Replication by replication: both sides drew the same random numbers."
        if paired
        else "Replications are not paired: the seeds differ."
    )
    known = any(one.difference.half_width is not None for one in found.differences)
    if known:
        note += " Effect: Cohen's d, the difference in units of the spread."
    others = list(dict.fromkeys(one.arm for one in found.differences))
    alone = len(others) == 1
    rows = [
        (
            word(metric_of(one.metric)[0].label),
            *([] if alone else [word(one.arm)]),
            *_row(one, known),
        )
        for one in found.differences
        if not metric_of(one.metric)[1]
    ]
    sides = (found.base, others[0]) if alone else ("side", found.base, "there")
    sure = (f"{formatting.share(LEVEL)} interval", "effect") if known else ()
    head = ("what", *sides, "difference", *sure, "runs")
    return Table(f"differences from {found.base}", head, tuple(rows), note)


def _row(one: Difference, known: bool) -> tuple[Cell, ...]:
    """Return the cells of a metric; with intervals where any of the table's is known."""
    form, gap = metric_of(one.metric)[0].form, one.difference
    sure = (
        Cell(formatting.difference_interval(gap, form), gap.half_width),
        Cell("")
        if one.effect is None
        else Cell(formatting.difference(one.effect, "1"), one.effect),
    )
    return (
        Cell(formatting.quantity(one.base, form), one.base),
        Cell(formatting.quantity(one.other, form), one.other),
        Cell(formatting.difference(gap.mean, form), gap.mean),
        *(sure if known else ()),
        count(gap.n),
    )


def _keys(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path of each value; workloads go by their names."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _keys(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, Sequence) and not isinstance(node, str) and node:
        for number, value in enumerate(node):
            key = value.get("name", number) if isinstance(value, Mapping) else number
            yield from _keys(value, f"{path}.{key}")
    else:
        yield path, node
