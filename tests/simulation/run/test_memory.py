from __future__ import annotations

import subprocess
import sys

import pytest

# Rows as the kernel's log hands them over: a protection with eight calls inside, again and again.
# The peak is that of a process that does nothing else, imports included.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.kernel.operation_rows import OPERATION_COLUMNS, Words
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.run.recorder import Recorder
from pmsim.simulation.tables.store import TableStore
from pmsim.simulation.answer.summarize import summarize
from benchmarks.memory import peak_kib

directory, operations, crosscalls = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
CHUNK = 32_768

def rows(first, count):
    ids = np.arange(first, first + count)
    outer = ids % 9 == 0
    columns = {name: ids * 1000 + 7 for name in OPERATION_COLUMNS}
    return columns | {
        "id": ids,
        "parent": np.where(outer, -1, ids - ids % 9),
        "workload": Words(np.zeros(count, dtype=np.int64), ["selinux"]),
        "kind": Words(outer.astype(np.int64), ["set_memory_ro", "pmalloc_protect_pool"]),
    }

with TableStore(directory) as store:
    recorder = Recorder(store, 0, None)
    for first in range(0, operations, CHUNK):
        recorder.operations(rows(first, min(CHUNK, operations - first)))
    for first in range(0, crosscalls, 8192):
        calls = np.zeros((8192, len(CROSSCALL_COLUMNS)), dtype=np.int64)
        calls[:, 2] = np.arange(first, first + 8192)
        calls[:, 3] = calls[:, 2] + 1_000_000
        recorder.crosscalls(calls)
summary = summarize(TableFiles(directory), [operations * 1000])
assert sum(one["count"] for one in summary["operations"]) == operations
assert summary["broadcasts"]["total"] >= crosscalls
print(peak_kib())
"""


def peak_kib(folder: object, operations: int, crosscalls: int) -> int:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(operations), str(crosscalls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_ten_million_operations_and_as_many_calls_stay_under_a_gibibyte(tmp_path: object) -> None:
    assert peak_kib(tmp_path, 10_000_000, 10_000_000) < 1 << 20


@pytest.mark.slow
def test_four_times_the_operations_need_no_more_memory(tmp_path_factory: object) -> None:
    few, many = (
        peak_kib(tmp_path_factory.mktemp("rows"), 500_000 * times, 0)  # type: ignore[attr-defined]
        for times in (1, 4)
    )
    assert many < few + (100 << 10)
