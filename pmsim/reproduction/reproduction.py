"""What came out of reproducing experiments: every point, and what they come to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Final

from pmsim.reproduction.experiment import Experiment
from pmsim.reproduction.predict import Predicted, as_time
from pmsim.reproduction.scores import (
    Calibrated,
    Coverage,
    Score,
    Side,
    Tally,
    beats_guesses,
    calibrated,
    coverage,
    scores,
    sides,
    tally,
    worst,
)
from pmsim.reproduction.signs import Sign, signs
from pmsim.simulation.result.manifest import made_by, write_json
from pmsim.simulation.result.place import MANIFEST

if TYPE_CHECKING:
    import pandas as pd

POINTS: Final = "points.csv"
EXPERIMENTS: Final = "experiments.csv"
SUMMARY: Final = "summary.json"


@dataclass(frozen=True)
class Reproduction:
    """Experiments, predicted against measured.

    Attributes
    ----------
    experiments
        What was reproduced, in order.
    predicted
        What the model says of each, by name.
    """

    experiments: tuple[Experiment, ...]
    predicted: dict[str, Predicted]

    @property
    def scores(self) -> list[Score]:
        """A score for each point."""
        return scores(self.experiments, self.predicted)

    @property
    def signs(self) -> list[Sign]:
        """The questions of yes or no, answered."""
        return signs(self.experiments, self.predicted)

    @property
    def raw(self) -> Tally | None:
        """What raw predictions of points that were never fitted come to."""
        return tally(self.scores)

    @property
    def coverage(self) -> Coverage | None:
        """How many measured figures lie in the intervals that the constants leave open."""
        return coverage(self.scores)

    @property
    def calibrated(self) -> Calibrated | None:
        """What predictions with one calibration point an experiment come to."""
        return calibrated(self.scores)

    @property
    def sides(self) -> list[Side]:
        """To which side raw predictions miss, series by series, the fastest first."""
        return sides(self.scores)

    def worst(self, count: int = 10) -> list[Score]:
        """Return the raw predictions that are farthest off, the worst first."""
        return worst(self.scores, count)

    @property
    def points(self) -> pd.DataFrame:
        """One row per point: what was measured, both predictions, both guesses, all errors."""
        import pandas as pd

        by_name = {one.name: one for one in self.experiments}
        return pd.DataFrame([_row(one, by_name[one.experiment]) for one in self.scores])

    @property
    def table(self) -> pd.DataFrame:
        """One row per experiment: its points, and the sizes of their errors."""
        import pandas as pd

        found = self.scores
        return pd.DataFrame(
            [
                _summed(one, [score for score in found if score.experiment == one.name])
                for one in self.experiments
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what the points come to together as plain data, fit for JSON."""
        return {
            "raw": None if self.raw is None else asdict(self.raw),
            "coverage": None if self.coverage is None else asdict(self.coverage),
            "sides": [asdict(one) for one in self.sides],
            "calibrated": None if self.calibrated is None else asdict(self.calibrated),
            "signs": [{**asdict(one), "right": one.right} for one in self.signs],
        }

    def save(self, directory: Path) -> None:
        """Write the tables as CSV, and what they come to as JSON, into a directory."""
        # Digits enough to be compared, few enough to be read.
        for name, frame in ((POINTS, self.points), (EXPERIMENTS, self.table)):
            frame.to_csv(directory / name, index=False, float_format="%.6g", lineterminator="\n")
        write_json(directory / SUMMARY, self.as_dict())
        names = [one.name for one in self.experiments]
        write_json(directory / MANIFEST, {"reproduces": names, **made_by()})


def _row(one: Score, experiment: Experiment) -> dict[str, Any]:
    return {
        "experiment": one.experiment,
        "series": one.series,
        "family": experiment.family,
        "point": one.point,
        "use": one.use,
        "calibration": one.calibration,
        "counted": one.counted,
        "at": one.at,
        "unit": one.unit,
        "measured": one.measured,
        "raw": one.raw,
        "raw_error": one.raw_error,
        **({} if one.between is None else dict(zip(("low", "high"), one.between, strict=True))),
        "scaled": one.scaled,
        "scaled_error": one.scaled_error,
        "constant_error": one.constant_error,
        "linear_error": one.linear_error,
        "measured_ps": as_time(experiment, one.measured),
        "raw_ps": as_time(experiment, one.raw),
    }


def _summed(experiment: Experiment, found: Sequence[Score]) -> dict[str, Any]:
    predicted = [one for one in found if one.use == "predict"]
    raw = [abs(one.raw_error) for one in predicted] if experiment.absolute else []
    fitted = [one for one in predicted if one.scaled is not None]
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "points": len(found),
        "predicted": len(predicted),
        "raw_median": median(raw) if raw else None,
        "raw_mean": mean(raw) if raw else None,
        "scaled_mean": _mean([one.scaled_error for one in fitted]),
        "constant_mean": _mean([one.constant_error for one in fitted]),
        "linear_mean": _mean([one.linear_error for one in fitted]),
        "better": beats_guesses(fitted) if fitted else None,
    }


def _mean(errors: Sequence[float | None]) -> float | None:
    return mean(abs(one or 0.0) for one in errors) if errors else None
