"""``pmsim.reproduce``: published experiments by name, or all of them."""

from __future__ import annotations

from pathlib import Path

from pmsim.reproduction.experiment import Experiment, experiment_names, load_experiment
from pmsim.reproduction.predict import predict
from pmsim.reproduction.reproduction import Reproduction
from pmsim.reproduction.runs import Report


def reproduce(
    *experiments: str | Path | Experiment,
    workers: int | None = None,
    progress: Report | None = None,
    intervals: bool = False,
) -> Reproduction:
    """Predict published experiments, and hold the predictions against what was measured.

    Parameters
    ----------
    *experiments
        Names as `pmsim list experiments` shows them, files of one's own, or experiments; all that
        pmsim ships where none is given.
    workers
        Processes; as many as there are processors where not given. They change no number.
    progress
        Called with the number of runs that are done, and of all.
    intervals
        Whether raw predictions get intervals that hold what the constants leave open: nine times
        the runs.

    Returns
    -------
    Reproduction
        A data frame of all points (``.points``), one of the experiments (``.table``), what they
        come to together (``.raw``, ``.calibrated``), and the questions of yes or no (``.signs``).

    Raises
    ------
    ScenarioError
        If there is no such experiment, or its file has faults.
    SimulationError
        If a run goes wrong in simulated time.
    """
    found = tuple(
        one if isinstance(one, Experiment) else load_experiment(one)
        for one in experiments or experiment_names()
    )
    return Reproduction(found, predict(found, workers, progress, intervals=intervals))
