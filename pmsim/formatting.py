"""Numbers as people read them: on the terminal, a page, a figure, in a sweep and a notebook.

What is measured has three significant digits, what is counted has all of them. A space stands
before a unit, and none before the slash of a rate. A part of a whole is never rounded to nothing or
to all of it: ``< 0.001 %``, ``> 99.9 %``. Microseconds are ``µs``; `spelled_out` is for outputs
that have no such letter.

Quantities in scenario files are exact; `pmsim.units` writes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pmsim.units import DECIMAL, GIB, KIB, MIB, MS, NS, PS, TIB, US, S

if TYPE_CHECKING:
    from pmsim.confidence import Estimate

SHARE: Final = "%"
"""The unit of a part of a whole, whose values are numbers from 0 to 1."""
UNKNOWN: Final = "unknown"
"""What stands for a value that nobody knows."""
NO_INTERVAL: Final = "not enough data"
"""What stands for an interval where there are too few values for one."""

_TIMES: Final = ((S, "s"), (MS, "ms"), (US, "µs"), (NS, "ns"), (PS, "ps"))
_SIZES: Final = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "B"))
_QUANTITY: Final = re.compile(rf"({DECIMAL}) ?([numk]?s|ps|min|[KMGT]i?B|kB|B|[kMG]?Hz)")
_UNIT: Final = re.compile(r"/s$| \S.*$")
_SPELLINGS: Final = {"µ": "u", "±": "+-", "×": "x", "–": "-", "·": "-", "→": "->"}


def number(value: float) -> str:
    """Write a number to three significant digits: ``0.0123``, ``14.3``, ``1,230``."""
    rounded = _rounded(value)
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def count(value: float) -> str:
    """Write a number of things, all of its digits: ``96,730``."""
    return f"{value:,.0f}"


def counted(value: int, noun: str) -> str:
    """Write a number of things with their noun: ``1 call``, ``2 calls``."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def time(ps: float) -> str:
    """Write a time in picoseconds in the unit that fits it: ``14.3 µs``."""
    if ps < 0:
        return f"-{time(-ps)}"
    rounded = _rounded(ps)  # 999,999 ps are 1 µs
    if not rounded:
        return "0 s"
    unit, factor = time_unit(rounded)
    return f"{number(rounded / factor)} {unit}"


def time_unit(largest: float) -> tuple[str, int]:
    """Return the name of the unit, and its picoseconds, that fits times up to ``largest``."""
    return next(((unit, factor) for factor, unit in _TIMES if largest >= factor), ("ps", PS))


def size(amount: float) -> str:
    """Write a number of bytes in the binary unit that fits it: ``1.5 KiB``, ``1,023 B``."""
    if amount < 0:
        return f"-{size(-amount)}"
    fitting = (one for one in _SIZES if _rounded(amount / one[0]) >= 1)
    factor, unit = next(fitting, (1, "B"))
    value = amount / factor
    # Units are 1,024 apart, so a whole part may have a fourth digit, which is kept.
    return f"{count(value) if value >= 1000 else number(value)} {unit}"


def rate(per_second: float) -> str:
    """Write how often something happens: ``14.3/s``."""
    return f"{number(per_second)}/s"


def times_a_second(per_second: float) -> str:
    """Write how often something happens, in words: ``14.3 times a second``."""
    often, each = _in_an_hour(per_second)
    return f"once {each}" if often == "1" else f"{often} times {each}"


def rate_in_words(per_second: float) -> str:
    """Write how often something happens beside a number: ``14.3/s``, rare things ``2 an hour``."""
    often, each = _in_an_hour(per_second)
    return rate(per_second) if each == "a second" else f"{often} {each}"


RARE: Final = 0.1
"""Times a second below which they are told by the hour."""


def _in_an_hour(per_second: float) -> tuple[str, str]:
    """Return how often something happens in a second, or in an hour where it is rare."""
    if 0 < per_second < RARE:
        return number(3600 * per_second), "an hour"
    return number(per_second), "a second"


def share(part: float) -> str:
    """Write a part of a whole in per cent, which reads 0 % or 100 % only where it is that."""
    if part < 0:
        text = share(-part)
        return {"<": f"> -{text[2:]}", ">": f"< -{text[2:]}"}.get(text[0], f"-{text}")
    percent = _exact(100 * part)
    if 0 < percent < 0.001:
        return "< 0.001 %"
    written = number(percent)
    if written == "100" and percent != 100:
        return "> 99.9 %" if percent < 100 else "> 100 %"
    return f"{written} %"


def quantity(value: float | None, unit: str) -> str:
    """Write a value with its unit.

    Parameters
    ----------
    value
        `None` and what is not a number are `UNKNOWN`.
    unit
        ``ps``, ``B``, ``1/s``, `SHARE`, ``1`` for a number of things, or the name of the things.
    """
    if value is None or value != value:
        return UNKNOWN
    writer = {"ps": time, "B": size, "1/s": rate, SHARE: share}.get(unit)
    if writer is not None:
        return writer(value)
    written = count(value) if float(value).is_integer() else number(value)
    return written if unit == "1" else f"{written} {unit}"


def difference(value: float | None, unit: str) -> str:
    """Write a difference of two values with its sign; one of shares in percentage points."""
    if value is None or value != value:
        return UNKNOWN
    plus = "+" if value > 0 else ""
    if unit == SHARE:
        return f"{plus}{number(100 * value)} points"
    return f"{plus}{quantity(value, unit)}"


def from_to(low: str, high: str) -> str:
    """Join the ends of an interval; a unit that both have is written once, as are equal ends."""
    if low == high:
        return high
    found = _UNIT.search(high)
    return f"{low.removesuffix(found[0]) if found else low} to {high}"


def interval(found: Estimate, unit: str) -> str:
    """Write an interval by its ends: ``14.1 to 14.5 µs``."""
    if found.low is None or found.high is None:
        return NO_INTERVAL
    return from_to(quantity(found.low, unit), quantity(found.high, unit))


def difference_interval(found: Estimate, unit: str) -> str:
    """Write the interval of a difference by its ends: ``-0.3 to +0.5 points``."""
    if found.low is None or found.high is None:
        return NO_INTERVAL
    return from_to(difference(found.low, unit), difference(found.high, unit))


def with_interval(found: Estimate, unit: str) -> str:
    """Write a mean with what it may be off by: ``14.3 µs ± 1.4 %``."""
    text = quantity(found.mean, unit)
    if found.mean is None or found.method == "constant":
        return text
    if found.relative is not None:
        return f"{text} ± {share(found.relative)}"
    if found.half_width is not None:
        return f"{text} ± {quantity(found.half_width, unit)}"
    return f"{text} (n={found.n})"


def tick_time(ps: float) -> str:
    """Write a round time at a tick, as short as it goes: ``200 ns``."""
    if not ps:
        return "0"
    unit, factor = time_unit(abs(ps))
    return f"{ps / factor:g} {unit}"


def tick_count(value: float) -> str:
    """Write a round number at a tick, as short as it goes: ``0.5``, ``96,730``, ``2 million``."""
    return f"{value / 1e6:,g} million" if abs(value) >= 1e6 else f"{value:,g}"


def tick_share(part: float) -> str:
    """Write a round part of a whole at a tick: ``2.5 %``."""
    text = f"{100 * part:g}"
    return f"{f'{100 * part:.12f}'.rstrip('0') if 'e-' in text else text} %"


def written(text: str) -> str:
    """Write a quantity that stands in a file as people read it: ``5us`` becomes ``5 µs``."""
    found = _QUANTITY.fullmatch(text)
    return text if found is None else f"{found[1]} {found[2].replace('u', 'µ')}"


def as_in_files(value: object) -> str:
    """Write a value of a key as a file has it: yes and no are ``true`` and ``false``."""
    text = str(value)
    return text.lower() if text in ("True", "False") else text


def spelled_out(text: str) -> str:
    """Write a text in ASCII alone: ``us`` for ``µs``, and ``?`` for letters without a spelling."""
    known = "".join(_SPELLINGS.get(letter, letter) for letter in text)
    return known.encode("ascii", "replace").decode("ascii")


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") + 0.0  # and not -0


def _exact(percent: float) -> float:
    """Return 100 for what differs from it only in the last of the 53 bits of a float."""
    return 100.0 if abs(percent - 100) < 1e-9 else percent
