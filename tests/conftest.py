"""Settings of all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No deadlines: a test that compiles, or shares its CPU, is no failure. What gates a change draws
# the same examples each time, that it depends on the change alone; whoever works draws others.
settings.register_profile("default", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, max_examples=25)
settings.register_profile("many", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell that starts tests in the background has them ignore Ctrl-C, and what they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def scoped_kinds() -> Iterator[None]:
    """Let kinds that a test registers end with the test."""
    from pmsim.workloads.registry import KINDS

    with KINDS.scoped():
        yield
