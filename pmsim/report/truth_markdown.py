"""Reproduced experiments as Markdown: for a documentation, or an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pmsim.report.markdown import list_markdown, section_markdown, table_markdown
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
        list_markdown(truth_words(found)),
        *(f"![{name.rpartition('/')[2].partition('.')[0]}]({name})" for name in figures),
        *(section_markdown(table, 2) for table in truth_tables(found)),
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
            table_markdown(table),
        ]
    return "\n\n".join(parts) + "\n"


def _definitions(facts: Mapping[str, str]) -> str:
    return list_markdown(f"**{name}**: {text}" for name, text in facts.items())
