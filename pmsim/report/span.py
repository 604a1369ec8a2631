"""Spans of time that nest: what a timeline is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(slots=True)
class Span:
    """A span of time.

    Attributes
    ----------
    name, category
        What it is, and of what sort: ``operation``, ``shootdown``, ``wait``, ``handler``,
        ``answer``, ``irqs_off`` or ``part``.
    start_ps, end_ps
        When.
    facts
        What else is known of it.
    inside
        The spans in it, one after the other.
    begins, ends
        The numbers of the arrows that begin here; and of the one that ends here, 0: none.
    """

    name: str
    category: str
    start_ps: int
    end_ps: int
    facts: Mapping[str, int | str] = field(default_factory=dict)
    inside: list[Span] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: int = 0


def parts_of(stretches: Iterable[tuple[str, int, int]]) -> list[Span]:
    """Return parts by name, start and end; those of no length are left out."""
    return [Span(name, "part", start, end) for name, start, end in stretches if start < end]


def facts_of(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, int | str]:
    """Return some columns of a row, without those that are missing there."""
    return {
        name: row[name] if isinstance(row[name], str) else int(row[name])
        for name in names
        if not pd.isna(row[name])
    }


def put_in_order(spans: list[Span]) -> None:
    """Sort spans that follow each other; one of no length comes before what begins where it is."""
    spans.sort(key=lambda span: (span.start_ps, span.end_ps))
