"""Tables and lists as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from pmsim.report.table import Table


def section_markdown(table: Table, level: int) -> str:
    """Return a table below its title, a heading of that level, and its note."""
    title = table.title[0].upper() + table.title[1:]
    note = f"{table.note}\n\n" if table.note else ""
    return f"{'#' * level} {title}\n\n{note}{table_markdown(table)}"


def table_markdown(table: Table) -> str:
    """Return a table alone; columns of numbers stand to the right."""
    numeric = [any(row[place].number is not None for row in table.rows)
               for place in range(len(table.columns))]  # fmt: skip
    rule = ["---:" if number else "---" for number in numeric]
    rows = [table.columns, rule, *([cell.text for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def list_markdown(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    return "\n".join(f"- {_cell(sentence)}" for sentence in sentences)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
