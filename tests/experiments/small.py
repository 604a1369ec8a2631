"""Scenarios that run in a few hundredths of a second and draw random numbers."""

from __future__ import annotations

from typing import Any

import pmsim
from tests.machines import scenario

POOLS = {
    "kind": "pool_churn",
    "name": "pools",
    "pools": 3,
    "allocations": 9,
    "arrival": {"poisson": "20000/s"},
}
NOISE = {"kind": "irq_off_noise", "name": "noise", "cpus": [1], "rate": "50000/s",
         "length": {"dist": "exponential", "scale": "2us"}}  # fmt: skip
POLICY = {"kind": "policy_load", "name": "selinux", "cpu": 1, "allocations": 16, "size": "512B"}
WORK = {"kind": "user_work", "name": "victims"}

MEASURE = {"timeline": "1ms"}
"""The timeline is not looked at here, and a fine one is most of what a short run takes."""


def small(*more: dict[str, Any], **keys: Any) -> pmsim.Scenario:
    """Return a scenario of two CPUs: pools come at random instants, and answers come late."""
    keys = {"cpus": 2, "seed": 5, "measure": MEASURE, **keys}
    return scenario(POOLS, NOISE, WORK, *more, **keys)


def entry(*times: str) -> dict[str, list[str]]:
    """Return an axis that makes handlers cost more or less."""
    return {"machine.costs.ipi.entry": list(times or ("200ns", "2us"))}
