"""What a run answers on the terminal: words first, then tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pmsim.cli.console import Output
from pmsim.escaping import visible
from pmsim.report.answer import answer_tables, answer_words

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result


def print_answer(result: Result) -> None:
    """Print what a result says: sentences, then tables, then where the rest is."""
    console = Output()
    console.print(Text(result.name, style="bold"))
    for sentence in answer_words(result):
        console.print(Text(f"- {visible(sentence)}"))
    for table in answer_tables(result):
        console.print()
        console.table(table)
    console.print()
    console.print(Text(f"tables and summary: {result.path}"))
