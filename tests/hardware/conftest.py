"""Every rule of the machine is checked on both of its implementations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hardware.adapters import IMPLEMENTATIONS
from tests.reference.program import Program, Result


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def run(request: pytest.FixtureRequest) -> Callable[[Program], Result]:
    """Run a program: on the reference, and on the fabric."""
    return IMPLEMENTATIONS[request.param]
