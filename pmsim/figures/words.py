"""How figures say numbers: rounded for people, the unit chosen to fit."""

from __future__ import annotations

from typing import Final

from pmsim.units import MS, NS, PS, US, S, format_time

_UNITS: Final = ((S, "s"), (MS, "ms"), (US, "µs"), (NS, "ns"), (PS, "ps"))


def time_unit(largest: float) -> tuple[str, int]:
    """Return the name of the unit, and its picoseconds, that fits values up to ``largest``."""
    for factor, name in _UNITS:
        if largest >= factor:
            return name, factor
    return "ps", PS


def about_time(ps: float) -> str:
    """Write a time to three digits: ``"14.3 µs"``."""
    text = format_time(round(ps), 3)
    number = text.rstrip("nmups")
    return f"{number} {text[len(number) :].replace('u', 'µ')}"


def tick_time(ps: float) -> str:
    """Write a time at a tick, as short as it goes: ``"200 ns"``."""
    unit, factor = time_unit(ps)
    return f"{ps / factor:g} {unit}"


def about_count(count: float) -> str:
    """Write a number of things: ``"96,730"``, ``"1.21 million"``."""
    if count >= 1_000_000:
        return f"{float(f'{count / 1e6:.3g}'):,g} million"
    return f"{count:,.0f}"


def about_rate(per_second: float) -> str:
    """Write a rate per second to three digits."""
    if per_second >= 100:
        return about_count(float(f"{per_second:.3g}"))
    return f"{per_second:.3g}"


def about_share(share: float) -> str:
    """Write a part of a whole in per cent, small ones with enough digits to differ from none."""
    percent = 100 * share
    if percent == 0:
        return "0 %"
    if percent < 0.001:
        return "under 0.001 %"
    if percent < 9.5:
        return f"{percent:.2g} %"
    if 99 < percent < 100:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.0f} %"


def counted(count: int, noun: str) -> str:
    """Write a number and its noun: ``"1 call"``, ``"2 calls"``."""
    return f"{about_count(count)} {noun}" + ("" if count == 1 else "s")
