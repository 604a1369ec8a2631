"""One flush of one page on two packages of a CPU each, whose latency is a sum of constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pmsim
from pmsim.units import NS

VALUES = {"delivery": 800, "entry": 400, "line": 200, "queue": 50, "send": 100, "invlpg": 100}
"""Nanoseconds; the first three are open by a factor of two each way."""
OPEN = ("delivery", "entry", "line")

LATENCY = sum(VALUES.values()) * NS
"""By section 4 of the machine model, for one target: each of them once."""

PROGRAM = "cpu,op,arg\n0,flush_kernel,1\n1,compute,9000000\n"


def constant(name: str) -> dict[str, str]:
    basis = "estimate" if name in OPEN else "quoted"
    return {"value": f"{VALUES[name]}ns", "basis": basis, "source": "made up"}


def scenario(folder: Path, **keys: Any) -> pmsim.Scenario:
    """Return the scenario; its program lies in a folder."""
    (folder / "program.csv").write_text(PROGRAM, encoding="utf-8")
    quiet = {"value": "1us", "basis": "quoted"}
    ipi = {name: constant(name) for name in ("queue", "send", "entry", "delivery", "line")}
    costs = {
        "ipi": ipi,
        "tlb": {"invlpg": constant("invlpg")},
        "sched": {"context_switch": quiet, "wakeup": quiet, "quantum": quiet},
    }
    return pmsim.Scenario.from_dict(
        {
            "pmsim": 1,
            "name": "linear",
            "machine": {"topology": {"packages": 2}, "costs": costs},
            "until": "done",
            "workloads": [{"kind": "trace", "file": "program.csv"}],
            **keys,
        },
        directory=folder,
    )
