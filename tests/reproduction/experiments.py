"""An experiment written for tests, small enough to be worked out by hand."""

from __future__ import annotations

from pathlib import Path

TABLE = """\
id,value,split,unit
A1,10,calibrate,us
A2,20,predict,us
A3,40,predict,us
A4,7,unused,us
"""

EXPERIMENT = """\
pmsim: 1
title: CPUs are called one by one
source: nobody
machine: none
missing: everything
data: table.csv
scenario:
  machine:
    topology: {cores: 4}
    costs:
      ipi: {queue: 1us, send: 1us, fanout: 1, delivery: 1us, line: 0ns, entry: 1us, exit: 1us}
      tlb: {invlpg: 1us, flush_all: 2us, walk: 0ns, entries: 8, sync_core: 0ns}
      sched: {quantum: 1ms, context_switch: 0ns, wakeup: 0ns}
  kernel: linux-6.1-x86_64
  until: done
  workloads:
    - {kind: kernel_flush, flushes: 2}
observe: {what: latency}
unit: us
axis: CPUs
vary: [machine.cpus]
points:
  - {measured: A1, at: 2}
  - {measured: A2, at: 3}
  - {measured: A3, at: 4}
"""
"""A call of k other CPUs: k enqueues, k sends, then delivery, entry and a page: 2 k + 3 µs."""


def written(folder: Path, experiment: str = EXPERIMENT, table: str = TABLE) -> Path:
    """Write an experiment and its table; return the experiment's file."""
    (folder / "table.csv").write_text(table, encoding="utf-8")
    path = folder / "one_by_one.yaml"
    path.write_text(experiment, encoding="utf-8")
    return path
