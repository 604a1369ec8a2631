"""Scenario files for tests, written from plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_scenario(folder: Path, data: Mapping[str, Any], name: str = "scenario.yaml") -> Path:
    """Write a scenario and return its path. JSON is YAML."""
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
