"""A kernel trace, imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pmsim.imports.found import Imported, WriteFile, sentences, text_file
from pmsim.imports.trace.distributions import COSTS, costs_piece, distributions
from pmsim.imports.trace.scenario import (
    CALLS,
    SCENARIO,
    replay_scenario,
    replay_words,
    state_words,
)
from pmsim.imports.trace.seen import read_trace
from pmsim.imports.trace.tables import trace_tables, trace_words
from pmsim.imports.trace.workload import Rows
from pmsim.readers.formats import Format


def import_trace(
    path: Path,
    format_: Format,
    *,
    isolated: frozenset[int],
    tick_ps: int,
    progress: Callable[[int, int], None] | None,
) -> Imported:
    """Read a trace; return its report, and what replays it.

    Parameters
    ----------
    path, format_
        The file, and what it is.
    isolated
        CPUs that are shown apart.
    tick_ps
        What a step of a clock stands for that counts something else than time.
    progress
        Called with the bytes of the file that were read, and all.

    Raises
    ------
    ScenarioError
        If it cannot be read.
    """
    rows = Rows()
    seen = read_trace(path, tick_ps=tick_ps, progress=progress, listeners=[rows])
    rows.finish()
    switched = rows.switched
    busy = [cpu for cpu in seen.calls.busy_cpus if cpu not in switched]
    replayed = [*replay_words(rows), *(state_words(switched, busy) if rows.written else [])]
    words = sentences([*trace_words(seen, isolated), *replayed])
    files: dict[str, WriteFile] = {}
    if rows.written:
        scenario = replay_scenario(path.name, format_.value, rows, replayed, busy)
        files |= {CALLS: rows.copy_to, SCENARIO: text_file(scenario)}
    costs = costs_piece(seen, path.name)
    if costs is not None:
        files[COSTS] = text_file(costs)
    tables = (*trace_tables(seen, isolated), distributions(seen))
    tables = tuple(table for table in tables if table.rows)
    return Imported(path.name, format_.value, words, tables, files)
