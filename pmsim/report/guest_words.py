"""What a sweep over guests that share a host answers: how much of their share they get done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim import formatting
from pmsim.figures import overcommitted
from pmsim.figures.overcommitted import Guests, part
from pmsim.figures.swept import Floats

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep


def guest_words(sweep: Sweep) -> list[str]:
    """Return what guests get done, where a sweep varies how many virtual CPUs share one."""
    found = overcommitted.of_guests(sweep, overcommitted.RATE)
    if found is None:
        return []
    told = [f"{found.name(line)} {_along(found, row)}".strip() for line, row in found.done.items()]
    said = [
        "Of what a guest would get done alone in the time for which it runs, counted in"
        f" shootdowns, it does: {'; '.join(told)}."
    ]
    gains = found.gains
    if gains is not None:
        pairs = zip(found.along.texts, gains.tolist(), strict=True)
        times = [f"{formatting.number(gain)} times with {text}" for text, gain in pairs]
        said.append(
            "Paravirtual flushes get so many times as much done, by virtual CPUs to one of the"
            f" host's: {', '.join(times)}."
        )
    return said + _held_up(overcommitted.of_guests(sweep, overcommitted.HELD_UP))


def _held_up(found: Guests | None) -> list[str]:
    """Return for how long frozen holders of locks held others up; nothing where none did."""
    if found is None:
        return []
    told = [
        f"{found.name(line)} {_with_each(found, row)}".strip() for line, row in found.values.items()
    ]
    return [
        "CPUs that were frozen while their tasks held a lock held others up (lock-holder"
        f" preemption): {'; '.join(told)}."
    ]


def _with_each(found: Guests, row: Floats) -> str:
    pairs = list(zip(found.along.texts, row.tolist(), strict=True))[1:]
    return ", ".join(f"{formatting.time(ps)} with {text} to a CPU" for text, ps in pairs)


def _along(found: Guests, row: Floats) -> str:
    pairs = list(zip(found.along.texts, row.tolist(), strict=True))[1:]
    return ", ".join(f"{part(done)} with {text} to a CPU" for text, done in pairs)
