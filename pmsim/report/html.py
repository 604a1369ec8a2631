"""The pieces of a page: tables, words, lists, each from plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pmsim.escaping import escape
from pmsim.report.svg import Inline
from pmsim.report.table import Cell, Table

WIDE: Final = 5
"""A table of so many columns is stacked on a phone: each row a heading with what it has below."""


def table_html(table: Table) -> str:
    """Return a table that can be sorted by each of its columns."""
    wide = len(table.columns) >= WIDE
    numeric = [_is_numeric(row[place] for row in table.rows) for place in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{_kind(number)}>{_breakable(name)}</th>'
        for name, number in zip(table.columns, numeric, strict=True)
    )
    labels = table.columns if wide else ()
    body = "\n".join(_row(row, numeric, labels) for row in table.rows)
    title = escape(table.title[0].upper() + table.title[1:])
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    kinds = " ".join(["sortable"] * (len(table.rows) > 1) + ["wide"] * wide)
    kinds = f' class="{kinds}"' if kinds else ""
    return (
        f'<section class="table"><h3>{title}</h3>{note}'
        f'<div class="scroll" role="group" aria-label="{title}"><table{kinds}>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></section>"
    )


def figure_html(figure: Inline, screen: str = "any") -> str:
    """Return a figure as wide as the page.

    Parameters
    ----------
    screen
        Where it is seen: on ``"any"`` screen, on a ``"desk"``, or on a ``"phone"``.
    """
    return f'<figure class="{screen}">{figure.svg}</figure>'


def words_html(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="words">{said}</ul>'


def facts_html(facts: Mapping[str, object]) -> str:
    """Return names and what they stand for."""
    pairs = (f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items())
    return f"<dl>{''.join(pairs)}</dl>"


def folded_html(summary: str, text: str) -> str:
    """Return text as it stands, which shows when its summary is clicked."""
    return (
        f"<details><summary>{escape(summary)}</summary>"
        f"<pre><code>{escape(text)}</code></pre></details>"
    )


def _breakable(path: str) -> str:
    """Return text that may be broken after the points of a dotted path."""
    return escape(path).replace(".", ".<wbr>")


def _row(row: tuple[Cell, ...], numeric: list[bool], labels: Sequence[str]) -> str:
    cells = []
    for place, (cell, number) in enumerate(zip(row, numeric, strict=True)):
        sort = "" if cell.number is None else f' data-number="{cell.number!r}"'
        sort += f' data-label="{escape(labels[place])}"' if labels else ""
        tag = "td" if place else 'th scope="row"'
        cells.append(f"<{tag}{_kind(number)}{sort}>{escape(cell.text)}</{tag.split()[0]}>")
    return f"<tr>{''.join(cells)}</tr>"


def _is_numeric(column: Iterable[Cell]) -> bool:
    """Return whether a column is sorted by number: one number in it is enough."""
    return any(cell.number is not None for cell in column)


def _kind(number: bool) -> str:
    return ' class="number"' if number else ""
