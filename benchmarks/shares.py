"""Whole runs, as a user makes them: how long each stage takes, and how soon the answer is there."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from rich.console import Console
from rich.table import Table

from benchmarks.clock import met
from benchmarks.sampler import STAGES

SCENARIOS = ("one-broadcast", "policy-load", "pool-churn", "module-rate")

WITHOUT_FIGURES: Mapping[str, float] = MappingProxyType({"policy-load": 2.5, "one-broadcast": 1.5})
"""CPU-seconds that a run without figures is to stay below, compiled code being there already."""


def compare(console: Console) -> None:
    """Print the tables."""
    names = [*(stage for stage, _ in STAGES), "other"]
    table = Table("pmsim run", title="Whole runs, by stage, of CPU time", title_justify="left")
    for heading in ("in all", *names, "without figures", "wanted", ""):
        table.add_column(heading, justify="right")
    with TemporaryDirectory() as directory:
        out = Path(directory)
        _run("one-broadcast", out, "--no-figures")  # what is to be compiled is
        for scenario in SCENARIOS:
            seconds = _run(scenario, out)
            whole = sum(seconds.values())
            shares = (f"{seconds.get(name, 0) / whole:.0%}" for name in names)
            plain = sum(_run(scenario, out, "--no-figures").values())
            wanted = WITHOUT_FIGURES.get(scenario)
            verdict = ("", "") if wanted is None else (f"{wanted} s", met(plain < wanted))
            table.add_row(scenario, f"{whole:.2f} s", *shares, f"{plain:.2f} s", *verdict)
    console.print(table)


def _run(scenario: str, out: Path, *options: str) -> Mapping[str, float]:
    """Run a shipped scenario in a process of its own; return CPU-seconds by stage."""
    file = out / "seconds.json"
    before = _children()
    command = ("run", scenario, "--out", str(out / scenario), "--force", *options)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.sampler", str(file), *command],
        check=True,
        capture_output=True,
    )
    seconds: dict[str, float] = json.loads(file.read_text())
    # The time of the process' end, and of threads and children that nobody looked at.
    unseen = _children() - before - sum(seconds.values())
    return seconds | {"other": seconds.get("other", 0) + max(0, unseen)}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
