"""A result as it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from pmsim.simulation.answer.sentences import sentences
from pmsim.simulation.tables.columns import TABLES

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result


def result_html(result: Result) -> str:
    """Return a result's answers in words, and its tables with their sizes."""
    rows = result.manifest["rows"]
    tables = [(name, f"{rows[name]:,}", table.sentence) for name, table in TABLES.items()]
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(result.summary))
    return (
        f"<h4>{escape(result.name)}</h4><ul>{said}</ul>"
        f"{html_table(('table', 'rows', 'what a row is'), tables)}"
        f"<p><code>{escape(str(result.path))}</code></p>"
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text; columns that begin with a word stand left, where notebooks do not."""
    words = [not any(map(str.isdigit, cell[:2])) for cell in (rows or [head])[0]]
    left = [' style="text-align: left"' if word else "" for word in words]

    def line(cells: Sequence[str], tag: str) -> str:
        aligned = zip(cells, left, strict=True)
        return (
            "<tr>" + "".join(f"<{tag}{a}>{escape(cell)}</{tag}>" for cell, a in aligned) + "</tr>"
        )

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
