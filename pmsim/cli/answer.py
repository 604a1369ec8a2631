"""What a run answers on the terminal: words first, then tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from pmsim.cli.console import Output
from pmsim.report.answer import answer_sheets, answer_words
from pmsim.report.sheets import Sheet

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result


def print_answer(result: Result) -> None:
    """Print what a result says: sentences, then tables, then where the rest is."""
    console = Output()
    console.print(Text(result.name, style="bold"))
    for sentence in answer_words(result):
        console.print(Text(f"- {sentence}"))
    for sheet in answer_sheets(result):
        console.print()
        console.print(_table(sheet))
    console.print()
    console.print(Text(f"tables, summary and figures: {result.path}"))


def _table(sheet: Sheet) -> Table:
    table = Table(
        title=sheet.title, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for place, name in enumerate(sheet.columns):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in sheet.rows:
        table.add_row(*(cell.text for cell in row))
    return table
