"""HTML tables for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from pmsim.escaping import escape


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text, columns of words aligned left, which notebooks do not do."""
    words = [not any(map(str.isdigit, cell[:2])) for cell in (rows or [head])[0]]
    left = [' style="text-align: left"' if word else "" for word in words]

    def line(cells: Sequence[str], tag: str) -> str:
        aligned = zip(cells, left, strict=True)
        return (
            "<tr>" + "".join(f"<{tag}{a}>{escape(cell)}</{tag}>" for cell, a in aligned) + "</tr>"
        )

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
