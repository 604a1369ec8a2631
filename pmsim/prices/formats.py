"""The price list as text: Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from pmsim import formatting
from pmsim.prices.catalogue import CATALOGUE, CODE, MEMORY, Sizes
from pmsim.prices.listing import PriceList
from pmsim.prices.meter import Price

DASH: Final = "-"
"""What stands where a kernel does not do an operation."""

_SIZES = tuple(field.name for field in fields(Sizes))
_PRICES = tuple(field.name for field in fields(Price))

COLUMNS: Final = (
    "kernel", "machine", "cpus", "operation", *_SIZES, "working_set", *_PRICES,
)  # fmt: skip
"""Columns of the list as CSV, and keys of its rows as JSON; times are picoseconds."""

_HEADS: Final[Mapping[str, Callable[[Price], str]]] = {
    "full": lambda price: f"{price.full:,}",
    "range": lambda price: f"{price.range:,}",
    "sync": lambda price: f"{price.sync:,}",
    "IPIs": lambda price: f"{price.interrupts:,}",
    "TLBIs": lambda price: f"{price.invalidations:,}",
    "CPUs": lambda price: f"{price.interrupted:,}",
    "lazy": lambda price: _lazy(price.lazy_pages),
    "takes": lambda price: formatting.time(price.takes_ps),
    "waits": lambda price: formatting.time(price.waiting_ps),
    "stolen": lambda price: formatting.time(price.stolen_ps),
    "refill": lambda price: formatting.time(price.refill_ps),
}


def as_markdown(lists: Sequence[PriceList]) -> str:
    """Return all numbers of shootdowns in two tables, and one table for each kernel in full."""
    parts = [overview(lists, names) for names in (MEMORY, CODE)] if len(lists) > 1 else []
    parts += [f"**{one.kernel}** on {_place(one)}\n\n{_in_full(one)}" for one in lists]
    return "\n".join(parts)


def as_csv(lists: Sequence[PriceList]) -> str:
    """Return a row for each operation on each kernel; what a kernel does not do has no prices."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for one in lists for row in _rows(one))
    return text.getvalue()


def as_json(lists: Sequence[PriceList]) -> str:
    """Return the same rows as JSON."""
    return json.dumps([row for one in lists for row in _rows(one)], indent=2) + "\n"


FORMATS: Final[Mapping[str, Callable[[Sequence[PriceList]], str]]] = {
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}
"""Writers of the list, by the name of the format."""


def overview(lists: Sequence[PriceList], operations: Collection[str]) -> str:
    """Return one Markdown table that counts the shootdowns of operations, a row for each kernel.

    Its last column says how many CPUs are interrupted by protecting the pool.

    Parameters
    ----------
    lists
        The kernels.
    operations
        Names from the `CATALOGUE`.
    """
    head = ["shootdowns of", *(CATALOGUE[name].short for name in operations), "interrupts"]
    rows = [
        [
            _row_name(one, lists),
            *(_cell(one.prices[name], "broadcasts") for name in operations),
            _cell(one.prices["protect"], "interrupted"),
        ]
        for one in lists
    ]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, padded so that it reads as plain text; numbers stand to the right.

    Parameters
    ----------
    head
        Names of the columns, the first one of words.
    rows
        Cells of each row.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]
        for cells in (head, *rows)
    ]
    lines.insert(1, rule)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _row_name(one: PriceList, lists: Sequence[PriceList]) -> str:
    """Return a kernel's name, with its machine where the kernel has several lines."""
    lines = sum(other.kernel == one.kernel for other in lists)
    return one.kernel if lines == 1 else f"{one.kernel} on {one.machine}"


def _cell(price: Price | None, what: str) -> str:
    return DASH if price is None else f"{getattr(price, what):,}"


def _in_full(one: PriceList) -> str:
    rows = [
        [CATALOGUE[name].titled(one.sizes), *_cells(price)] for name, price in one.prices.items()
    ]
    return table(["operation", *_HEADS], rows)


def _cells(price: Price | None) -> list[str]:
    if price is None:
        return [DASH] * len(_HEADS)
    return [cell(price) for cell in _HEADS.values()]


def _place(one: PriceList) -> str:
    return f"{one.machine}, {one.cpus:,} CPU{'s' if one.cpus > 1 else ''}"


def _rows(one: PriceList) -> list[dict[str, Any]]:
    return [
        {
            "kernel": one.kernel,
            "machine": one.machine,
            "cpus": one.cpus,
            "operation": name,
            **asdict(one.sizes),
            "working_set": one.working_set,
            **(dict.fromkeys(_PRICES) if price is None else asdict(price)),
        }
        for name, price in one.prices.items()
    ]


def _lazy(pages: int) -> str:
    """Write what was added to the lazy list; how much a purge took from it says nothing."""
    return "purged" if pages < 0 else f"{pages:+,}" if pages else "0"
