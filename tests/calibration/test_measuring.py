"""Measuring this very machine, for a moment: cells come out, and count where they can."""

from __future__ import annotations

import os
import threading

from pmsim.calibration.cells import Cell
from pmsim.calibration.host import read_host
from pmsim.calibration.measured import FEWEST
from pmsim.calibration.measuring import LEAST_ROUNDS, measure


def test_cells_of_this_machine_are_measured_and_nothing_is_left_behind() -> None:
    host = read_host()
    alone = [Cell("mprotect", pages=1), Cell("mprotect", pages=64),
             Cell("madvise", pages=4), Cell("madvise", "touch", 4),
             Cell("munmap", pages=4), Cell("munmap", "mmap", 4)]  # fmt: skip
    other = host.nearest[:1]
    together = [
        Cell("mprotect", "call", 1, "spinning", other),
        Cell("mprotect", "lost", 1, "spinning", other),
        Cell("membarrier", "call", 0, "asleep", other),
        Cell("munmap_tables", "call", 1, "idle", other, 100_000),
    ]
    before, threads = os.sched_getaffinity(0), threading.active_count()
    found = measure([*alone, *(together if other else ())], host.cpu, 0.1)
    assert os.sched_getaffinity(0) == before
    assert threading.active_count() == threads
    assert found.clock_ns > 0
    by_cell = {one.cell: one for one in found.cells}
    for cell in alone:
        one = by_cell[cell]
        assert one.counts, one.refused
        assert len(one.samples) >= FEWEST * min(found.rounds, LEAST_ROUNDS) // LEAST_ROUNDS
    # Changing 64 pages takes longer than one, wherever this is.
    assert by_cell[alone[1]].ns > by_cell[alone[0]].ns
    # With another thread a cell counts, or says why it does not; on one CPU there is none.
    for cell in together if other else ():
        one = by_cell[cell]
        assert one.counts or one.refused
    if not other:
        assert any("one CPU only" in said for said in host.limits)
