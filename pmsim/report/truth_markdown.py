"""Reproduced experiments as Markdown: for a documentation, or an issue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pmsim.report.table import Table
from pmsim.report.truth import experiment_facts
from pmsim.report.truth_tables import experiment_table, lacking, truth_tables, truth_words
from pmsim.reproduction.reproduction import Reproduction


def truth_markdown(found: Reproduction, figures: Sequence[str] = ()) -> str:
    """Return what came out: sentences, tables of all, and a section for each experiment.

    Parameters
    ----------
    found
        What was reproduced.
    figures
        Places of pictures that are shown above the tables.
    """
    scores = found.scores
    parts = [
        "# Predicted against measured",
        _list(truth_words(found)),
        *(f"![{name.rpartition('/')[2].partition('.')[0]}]({name})" for name in figures),
        *(_section(table, 2) for table in truth_tables(found)),
        "## What the model lacks there",
        _definitions(lacking(found)),
    ]
    for one in found.experiments:
        mine = [score for score in scores if score.experiment == one.name]
        table = experiment_table(one, mine)
        parts += [
            f"## {one.name}",
            f"{one.title}.",
            _definitions(experiment_facts(one)),
            *([table.note] if table.note else []),
            _table(table),
        ]
    return "\n\n".join(parts) + "\n"


def _section(table: Table, level: int) -> str:
    title = table.title[0].upper() + table.title[1:]
    note = f"{table.note}\n\n" if table.note else ""
    return f"{'#' * level} {title}\n\n{note}{_table(table)}"


def _table(table: Table) -> str:
    numeric = [any(row[place].number is not None for row in table.rows)
               for place in range(len(table.columns))]  # fmt: skip
    rule = ["---:" if number else "---" for number in numeric]
    rows = [table.columns, rule, *([cell.text for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_cell(sentence)}" for sentence in sentences)


def _definitions(facts: Mapping[str, str]) -> str:
    return _list(f"**{name}**: {text}" for name, text in facts.items())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
