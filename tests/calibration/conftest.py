"""One simulator of the made-up machine, which remembers what it was asked, for all tests."""

from __future__ import annotations

import pytest

from pmsim.calibration.measured import Measured
from pmsim.calibration.model import Model
from tests.calibration.made_up import cells_of, model


@pytest.fixture(scope="session")
def simulator() -> Model:
    return model()


@pytest.fixture(scope="session")
def truth(simulator: Model) -> list[Measured]:
    return cells_of(simulator)
