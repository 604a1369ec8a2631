"""Results that no simulation made: tables with known numbers, of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pmsim.figures.flushes import PARTS as LATENCY_PARTS
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.tables.columns import TABLES
from tests.summaries import EMPTY

MS = 1_000_000_000

# A protection that calls set_memory twice, and one pmalloc: times in ps.
PROTECT = (
    (0, None, "pmalloc_protect_pool", 2, 100, 0, 800, 0),
    (1, 0, "set_memory_ro", 1, 40, 0, 500, 0),
    (2, 0, "set_memory_ro", 1, 40, 0, 300, 0),
    (3, None, "pmalloc", 0, 50, 20, 0, 30),
)


def empty(name: str) -> pd.DataFrame:
    """Return a table as a run without rows leaves it."""
    return pd.DataFrame(columns=list(TABLES[name].names))


@dataclass
class MadeUp:
    """A result with the tables given, the others empty."""

    operations: pd.DataFrame = field(default_factory=lambda: empty("operations"))
    crosscalls: pd.DataFrame = field(default_factory=lambda: empty("crosscalls"))
    cpus: pd.DataFrame = field(default_factory=lambda: empty("cpus"))
    timeline: pd.DataFrame = field(default_factory=lambda: empty("timeline"))
    cpu_timeline: pd.DataFrame = field(default_factory=lambda: empty("cpu_timeline"))
    anatomy: pd.DataFrame = field(default_factory=lambda: empty("anatomy"))
    interruptions: pd.DataFrame = field(default_factory=lambda: empty("interruptions"))
    summary: Summary = field(default_factory=lambda: EMPTY)


@dataclass
class InPieces(MadeUp):
    """The same, that hands out its tables a few rows at a time, and counts the pieces."""

    rows: int = 3
    pieces: int = 0

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        frame = getattr(self, table)[list(columns)]
        for start in range(0, len(frame), self.rows):
            self.pieces += 1
            yield frame.iloc[start : start + self.rows]


def operations(*rows: tuple[int, int | None, str, int, int, int, int, int]) -> pd.DataFrame:
    """Return operations from ``id, parent, kind, crosscalls`` and the four parts of their time."""
    columns = [
        "id", "parent", "kind", "crosscalls", "run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    parts = frame[["run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps"]]
    return frame.assign(replication=0, start_ps=0, end_ps=parts.sum(axis=1))


def crosscalls(
    kinds: Sequence[str],
    causes: Sequence[str],
    protocols: Sequence[str] | str = "ipi",
    **parts: Any,
) -> pd.DataFrame:
    """Return shootdowns one after the other; parts not given are 0."""
    frame = pd.DataFrame({"kind": kinds, "cause": causes}).assign(protocol=protocols)
    for part in LATENCY_PARTS:
        frame[part] = parts.get(part, 0)
    latency = frame[list(LATENCY_PARTS)].sum(axis=1)
    start = latency.cumsum() - latency
    return frame.assign(replication=0, targets=55, start_ps=start, end_ps=start + latency)


def many_crosscalls(n: int, n_cpus: int, seed: int = 1) -> pd.DataFrame:
    """Return plausible cross-calls of a machine: a few waits make the tail."""
    rng = np.random.default_rng(seed)
    where = rng.choice(4, n, p=[0.55, 0.25, 0.15, 0.05])
    late = rng.random(n)
    frame = crosscalls(
        np.array(["full", "range", "full", "sync_core"])[where].tolist(),
        np.array(["attributes", "purge", "purge", "text_poke"])[where].tolist(),
        queue_ps=20_000 * (n_cpus - 1),
        send_ps=80_000 * -(-n_cpus // 16),
        delivery_ps=rng.integers(600_000, 1_200_000, n),
        irqs_off_ps=np.where(late < 0.02, rng.exponential(2e7, n), 0).astype(int),
        idle_exit_ps=np.where((late > 0.5) & (late < 0.6), 2_000_000, 0),
        busy_handler_ps=np.where(late > 0.9, rng.integers(0, 800_000, n), 0),
        entry_ps=250_000,
        function_ps=np.where(where == 1, 500_000, 400_000),
        visit_ps=rng.integers(40_000, 60_000, n) * (n_cpus - 1),
    )
    return frame.assign(targets=n_cpus - 1)


RANGES = (
    "vmalloc_pages", "vmalloc_hole_pages", "lazy_pages", "modules_pages", "modules_hole_pages",
)  # fmt: skip


def timeline(
    counts: Sequence[int] | np.ndarray, width_ps: int, **pages: Sequence[int] | np.ndarray
) -> pd.DataFrame:
    """Return a timeline of so many shootdowns per interval, and pages of address ranges."""
    start = np.arange(len(counts)) * width_ps
    return pd.DataFrame(
        {"replication": 0, "start_ps": start, "end_ps": start + width_ps, "broadcasts": counts}
        | {name: pages.get(name, np.zeros(len(counts), dtype=int)) for name in RANGES}
    )


def interruptions(
    *rows: tuple[int, int, int, int, bool, str], replication: int = 0
) -> pd.DataFrame:
    """Return interruptions from ``cpu, from_ps, start_ps, end_ps, opened, cause``."""
    columns = ["cpu", "from_ps", "start_ps", "end_ps", "opened", "cause"]
    return pd.DataFrame(rows, columns=columns).assign(replication=replication)


def cpu_timeline(stolen: np.ndarray, spin: np.ndarray, width_ps: int) -> pd.DataFrame:
    """Return each CPU's stolen and spun time, arrays of shape ``(cpus, intervals)``."""
    n_cpus, intervals = stolen.shape
    start = np.tile(np.arange(intervals) * width_ps, n_cpus)
    return pd.DataFrame(
        {
            "replication": 0,
            "start_ps": start,
            "end_ps": start + width_ps,
            "cpu": np.repeat(np.arange(n_cpus), intervals),
            "stolen_ps": stolen.ravel(),
            "spin_ps": spin.ravel(),
        }
    )


def one_call(
    which: str, waits: Mapping[int, tuple[str, int]], n_cpus: int, step: int = 1000
) -> pd.DataFrame:
    """Return a call of CPU 0 to all others at time 5 of its clock, which every part takes ``step``.

    Every target is queued on at once and waits for nothing but what ``waits`` says: a reason, and
    how long. The visit of a target takes no time.
    """
    rows = []
    seen = 0
    for cpu in range(1, n_cpus):
        reason, waited = waits.get(cpu, ("distance", 0))
        handler = 3 * step + waited
        ack = handler + 2 * step
        seen = max(seen, ack, 3 * step)
        rides = reason == "ride"
        rows.append(
            {
                "cpu": cpu, "reason": reason, "queued_ps": step,
                "sent_ps": pd.NA if rides else 2 * step, "arrives_ps": pd.NA if rides else 3 * step,
                "handler_ps": handler, "taken_ps": handler + step, "runs_ps": handler + step,
                "frozen_ps": 0,
                "ack_ps": ack, "done_ps": ack, "exit_ps": ack + step, "seen_ps": seen,
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows).assign(
        replication=0, which=which, initiator=0, task=0, protocol="ipi", kind="full",
        cause="purge", operation=pd.NA, start_ps=0, end_ps=seen, told_ps=step,
        all_sent_ps=2 * step, own_start_ps=2 * step, own_end_ps=3 * step, looks_ps=3 * step,
        visited_ps=seen,
    )  # fmt: skip
    lengths = ("frozen_ps",)
    names = TABLES["anatomy"].names
    times = [name for name in names if name.endswith("_ps") and name not in lengths]
    frame[times] = frame[times].astype("Int64") + 5
    return frame[list(TABLES["anatomy"].names)]
