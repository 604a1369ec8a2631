"""The constants that a run used: what each rests on, what it may be, and what hangs on it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np

from pmsim.constants import Kind
from pmsim.hardware.topology import Distance, Topology
from pmsim.scenario.known import KnownConstant
from pmsim.scenario.machine import MachineDescription
from pmsim.simulation.answer.hanging import hanging, of_distance
from pmsim.simulation.answer.summary import Cost, UsedConstant
from pmsim.simulation.tables.source import TableSource


def used_constants(
    files: TableSource, cost: Cost, machine: MachineDescription, asked: Set[str]
) -> tuple[UsedConstant, ...]:
    """Return the constants that a run used, those first on which most of the lost time hangs.

    Parameters
    ----------
    files, cost
        Its tables, and what was lost.
    machine
        What it ran on.
    asked
        The names of the costs that were asked for.
    """
    used = constants_asked_for(machine, asked)
    values = {one.name: one.value for one in used}
    parts = hanging(files, cost, values, machine.topology)
    told = [_used(one, parts.get(one.name, 0), cost.lost_ps) for one in used]
    return tuple(sorted(told, key=lambda one: -one.lost_ps))


def constants_asked_for(machine: MachineDescription, asked: Set[str]) -> list[KnownConstant]:
    """Return the constants behind the names of costs, of tables those for distances that exist.

    What costs nothing is no constant that anybody used.
    """
    names = {one.name for one in machine.constants}
    tables = {_table(one) for one in machine.constants if one.kind is Kind.TIME_BY_DISTANCE}
    there = _distances(machine.topology)
    near = {of_distance(names, table, distance) for table in tables for distance in there}
    return [one for one in machine.constants if one.value and _heads(one, near) & asked]


def _heads(one: KnownConstant, near: Set[str]) -> set[str]:
    """Return the names under which a constant is asked for: its own, or its table's."""
    match one.kind:
        case Kind.TIME_BY_DISTANCE:
            return {_table(one)} if one.name in near else set()
        case Kind.JITTER:
            return {one.name.removesuffix(".scale")}
        case _:
            return {one.name}


def _table(one: KnownConstant) -> str:
    """Return the table that a constant by distance stands in: itself where it is one for all."""
    table, _, last = one.name.rpartition(".")
    return table if last.upper() in Distance.__members__ else one.name


def _distances(topology: Topology) -> list[Distance]:
    """Return the distances that there are between different CPUs of a machine."""
    codes = topology.codes()[~np.eye(topology.n_cpus, dtype=bool)]
    return [Distance(code) for code in np.unique(np.minimum(codes, Distance.PACKAGE)).tolist()]


def _used(one: KnownConstant, lost_ps: int, all_lost_ps: int) -> UsedConstant:
    low, high = (str(one.written(end)) for end in one.ends)
    told = UsedConstant(
        name=one.name,
        value=str(one.written(one.value)),
        low=None,
        high=None,
        basis=one.basis,
        source=one.source,
        lost_ps=lost_ps,
        lost_share=lost_ps / all_lost_ps if all_lost_ps else 0.0,
    )
    return replace(told, low=low, high=high) if one.open else told
