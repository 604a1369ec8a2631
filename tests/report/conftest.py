"""A result and a sweep that all tests of this room look at, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

import pmsim
from tests.experiments.small import POLICY, entry, small
from tests.report.browser import Browser

mpl.use("agg")


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replications on two CPUs: pools at random instants, a policy, noise and user work."""
    path = tmp_path_factory.mktemp("report") / "saved"
    pmsim.run(small(POLICY, replications=2, description="Is <it> worth & safe?"), path)
    return path


@pytest.fixture(scope="session")
def result(saved: Path) -> pmsim.Result:
    return pmsim.Result(saved)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> pmsim.Sweep:
    """Two cells of six replications."""
    path = tmp_path_factory.mktemp("report") / "swept"
    return pmsim.sweep(small(), entry("200ns", "2us"), replications=6, workers=1, out=path)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one
