"""What a run answers on the terminal: words first, then tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import table as rich_table
from rich.text import Text

from pmsim.cli.console import Output
from pmsim.report.answer import answer_tables, answer_words
from pmsim.report.table import Table

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result


def print_answer(result: Result) -> None:
    """Print what a result says: sentences, then tables, then where the rest is."""
    console = Output()
    console.print(Text(result.name, style="bold"))
    for sentence in answer_words(result):
        console.print(Text(f"- {sentence}"))
    for table in answer_tables(result):
        console.print()
        console.print(_drawn(table))
    console.print()
    console.print(Text(f"tables, summary and figures: {result.path}"))


def _drawn(table: Table) -> rich_table.Table:
    drawn = rich_table.Table(
        title=table.title, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for place, name in enumerate(table.columns):
        drawn.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(cell.text for cell in row))
    return drawn
