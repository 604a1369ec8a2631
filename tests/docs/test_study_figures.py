"""The README's figures of the study, of which a few cells are run anew: 50 runs, some minutes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pmsim
from pmsim.figures.side_by_side import PROTOCOLS
from tests.docs.prose import Prose, rounded

pytestmark = pytest.mark.slow

README = Prose("README.md")
CPUS, RATE = "machine.cpus", "workloads.modules.arrival.poisson"
LIMIT = 0.01


def passed_at(name: str, axes: dict[str, Any], of: str) -> dict[str, float]:
    """Return at how many loads a second 1 % of all CPU time is lost, as the study does."""
    rows = pmsim.sweep(name, axes, progress=None).frame
    rows["loads"] = rows["operation_count[load_module]"] / rows["duration_ps"] * 1e12
    found: dict[str, float] = {}
    for value, some in rows.groupby(of):
        each = [
            np.interp(LIMIT, *one.sort_values("lost_share")[["lost_share", "loads"]].to_numpy().T)
            for _, one in some.groupby("replication")
        ]
        found[str(value)] = float(np.mean(each))
    return found


def test_other_protocols_move_the_line_as_far_as_the_readme_says() -> None:
    ends = ["30/s", "400/s"]
    other = passed_at("claim-protocols", {CPUS: [56], RATE: ends}, PROTOCOLS)
    late = passed_at("claim-deferred", {CPUS: [56], RATE: ends}, PROTOCOLS)
    kernel = "linux-6.18-x86_64"
    axes = {"kernel": [kernel], CPUS: [56], RATE: ["30/s", "100/s"]}
    today = passed_at("claim", axes, "kernel")[kernel]
    README.says(
        f"on 56 CPUs INVLPGB takes 6.18 from {today:.0f} to {other['tlbi']:.0f} loads a second,"
        f" Intel's remote actions to {other['rar']:.0f}",
        "deferral for isolated CPUs leaves it where it is",
    )
    assert late["deferred"] == pytest.approx(today, rel=0.02)


def test_colder_caches_cost_as_much_as_the_readme_says() -> None:
    busy = pmsim.load("claim").without_sweep()
    busy = busy.with_(**{"replications": 1, CPUS: 448, RATE: "100/s"})
    lost = [
        rounded(100 * pmsim.run(busy.with_(**keys)).summary.cost.share, 2)
        for keys in ({}, {"machine.costs.tlb.walk": "75ns"})
    ]
    README.says(f"6.1 loses {lost[1]} % at 100 loads a second instead of {lost[0]} %")


def test_rare_loads_cost_as_little_as_the_readme_says() -> None:
    # The kernel that loses most, on the CPUs on which it does.
    axes = {"kernel": ["linux-6.18-x86_64"], CPUS: [448], RATE: ["10/s"]}
    lost = pmsim.sweep("claim", axes, progress=None).frame["lost_share"].max()
    README.says(f"at most {rounded(100 * lost, 1)} % is lost, whatever the kernel")
