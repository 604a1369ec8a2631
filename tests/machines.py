"""Machines and scenarios with costs so round that results can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pmsim

ROUND_COSTS: Mapping[str, Any] = {
    "ipi": {
        "queue": "10ns", "send": "20ns", "delivery": {"core": "500ns"}, "line": {"core": "30ns"},
        "entry": "200ns", "exit": "100ns",
    },
    "tlb": {
        "invlpg": "50ns", "flush_all": "300ns", "walk": "10ns", "entries": 100, "sync_core": "40ns"
    },
    "sched": {"quantum": "1ms", "context_switch": "1us", "wakeup": "2us"},
}  # fmt: skip


def machine(cpus: int = 4) -> dict[str, Any]:
    """Return an inline machine of one package."""
    return {"topology": {"cores": cpus}, "costs": dict(ROUND_COSTS)}


def scenario(*workloads: Mapping[str, Any], cpus: int = 4, **keys: Any) -> pmsim.Scenario:
    """Return a scenario on a round machine, until done unless a duration is given."""
    data = {"pmsim": 1, "name": "test", "machine": machine(cpus), "workloads": list(workloads)}
    return pmsim.Scenario.from_dict(data | keys)
