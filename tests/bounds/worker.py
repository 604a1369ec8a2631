"""Runs scenarios that come on standard input, one a line, and says what became of each.

A process of its own, so that a crash of the interpreter, or a run that never ends, is seen from
outside.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import pmsim
from pmsim.simulation.tables.columns import TABLES

MEMORY: Final = 16 << 30
"""Bytes of addresses, of which 4,096 CPUs take more than one: who needs more for a millisecond does
not work in proportion to it."""
UNFORESEEN: Final = "the workload raised"
"""What an error says that came out of a workload as any exception."""
SIGNED: Final = ("low", "slowdown")
"""Keys of a summary that may be negative: the end of an interval, and work that went on elsewhere
while a task waited."""


def outcome(data: dict[str, Any], directory: Path) -> str:
    """Run a scenario; return ``ran``, ``refused``, ``failed``, or what is wrong with pmsim."""
    try:
        scenario = pmsim.Scenario.from_dict(data, directory=directory)
    except pmsim.ScenarioError as error:
        return f"refused: {error}"
    try:
        result = pmsim.run(scenario)
    except pmsim.AccountingError as error:
        return f"accounts: {error}"
    except pmsim.SimulationError as error:
        return f"raised: {error}" if UNFORESEEN in str(error) else f"failed: {error}"
    return negative(result.path) or "ran"


def negative(result: Path) -> str:
    """Return where a table or the summary holds a negative number; empty where none does."""
    for name in TABLES:
        table = pq.read_table(result / f"{name}.parquet")
        for column in table.column_names:
            values = table.column(column)
            if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
                least = np.nanmin(values.drop_null().to_numpy(), initial=0)
                if least < 0:
                    return f"negative: {name}.{column} is {least}"
    return _below_zero(json.loads((result / "summary.json").read_text()), "summary")


def _below_zero(value: Any, path: str) -> str:
    if isinstance(value, dict):
        below = (_below_zero(v, f"{path}.{k}") for k, v in value.items() if k not in SIGNED)
        return next(filter(None, below), "")
    if isinstance(value, list):
        return next(filter(None, (_below_zero(one, path) for one in value)), "")
    return f"negative: {path} is {value}" if isinstance(value, int | float) and value < 0 else ""


def main() -> None:
    """Answer line by line: what became of it, and how much CPU time that took."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "programs.csv").write_text("cpu,op,arg\n0,compute,1000\n0,flush_kernel,3\n")
        (directory / "calls.csv").write_text(
            "at_ps,cpu,op,area,first,pages,cpus\n0,0,flush_tlb_all,,,,\n"
        )
        for line in sys.stdin:
            began = time.process_time()
            try:
                said = outcome(json.loads(line), directory)
            except Exception:
                said = "traceback: " + traceback.format_exc(limit=-4)
            print(json.dumps([said, time.process_time() - began]), flush=True)


if __name__ == "__main__":
    main()
