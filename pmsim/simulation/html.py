"""A result as it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from pmsim.simulation.sentences import sentences
from pmsim.simulation.tables import TABLES

if TYPE_CHECKING:
    from pmsim.simulation.result import Result


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


def html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of text."""

    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
