"""The experiments that pmsim ships."""

from __future__ import annotations

import pytest

import pmsim
from pmsim.reproduction.experiment import experiment_names, load_experiment


def test_there_are_as_many_as_were_promised() -> None:
    assert len(experiment_names()) >= 25


def test_each_says_where_it_comes_from_what_is_assumed_and_what_is_missing() -> None:
    for name in experiment_names():
        experiment = load_experiment(name)
        assert experiment.name == name
        assert len(experiment.source) > 20
        assert len(experiment.missing) > 20


def test_what_needs_no_cost_is_predicted_exactly() -> None:
    found = pmsim.reproduce("bristot-2019-calls", workers=1)
    assert found.points["raw"].tolist() == found.points["measured"].tolist() == [168, 3]


@pytest.mark.slow
def test_all_of_them_run_and_come_to_something() -> None:
    found = pmsim.reproduce()
    assert len(found.points) > 150
    assert found.raw is not None
    assert found.raw.within_factor > 0.5
