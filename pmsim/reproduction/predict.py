"""Predictions of experiments: raw ones, which read no measurement, and scaled ones.

The two steps are apart: `Raw` is all that the model says, and is made without the table of
measurements. `scaled` reads that table at the calibration point, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pmsim.errors import ResultError
from pmsim.reproduction.arithmetic import evaluate
from pmsim.reproduction.experiment import Changes, Experiment, Point
from pmsim.reproduction.ranges import DRAWS, other_constants
from pmsim.reproduction.runs import Report, RunKey, Runs
from pmsim.scenario.nodes import node_of
from pmsim.units import MS, NS, PS, US, S

_TIMES: Final[Mapping[str, int]] = {"ps": PS, "ns": NS, "us": US, "ms": MS, "s": S}

Values = dict[str, float]
"""Predictions in the experiment's unit, by the names of points."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the model says of one experiment.

    Attributes
    ----------
    raw
        Without any measurement.
    scaled
        Fitted to the calibration point; empty where there is none.
    between
        The least and the largest of the raw predictions with other constants; empty where these
        are not made.
    """

    raw: Values
    scaled: Values
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def predict(
    experiments: Sequence[Experiment],
    workers: int | None = None,
    report: Report | None = None,
    *,
    intervals: bool = False,
) -> dict[str, Predicted]:
    """Return the predictions of experiments by their names.

    Parameters
    ----------
    intervals
        Whether raw predictions that count are made with other constants, too.
    workers
        Processes; as many as there are processors where not given.
    report
        Called as runs are done.
    """
    runs = Runs()
    raw = {one.name: _wanted(runs, one) for one in experiments}
    fitted = {
        one.name: _wanted(runs, one, _fitted_key(one)) for one in experiments if one.calibrate
    }
    drawn = {one.name: _drawn(runs, one) for one in experiments if intervals and one.absolute}
    runs.run(workers, report)
    found = {}
    for one in experiments:
        values = _values(runs, one, raw[one.name])
        scaled = _values(runs, one, fitted[one.name]) if one.calibrate else _by_factor(one, values)
        others = [_values(runs, one, wanted) for wanted in drawn.get(one.name, ())]
        found[one.name] = Predicted(values, scaled, _between(others))
    return found


def in_unit(experiment: Experiment, value: float) -> float:
    """Return what was read off a run (ps, 1/s or a plain number) in the experiment's unit."""
    if experiment.unit == "cycles":
        assert experiment.clock is not None
        return value * experiment.clock / S
    if experiment.unit in _TIMES:
        return value / _TIMES[experiment.unit]
    return 100 * value if experiment.unit == "%" else value


def as_time(experiment: Experiment, value: float) -> float | None:
    """Return a figure in the experiment's unit as a time in picoseconds; of a rate, each one's.

    `None` where it is neither.
    """
    if experiment.unit == "cycles":
        assert experiment.clock is not None
        return value * S / experiment.clock
    if experiment.unit in _TIMES:
        return value * _TIMES[experiment.unit]
    return S / value if experiment.unit == "1/s" and value else None


def _wanted(
    runs: Runs, experiment: Experiment, more: Changes = ()
) -> list[tuple[Point, dict[str, RunKey]]]:
    return [(point, runs.want(experiment, point, more)) for point in experiment.points]


def _drawn(runs: Runs, experiment: Experiment) -> list[list[tuple[Point, dict[str, RunKey]]]]:
    """Ask for the runs of the points to be predicted, with other constants, draw by draw."""
    points = [point for point in experiment.points if point.use == "predict"]
    return [
        [
            (point, runs.want(experiment, point, other_constants(experiment, point, draw)))
            for point in points
        ]
        for draw in range(DRAWS)
    ]


def _between(others: Sequence[Values]) -> dict[str, tuple[float, float]]:
    """Return the least and the largest prediction of each point."""
    names = others[0] if others else {}
    return {
        name: (min(one[name] for one in others), max(one[name] for one in others)) for name in names
    }


def _values(
    runs: Runs, experiment: Experiment, wanted: Sequence[tuple[Point, dict[str, RunKey]]]
) -> Values:
    values = {}
    for point, keys in wanted:
        read = {name: in_unit(experiment, value) for name, value in runs.read(keys).items()}
        try:
            values[point.name] = evaluate(point.predicted, read)
        except ValueError as error:
            found = ", ".join(f"{name} {value:g}" for name, value in read.items())
            message = f"{experiment.name}, {point.name}: {error} ({found}; longer runs may)"
            raise ResultError(message) from None
    return values


def _fitted_key(experiment: Experiment) -> Changes:
    """Return the key that is calibrated, with its value: a sum of rows that may be fitted."""
    by = experiment.calibrate
    assert by is not None
    picoseconds = round(experiment.measurements.value(by.value))
    return ((by.key, node_of(f"{picoseconds}ps")),)


def _by_factor(experiment: Experiment, raw: Values) -> Values:
    """Return raw predictions times the one factor that meets the calibration point."""
    point = experiment.calibration
    if point is None or raw[point.name] == 0:
        return {}
    factor = experiment.measured(point) / raw[point.name]
    return {name: factor * value for name, value in raw.items()}
