"""Questions of yes or no: of two runs, which is larger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pmsim.reproduction.experiment import Experiment
from pmsim.reproduction.predict import Predicted


@dataclass(frozen=True, slots=True)
class Sign:
    """One question, answered by raw predictions.

    Attributes
    ----------
    experiment, says
        Which question.
    larger, than
        What was predicted of the first point and of the second, in the experiment's unit.
    unit
        That unit.
    """

    experiment: str
    says: str
    larger: float
    than: float
    unit: str

    @property
    def right(self) -> bool:
        """Whether the model says so, too."""
        return self.larger > self.than


def signs(experiments: Iterable[Experiment], predicted: Mapping[str, Predicted]) -> list[Sign]:
    """Return the answers to all questions of experiments that were not set up after seeing them."""
    found = []
    for experiment in experiments:
        if experiment.seen:
            continue
        raw = predicted[experiment.name].raw
        found += [
            Sign(
                experiment.name,
                one.says,
                raw[one.larger],
                raw[one.than] if isinstance(one.than, str) else one.than,
                experiment.unit,
            )
            for one in experiment.signs
        ]
    return found
