"""The tables of a result, and the metrics of a replication."""

from __future__ import annotations

from docs._generate.markdown import code, table
from pmsim.simulation.answer.metrics import METRICS
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.tables.columns import TABLES

TABLES_HEAD = """\
# Tables

A result directory has one Parquet file for each of these tables; `pmsim.open` gives each as a
pandas data frame. Times are whole picoseconds (`ps`); what is counted has the unit 1. *or none*
marks a column in which a row may have no value.
"""

METRICS_HEAD = """\
# Metrics

What one replication is measured by: the columns of a sweep, of its figures and of comparisons. A
metric *of each* something is one column for each label, `operation_mean_ps[vfree]` for example.
Metrics in bold are the headline ones, which `--precision` waits for. Means over replications have t
intervals; those of quantiles and extremes are bootstrapped.

"""


SUMMARY_HEAD = """\
# Summary

The headline numbers of a result are in its `summary.json`, and in Python in `result.summary`, by
attributes (`result.summary.cost.share`) or by keys (`result.summary["cost"]["share"]`). Times are
picoseconds; sums are over all replications where nothing else is said. `[]` marks a list of such
entries, `{}` one entry for each name.

"""


def table_page() -> str:
    """Return every table with its columns."""
    parts = [TABLES_HEAD]
    for one in TABLES.values():
        rows = [
            (code(c.name), c.dtype + (" or none" if c.nullable else ""), c.unit, c.sentence)
            for c in one.columns
        ]
        head = ("column", "holds", "unit", "meaning")
        parts.append(f"\n## `{one.name}`\n\n{one.sentence}\n\n{table(head, rows)}")
    return "".join(parts)


def summary_page() -> str:
    """Return every number of a summary."""
    rows = [(code(path), meaning) for path, meaning in Summary.meanings()]
    return SUMMARY_HEAD + table(("key", "meaning"), rows)


def metric_page() -> str:
    """Return every metric."""
    rows = [
        (
            f"**`{one.name}`**" if one.headline else code(one.name),
            one.unit,
            one.kind,
            one.dimension,
            one.sentence,
        )
        for one in METRICS.values()
    ]
    return METRICS_HEAD + table(("metric", "unit", "kind", "of each", "meaning"), rows)
