"""How much memory a process takes: its peak, and that of a run on the largest machine.

``python -m benchmarks.memory NAME`` makes such a run, and prints its peak in KiB.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pmsim

_TOPOLOGY = {"packages": 8, "dies": 4, "cores": 64, "threads": 2}
_POOLS = {"kind": "pool_churn", "pools": 4, "allocations": 256, "protect": {"every": 8}}
_WORKLOADS = (
    {**_POOLS, "name": "near", "cpu": 0},
    {**_POOLS, "name": "far", "cpu": 4000},
    {"kind": "module_burst", "cpu": 1, "modules": 3},
    {"kind": "user_munmap", "cpu": 10, "threads": [11, 12, 4095], "changes": 30},
)

LARGE_RUNS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "pools, modules and a process": {
            "machine": {"platform": "skylake-sp-2s", "topology": _TOPOLOGY},
            "workloads": [*_WORKLOADS],
        },
        "the same, flushes of 3,900 isolated CPUs deferred": {
            "machine": {
                "platform": "skylake-sp-8s", "topology": _TOPOLOGY, "isolated": "100-3999",
            },
            "kernel": {"profile": "linux-6.18-x86_64", "shootdown": "deferred"},
            "workloads": [
                *_WORKLOADS,
                {"kind": "user_work", "name": "isolated", "cpus": "isolated"},
            ],
        },
    }
)  # fmt: skip
"""Scenarios on 4,096 CPUs, by what they do."""


def peak_kib() -> int:
    """Return the most memory that this process has had at once, in KiB.

    Linux keeps it with the address space. `getrusage` would also count the process that this one
    was forked from: a child of a large test run would seem as large itself.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0])


def peak_of(name: str) -> int:
    """Return the peak of one of the `LARGE_RUNS`, in a process that does nothing else, in KiB.

    Raises
    ------
    RuntimeError
        If the run fails, or anything was found in it that is not safe.
    """
    command = [sys.executable, "-m", "benchmarks.memory", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout)


def main(name: str) -> None:
    """Make a run, and print its peak."""
    scenario = {"pmsim": 1, "name": "large", **LARGE_RUNS[name]}
    result = pmsim.run(pmsim.Scenario.from_dict(scenario))
    safety = result.summary.safety
    if result.summary.cpus != 4096 or safety is None or safety.violations:
        raise RuntimeError(f"this is no safe run on 4,096 CPUs: {safety}")
    print(peak_kib())


if __name__ == "__main__":
    main(*sys.argv[1:])
