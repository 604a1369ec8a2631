"""Where a result comes from: scenario, seed, versions, host."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pmsim.errors import Fault, ScenarioError
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.simulation.result.code import code_sha256

FORMAT = 3
"""Version of the result directory's layout."""

PACKAGES = ("pmsim", "simpy", "numpy", "numba", "pandas", "pyarrow", "pydantic")
"""Packages whose versions a result depends on, or is read with."""
DECISIVE = ("pmsim", "numpy", "simpy")
"""Those of them that decide its numbers: the program, its draws, the order of its events."""


def scenario_hash(scenario: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a scenario as run, whatever the order of its keys."""
    text = json.dumps(scenario, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def provenance(
    scenario: Mapping[str, Any], seed: int, replications: int, inputs: Iterable[str]
) -> dict[str, Any]:
    """Return what is known of a result before it runs.

    Parameters
    ----------
    scenario
        The resolved scenario as plain data.
    seed, replications
        As run.
    inputs
        Files that the workloads read; their hashes are noted.
    """
    return {
        "format": FORMAT,
        "scenario": dict(scenario),
        "scenario_sha256": scenario_hash(scenario),
        "seed": seed,
        "replications": replications,
        "inputs": {name: _file_hash(Path(name)) for name in inputs},
        **made_by(),
        "host": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "name": platform.node(),
            "cpus": os.cpu_count(),
        },
    }


def own_codes(*parts: Any) -> dict[str, str]:
    """Return the hashes of the code of the protocols, not pmsim's own, that plain data names."""
    text = json.dumps(parts)
    return {name: code for name, code in PROTOCOLS.codes().items() if json.dumps(name) in text}


def made_by() -> dict[str, Any]:
    """Return which program runs: ``versions`` of packages, and ``code_sha256`` of pmsim itself."""
    versions = {"python": platform.python_version(), **_versions()}
    return {"versions": versions, "code_sha256": code_sha256()}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say why two programs may give different numbers; empty if they cannot.

    Parameters
    ----------
    one, other
        What `made_by` returned, as manifests hold it.
    """
    said = [
        f"{name} {one['versions'].get(name)} and {other['versions'].get(name)}"
        for name in DECISIVE
        if one["versions"].get(name) != other["versions"].get(name)
    ]
    if not said and one.get("code_sha256") != other.get("code_sha256"):
        said = ["two states of pmsim's own code"]
    codes, others = one.get("protocols", {}), other.get("protocols", {})
    said += [
        f"two states of the code of {name}"
        for name, code in codes.items()
        if others.get(name, code) != code
    ]
    return ", ".join(said)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON that people can read."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        fault = Fault(str(path), 0, 0, "unreadable", f"cannot read: {reason}")
        raise ScenarioError([fault]) from error
