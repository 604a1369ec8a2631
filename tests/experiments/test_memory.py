"""How much memory the process takes that a sweep is started in."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pmsim.experiments.dataset import Dataset
from pmsim.experiments.directory import prepare
from pmsim.experiments.plan import plan_of
from pmsim.experiments.replicate import replicate_all
from pmsim.experiments.results import Sweep
from pmsim.hardware.machine import Machine
from pmsim.simulation.result.rows import table_of
from tests.experiments.small import small

PARENT = """
import sys
import pmsim
from pmsim.experiments import driver
from pmsim.experiments.replicate import Outcome
from pmsim.simulation.answer.metrics import METRICS
from tests.experiments.small import entry, small
from benchmarks.memory import peak_kib

def replicate(scenario, replication):
    # What a replication measures, without simulating it: the parent cannot tell the difference.
    labels = [f"kind_{number}" for number in range(10)]
    columns = [f"{m.name}[{label}]" if m.dimension else m.name
               for m in METRICS.values() for label in (labels if m.dimension else [""])]
    return Outcome({name: replication + 0.5 for name in columns}, None, 0.01)

driver.replicate = replicate
sweep = pmsim.sweep(small(), entry(), sys.argv[1], replications=5_000, workers=1)
assert sweep.cells["replications"].sum() == 10_000
print(peak_kib())
"""


def test_a_job_leaves_no_machine_behind() -> None:
    def machines() -> set[int]:
        return {id(thing) for thing in gc.get_objects() if isinstance(thing, Machine)}

    gc.collect()
    before = machines()
    replicate_all(small().resolve(), range(2))
    assert machines() <= before


@pytest.mark.slow
def test_the_parent_of_ten_thousand_replications_stays_under_500_mib(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(tmp_path / "sweep")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout.splitlines()[-1]) < 500 << 10


@pytest.mark.slow
def test_a_million_rows_open_in_seconds(tmp_path) -> None:
    cells, rows = 100, 10_000
    prepare(tmp_path, plan_of(small(), {"seed": list(range(cells))}), {"replications": rows})
    values = np.random.default_rng(1).random((rows, 8))
    names = ["lost_share", "broadcasts", "latency_mean_ps", "latency_p99_ps", "after_per_s",
             "operation_mean_ps[vfree]", "operation_p99_ps[vfree]", "failures"]  # fmt: skip
    columns = {name: values[:, place] for place, name in enumerate(names)}
    first = [{"replication": 0, "error": None, **dict.fromkeys(names, 0.0)}]
    schema = table_of(first).schema
    data = {"replication": np.arange(rows), "error": [None] * rows, **columns}
    table = pa.table(data, schema=schema)
    for cell in range(cells):
        folder = tmp_path / "replications" / f"cell={cell}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "all.parquet", compression="zstd")
    assert Dataset(tmp_path).examine().damage == []
    started = time.perf_counter()
    sweep = Sweep(tmp_path)
    assert len(sweep.frame) == cells * rows
    assert sweep.to_xarray()["lost_share"].shape == (cells, rows)
    assert time.perf_counter() - started < 15
