"""Raw predictions with other constants: how far the ranges of the constants may move them.

Each prediction is made again with the open constants of its machine drawn from their ranges, the
same draw for all points of all experiments; constants of one section err together. Where a platform
stands for another machine, nothing of it was measured on that one: its constants have wider ranges
there (`KnownConstant.elsewhere`). Between the least and the largest of nine predictions
lies a tenth one of the same kind with a probability of 8/10, whatever their distribution (Wilks,
S. S. (1941), "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
Statistics 12): so few runs make an interval at 80 %.
"""

from __future__ import annotations

from typing import Final

from pmsim.experiments.constants.ranges import alike, at, section
from pmsim.reproduction.experiment import Changes, Experiment, Point
from pmsim.scenario.nodes import node_of
from pmsim.simulation.streams import MACHINE, stream

DRAWS: Final = 9
"""Predictions of each point with other constants."""
LEVEL: Final = (DRAWS - 1) / (DRAWS + 1)
"""The probability that the next one lies between the least and the largest of these."""
SEED: Final = 1
"""Of the draws: experiments have seeds of their own, which are about something else."""
PURPOSE: Final = "constants of experiments"
"""The purpose under which constants are drawn, apart from all that is drawn in runs."""


def other_constants(experiment: Experiment, point: Point, draw: int) -> Changes:
    """Return the open constants of a point's machine with values from their ranges.

    Parameters
    ----------
    experiment, point
        Whose machine, of several runs that of the first; what the point itself gives stays as it
        is.
    draw
        The number of the draw: which values, the same of the same constant everywhere.
    """
    given = {f"{path}." for changes in point.runs.values() for path, _ in changes}
    changes = next(iter(point.runs.values()), ())
    scenario = experiment.scenario.with_nodes(list(changes)) if changes else experiment.scenario
    found = []
    for one in scenario.resolve().machine.constants:
        path = f"machine.{one.path}."
        ends = one.elsewhere if experiment.stands_in else one.ends
        if ends[0] == ends[1]:
            continue
        if not any(path.startswith(own) or own.startswith(path) for own in given):
            value = at(ends, one.value, _share(one.path, draw))
            found.append((path[:-1], node_of(one.written(value))))
    return tuple(found)


def _share(path: str, draw: int) -> float:
    """Return where in its range a constant is drawn."""
    common, own = (
        float(stream(SEED, draw, MACHINE, f"{PURPOSE}: {name}").random())
        for name in (section(path), path)
    )
    return alike(common, own)
