"""The scenario that replays a trace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pmsim import formatting
from pmsim.cpulist import format_cpulist
from pmsim.imports.trace.workload import Rows

CALLS: Final = "calls.csv"
SCENARIO: Final = "scenario.yaml"
MACHINES: Final = (("skylake-sp-2s", 56), ("skylake-sp-8s", 448))
"""The machine of the scenario: the first that has as many CPUs as the trace."""


def replay_words(rows: Rows) -> list[str]:
    """Say what is replayed and what is not."""
    total = sum(rows.written.values())
    if not total:
        return ["nothing in it can be replayed"]
    most = sorted(rows.written.items(), key=lambda one: -one[1])
    said = [
        f"{formatting.counted(total, 'call')} can be replayed on any machine of"
        f" {rows.last_cpu + 1:,} CPUs or more: "
        + ", ".join(f"{formatting.count(number)} {op.value}" for op, number in most)
    ]
    if rows.guessed:
        said.append(
            f"{formatting.counted(rows.guessed, 'area')} that were there before are taken to be"
            " kernel stacks of 4 pages: nothing tells their sizes"
        )
    if rows.untold:
        said.append(
            f"{formatting.counted(rows.untold, 'flush')[:-1]}es of processes are not replayed: the"
            " trace does not tell which CPUs they went to (record csd or ipi)"
        )
    return said


def state_words(switched: Sequence[int], busy: Sequence[int]) -> list[str]:
    """Say what is known, and what is assumed, of what CPUs do between their calls in a replay.

    Parameters
    ----------
    switched
        CPUs of which the trace tells when they were idle.
    busy
        Others, which most calls found running something.
    """
    said = []
    if switched:
        one = len(switched) == 1
        said.append(
            f"{_cpus(switched)} compute{'s' * one} in the replay when the trace has"
            f" {'it' if one else 'them'} run something (sched_switch), and"
            f" {'is' if one else 'are'} idle when it has not"
        )
    if busy:
        said.append(
            f"{_cpus(busy)} ran something at most calls that came there, and"
            f" {'is' if len(busy) == 1 else 'are'} busy throughout the replay"
        )
    rest = "all CPUs" if not said else "the others"
    assumed = f"{rest} are taken to be idle between their calls"
    if not switched:
        assumed += "; record sched:sched_switch to know when they were"
    return [*said, assumed]


def _cpus(cpus: Sequence[int]) -> str:
    return f"CPU{'' if len(cpus) == 1 else 's'} {format_cpulist(cpus)}"


def replay_scenario(
    name: str, format_: str, rows: Rows, notes: Sequence[str], busy: Sequence[int] = ()
) -> str:
    """Return a scenario that replays the calls of a trace, with CPUs that are busy besides."""
    cpus = max(rows.last_cpu, *busy, 0) + 1
    machine = next((name for name, most in MACHINES if most >= cpus), "")
    written = machine or f"{{platform: {MACHINES[-1][0]}, cpus: {cpus}}}"
    computing = f", busy: '{format_cpulist(busy)}'" if busy else ""
    lines = [
        f"# Made by pmsim import of {name}, {format_}.",
        *(f"# {note}" for note in notes),
        "# Another machine: pmsim run scenario.yaml --set machine=epyc-turin",
        "# On Arm:          ... --set machine=altra-max --set kernel=linux-6.18-arm64",
        "pmsim: 1",
        f"name: replay-of-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}",
        f"description: What would the calls of {re.sub(r'[^A-Za-z0-9_.-]', '-', name)} cost here?",
        f"machine: {written}",
        "kernel: linux-6.18-x86_64",
        "until: done",
        "workloads:",
        f"  - {{kind: replay, name: replay, file: {CALLS}{computing}}}",
    ]
    return "\n".join(lines) + "\n"
