"""What a sweep over protocols answers: what each costs whom, where they cross, what holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from pmsim import formatting
from pmsim.figures import side_by_side
from pmsim.figures.isolation import ISOLATED
from pmsim.figures.measures import measure_of
from pmsim.figures.side_by_side import ACROSS, COSTS, PROTOCOLS, TOGETHER, SideBySide
from pmsim.kernel.shootdown import ShootdownKey
from pmsim.scenario.read import parse
from pmsim.simulation.tables.protocols import Holds, Shootdown
from pmsim.simulation.words.deferral import DEFERRED, NEVER_DEFERRED

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

VIOLATIONS: Final = "violations"
"""The metric of what a protocol lets happen that must not."""
MOST_CROSSINGS: Final = 8
"""Crossings that are told of each cost, the first."""
_READ: Final = TypeAdapter(ShootdownKey)


def protocol_words(sweep: Sweep) -> list[str]:
    """Return the answers of a sweep that varies the protocol and at most one number; else none.

    Variants that change several keys together, such as architectures, are put side by side, too.
    """
    if side_by_side.varies(sweep, TOGETHER):
        found = (side_by_side.side_by_side(sweep, metric, TOGETHER) for metric in ACROSS)
        return [one for metric in found if metric is not None for one in _told(metric)]
    if not side_by_side.varies(sweep):
        return []
    said = [one for metric in COSTS for one in _cost(sweep, metric)]
    if side_by_side.along(sweep) is None:
        said += [one for metric in ISOLATED for one in _isolated(sweep, metric)]
    said += _violations(sweep)
    if DEFERRED in sweep.axes[PROTOCOLS]:
        said.append(f"By {DEFERRED} only purges are put off: {NEVER_DEFERRED}.")
    return [*said, *_holds(sweep)]


def _cost(sweep: Sweep, metric: str) -> Iterator[str]:
    found = side_by_side.side_by_side(sweep, metric)
    if found is None:
        if metric in sweep.frame and side_by_side.along(sweep) is None:
            yield f"{COSTS[metric]}: {_all(sweep, metric, measure_of(metric).say)}."
        return
    yield from _told(found)


def _told(found: SideBySide) -> Iterator[str]:
    """Say what is cheapest and dearest at both ends of the axis, and where two cross."""
    ends = [_ranking(found, place) for place in (0, len(found.along.labels) - 1)]
    yield f"{found.spoken}: {'; '.join(ends)}."
    crossings = [
        f"{one.cheaper} is below {one.dearer} from about {formatting.number(one.at)} on"
        for one in found.crossings[:MOST_CROSSINGS]
    ]
    if crossings:
        yield f"Of that, along {found.along.name}: {'; '.join(crossings)}."


def _ranking(found: SideBySide, place: int) -> str:
    where = found.along.in_words(found.along.labels[place])
    told = [f"{found.measure.say(value)} {name}" for name, value in found.ranking(place)]
    return f"at {where} {', '.join(told)}"


def _all(sweep: Sweep, metric: str, say: Callable[[float], str]) -> str:
    """Write a metric of all protocols, in the order of the sweep."""
    means = sweep.intervals(metric).set_index(PROTOCOLS)["mean"]
    return ", ".join(f"{say(means[label])} {label}" for label in sweep.axes[PROTOCOLS])


def _isolated(sweep: Sweep, metric: str) -> Iterator[str]:
    if metric in sweep.frame and sweep.frame[metric].notna().any():
        told = ISOLATED[metric]
        values = _all(sweep, metric, lambda value: told.say(told.of_a_day(value)))
        yield f"{told.beginning}: {values}."


def _violations(sweep: Sweep) -> Iterator[str]:
    """Say by which protocols a CPU could use what the kernel took for forgotten."""
    if VIOLATIONS not in sweep.frame:
        return
    counts = sweep.frame.groupby(PROTOCOLS, sort=False)[VIOLATIONS].sum()
    told = [f"{count:,.0f} times by {label}" for label, count in counts.items() if count]
    if told:
        yield f"A CPU could use what the kernel took for forgotten: {', '.join(told)}."


def _holds(sweep: Sweep) -> Iterator[str]:
    """Say what holds when the initiator goes on, protocols of which the same holds together."""
    by: dict[Holds, list[str]] = {}
    for label in sweep.axes[PROTOCOLS]:
        read = _READ.validate_python(_as_written(label))
        if isinstance(read, Shootdown):
            by.setdefault(read.at_return, []).append(label)
    if len(by) == 1:
        ((holds, _names),) = by.items()
        yield f"When the initiator goes on, {holds.words}, by each of them."
        return
    for holds in sorted(by, reverse=True):
        yield f"When the initiator goes on by {', '.join(by[holds])}, {holds.words}."


def _as_written(label: str) -> str | dict[str, dict[str, Any]]:
    """Return what stands in a file for a protocol that tables call ``ipi,ack=entry``."""
    name, *options = label.split(",")
    pairs = (one.partition("=") for one in options)
    chosen = {key: parse(value, label).value() for key, _, value in pairs}
    return {name: chosen} if chosen else name
