"""Exact quantities: times in picoseconds, sizes in bytes, pages and rates.

Everything inside pmsim is an ``int`` (or, for rates, a `fractions.Fraction`); text with a unit
exists only at the border, and is read here without a float in between. ``"0.5ns"`` is 500 ps;
``"0.0001ps"`` is an error, because it is no whole number of picoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pmsim.errors import UnitError

Picoseconds = int
Bytes = int
Pages = int
CpuId = int

PS: Final = 1
NS: Final = 1_000
US: Final = 1_000_000
MS: Final = 1_000_000_000
S: Final = 1_000_000_000_000

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40
PAGE_SIZE: Final = 4096
"""Bytes of a page where nothing else is said; a kernel has its own (its key ``page_size``)."""

MAX_TIME: Final = 2**63 - 1
"""The longest time, about 107 days: what a signed 64-bit column of picoseconds can hold."""
LONGEST_RUN: Final = 864_000 * S
"""The longest run, ten days: any two such times add up to one that the calendar can hold.

A wait as long as this never ends within a run, and so may stand for any longer one.
"""
MAX_SIZE: Final = 2**64
"""The largest size: a 64-bit address space."""
MAX_PAGES: Final = MAX_SIZE // PAGE_SIZE
"""The largest number of pages: a 64-bit address space full of them."""
MAX_RATE: Final = S
"""The highest rate: one event per picosecond, in events per second."""


def longest_run(n_cpus: int) -> Picoseconds:
    """Return the longest run of so many CPUs: their time together fits into a column."""
    return min(LONGEST_RUN, MAX_TIME // n_cpus)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One kind of quantity: its units, its bounds and how it is spoken of.

    Attributes
    ----------
    name
        What it is called in messages, with its article.
    units
        Factor of each unit, in the base unit of the kind; the first is the base unit.
    largest
        The largest value that makes sense, in the base unit.
    example
        A value that can be read, for messages.
    whole
        What a fraction of cannot exist (the base unit in words); empty if fractions may.
    """

    name: str
    units: Mapping[str, Fraction]
    largest: int
    example: str
    whole: str = ""

    @property
    def fits(self) -> str:
        """One sentence: which units can stand here, and an example."""
        return f"units that fit: {', '.join(self.units)}; for example {self.example}"


def _units(**factors: int) -> Mapping[str, Fraction]:
    return MappingProxyType({unit: Fraction(factor) for unit, factor in factors.items()})


_TIMES = _units(ps=PS, ns=NS, us=US, ms=MS, s=S, min=60 * S)
_DECIMAL_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_HERTZ = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}

TIME: Final = Quantity("a time", _TIMES, MAX_TIME, "250ns", "picosecond")
SIZE: Final = Quantity(
    "a size", _units(B=1, KiB=KIB, MiB=MIB, GiB=GIB, TiB=TIB, **_DECIMAL_SIZES), MAX_SIZE, "4KiB",
    "byte",
)  # fmt: skip
PAGES: Final = Quantity("a number of pages", _units(pages=1, page=1), MAX_PAGES, "4 pages", "page")
RATE: Final = Quantity(
    "a rate",
    MappingProxyType({f"/{u}": S / _TIMES[u] for u in ("s", "ms", "us", "ns", "ps", "min")})
    | _units(**_HERTZ),
    MAX_RATE,
    "2/s",
)
QUANTITIES: Final = (TIME, SIZE, PAGES, RATE)

SPELLINGS: Final = {
    "\N{MICRO SIGN}s": "us", "\N{GREEK SMALL LETTER MU}s": "us",
    "sec": "s", "usec": "us", "msec": "ms", "nsec": "ns",
}  # fmt: skip
"""Other ways in which people write a unit of ours, and the unit that is meant."""

# Longer text is no quantity; the bound keeps hostile exponents and digits away from arithmetic.
_MAX_TEXT: Final = 64
DECIMAL: Final = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,2})?"
"""Pattern of the numbers that can stand before a unit, without a sign."""
_NUMBER: Final = re.compile(rf"([+-]?{DECIMAL})(?![\d.])", re.ASCII)


def parse(text: str, kind: Quantity) -> Fraction:
    """Read a number with a unit, exactly.

    Parameters
    ----------
    text
        A decimal number, optional blanks, a unit: ``"250ns"``, ``"1.5 GiB"``.
    kind
        What is expected: `TIME`, `SIZE`, `PAGES` or `RATE`.

    Returns
    -------
    Fraction
        The value in the base unit of the kind (picoseconds, bytes, pages, events per second).

    Raises
    ------
    UnitError
        If the text is no quantity, or has no unit, a wrong one, a negative or an absurdly large
        value, or a fraction of what is indivisible.
    """
    number, unit = _split(text, kind)
    value = number * _factor(unit, text, kind)
    return _bounded(value, text, kind)


# Programs name the same few texts again and again.
@lru_cache(maxsize=1024)
def parse_time(text: str) -> Picoseconds:
    """Read a time such as ``"250ns"``; raise `UnitError` where it is none."""
    return int(parse(text, TIME))


@lru_cache(maxsize=1024)
def parse_size(text: str) -> Bytes:
    """Read a size such as ``"4KiB"`` (1,024) or ``"4kB"`` (1,000); raise `UnitError`."""
    return int(parse(text, SIZE))


@lru_cache(maxsize=1024)
def parse_pages(text: str) -> Pages:
    """Read a number of pages such as ``"4 pages"``; raise `UnitError` where it is none."""
    return int(parse(text, PAGES))


def parse_rate(text: str) -> Fraction:
    """Read a rate such as ``"2/s"`` or ``"1GHz"``, in events per second; raise `UnitError`."""
    return parse(text, RATE)


def as_time(value: int | str) -> Picoseconds:
    """Return picoseconds: an ``int`` as it stands, text with its unit read.

    Raises
    ------
    UnitError
        If the value is negative, absurdly large, or cannot be read.
    """
    return parse_time(value) if isinstance(value, str) else _as_whole(value, TIME)


def as_size(value: int | str) -> Bytes:
    """Return bytes: an ``int`` as it stands, text with its unit read; raise `UnitError`."""
    return parse_size(value) if isinstance(value, str) else _as_whole(value, SIZE)


def as_pages(value: int | str) -> Pages:
    """Return pages: an ``int`` as it stands, text with its unit read; raise `UnitError`."""
    return parse_pages(value) if isinstance(value, str) else _as_whole(value, PAGES)


def as_rate(value: Fraction | int | str) -> Fraction:
    """Return events per second: a number as it stands, text with its unit read."""
    if isinstance(value, str):
        return parse(value, RATE)
    if isinstance(value, bool) or not isinstance(value, Fraction | int):
        raise _not_readable(repr(value), RATE)
    return _bounded(Fraction(value), str(value), RATE)


def format_time(ps: Picoseconds) -> str:
    """Write a time, exactly, in the largest unit that does not exceed it, up to seconds.

    `parse_time` reads it back to the same value; a negative difference is written with its sign.
    """
    if ps < 0:
        return "-" + format_time(-ps)
    value = Fraction(ps)
    unit = _largest_below(value, ("s", "ms", "us", "ns", "ps"), TIME)
    return _decimal(value / TIME.units[unit]) + unit


def format_size(size: Bytes) -> str:
    """Write a size, exactly, in the largest binary unit that needs at most three decimals."""
    if size < 0:
        return "-" + format_size(-size)
    ladder = ("TiB", "GiB", "MiB", "KiB", "B")
    unit = _largest_below(Fraction(size), ladder, SIZE)
    shorter = ladder[ladder.index(unit) :]
    unit = next(u for u in shorter if (size / SIZE.units[u] * 1000).denominator == 1)
    return _decimal(size / SIZE.units[unit]) + unit


def format_pages(pages: Pages) -> str:
    """Write a number of pages: ``"1 page"``, ``"4 pages"``."""
    return f"{pages} page" if pages == 1 else f"{pages} pages"


def format_rate(per_second: Fraction | int, digits: int | None = None) -> str:
    """Write a rate, per second, or per minute where only that is a finite decimal.

    Every rate that `parse_rate` can return is written exactly if ``digits`` is not given; any
    other (a third per second) is rounded to 15 significant digits.
    """
    rate = Fraction(per_second)
    if digits is not None:
        return _decimal(_rounded(rate, digits)) + "/s"
    if _is_decimal(rate):
        return _decimal(rate) + "/s"
    if _is_decimal(rate * 60):
        return _decimal(rate * 60) + "/min"
    return _decimal(_rounded(rate, 15)) + "/s"


def _as_whole(value: int, kind: Quantity) -> int:
    if type(value) is int and 0 <= value <= kind.largest:
        return value  # as a rule; tasks ask so for each thing that they do
    try:
        whole = int(value.__index__())  # NumPy's integers too, no float
    except AttributeError:
        raise _not_readable(repr(value), kind) from None
    if isinstance(value, bool):
        raise _not_readable(repr(value), kind)
    return int(_bounded(Fraction(whole), str(whole), kind))


def _split(text: str, kind: Quantity) -> tuple[Fraction, str]:
    stripped = text.strip()
    match = _NUMBER.match(stripped) if len(stripped) <= _MAX_TEXT else None
    if match is None:
        shown = stripped if len(stripped) <= _MAX_TEXT else stripped[:_MAX_TEXT] + "..."
        raise _not_readable(repr(shown), kind)
    unit = stripped[match.end() :].replace(" ", "")
    return Fraction(match.group(1)), unit


def _not_readable(shown: str, kind: Quantity) -> UnitError:
    return UnitError(f"{shown} is not {kind.name}", code="bad-quantity", hint=kind.fits)


def _factor(unit: str, text: str, kind: Quantity) -> Fraction:
    known = SPELLINGS.get(unit, unit)
    if known in kind.units:
        return kind.units[known]
    if not unit:
        raise UnitError(
            f"'{text}' has no unit, where {kind.name} is needed", code="missing-unit",
            hint=kind.fits,
        )  # fmt: skip
    other = next((q.name for q in QUANTITIES if known in q.units), None)
    if other is not None:
        raise UnitError(
            f"'{text}' is {other}, where {kind.name} is needed", code="wrong-unit", hint=kind.fits
        )
    near = _nearest_unit(unit, kind)
    hint = f"did you mean {near}? {kind.fits}" if near else kind.fits
    raise UnitError(
        f"'{text}' is not {kind.name}: '{unit}' is no unit for it",
        code="wrong-unit",
        hint=hint,
    )


def _nearest_unit(unit: str, kind: Quantity) -> str | None:
    if kind is SIZE and unit[:1] in "kK" and unit.casefold() in ("k", "kb", "kib"):
        return "KiB (1,024 bytes) or kB (1,000)"
    by_case = [u for u in kind.units if u.casefold() == unit.casefold()]
    near = by_case or get_close_matches(unit, list(kind.units), n=1)
    return near[0] if near else None


def _bounded(value: Fraction, text: str, kind: Quantity) -> Fraction:
    if value < 0:
        raise UnitError(
            f"'{text}' is negative; {kind.name} cannot be", code="negative-quantity",
            hint=f"for example {kind.example}",
        )  # fmt: skip
    if value > kind.largest:
        raise UnitError(
            f"'{text}' is absurdly large for {kind.name}", code="absurd-quantity",
            hint=f"the largest is {_largest_text(kind)}",
        )  # fmt: skip
    if kind.whole and value.denominator != 1:
        raise UnitError(
            f"'{text}' is no whole number of {kind.whole}s", code="too-fine",
            hint=f"the smallest step is 1 {kind.whole}",
        )  # fmt: skip
    return value


def _largest_text(kind: Quantity) -> str:
    if kind is TIME:
        return "2^63 - 1 ps, about 107 days"
    if kind is SIZE:
        return "2^64 bytes"
    return f"{kind.largest:,} {'pages' if kind is PAGES else 'per second'}"


def _largest_below(value: Fraction, ladder: tuple[str, ...], kind: Quantity) -> str:
    return next((unit for unit in ladder if value >= kind.units[unit]), ladder[-1])


def _is_decimal(value: Fraction) -> bool:
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _decimal(value: Fraction) -> str:
    """Write a fraction that is a finite decimal, exactly."""
    places = 0
    while value.denominator != 1:
        value *= 10
        places += 1
    text = str(value.numerator).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text


def _rounded(value: Fraction, digits: int) -> Fraction:
    """Round a number that is not negative to so many significant digits."""
    if value == 0:
        return value
    scale = Fraction(1)
    while value * scale < 10 ** (digits - 1):
        scale *= 10
    while value * scale >= 10**digits:
        scale /= 10
    return round(value * scale) / scale
