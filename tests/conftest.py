"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadlines: a test that compiles, or shares its CPU, is no failure.
settings.register_profile("default", deadline=None)
settings.register_profile("few", deadline=None, max_examples=25)
settings.register_profile("many", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
