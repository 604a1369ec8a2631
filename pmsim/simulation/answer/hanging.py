"""What the time that a run lost hangs on: how much of it is some number times a constant.

Nothing is run again. The parts of latencies, the handlers and the refills of a run are known, and
each is a constant as often as it happened, so that a constant's part says by how much the lost time
would change with it if nothing else did. A part that is a product counts for each of its factors.
What no constant of the hardware makes (waiting for locks, windows of workloads) is nobody's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.topology import Distance, Topology
from pmsim.simulation.answer.summary import Cost
from pmsim.simulation.tables.arrays import coded, filled
from pmsim.simulation.tables.columns import LATENCY_PARTS
from pmsim.simulation.tables.protocols import calls_of
from pmsim.simulation.tables.source import TableSource, whole

Values = Mapping[str, int]
"""What constants are, by their names."""
Parts = Counter[str]
"""Picoseconds by the names of constants."""

_PARTS: Final = tuple(column.name for column in LATENCY_PARTS)
_NUMBERS: Final = ("cpu", "slowest_cpu", "targets", "pages", "invalidations", *_PARTS)
_FUNCTIONS: Final[Mapping[str, str]] = {
    "full": "tlb.flush_all",
    "range": "tlb.invlpg",
    "sync_core": "tlb.sync_core",
}
"""What a called function costs, by what it does."""
_ENTERING: Final = ("{group}.entry", "host.inject")
"""What it costs until a handler looks into its queue."""
_LEAVING: Final = ("{group}.exit",)
"""What a handler costs after the functions."""
_SENDING: Final = ("{group}.send", "{group}.ecall", "host.exit")
"""What one write that sends interrupts costs."""
SILENT: Final = "tlbi"
"""The protocol that interrupts nobody, and takes time from others all the same."""
_HOLDERS: Final = ("coherent", "directory")
"""Those of hardware that knows the holders, which takes time from nobody."""


def hanging(
    files: TableSource, cost: Cost, values: Values, topology: Topology
) -> Mapping[str, int]:
    """Return how much of the lost time is some number times each constant, in picoseconds.

    Parameters
    ----------
    files
        The tables of the run.
    cost
        What was lost.
    values
        The constants of the machine by their names; what is not among them makes no part.
    topology
        Who is how far from whom.
    """
    near = _Near(topology, values)
    calls = _calls(files, near)
    handlers = int(whole(files, "cpus", ("handlers",))["handlers"].sum())
    taken, own = _taken(calls, cost, handlers, values), Counter[str]()
    for protocol, told in calls.items():
        if protocol == SILENT:
            _add_broadcasts(told, near, own)
        elif protocol in _HOLDERS:
            _add_waits(told, protocol, near, own)
        else:
            _add_calls(told, protocol, near, taken, own)
    # While an initiator waits, its own CPU may be in a handler: that is in both, and counts once.
    spent = cost.spin_ps + cost.irqs_off_ps
    waited = sum(told.parts.total() - told.parts["resume_ps"] for told in calls.values())
    once = min(1.0, spent / waited) if waited else 0.0
    found = Counter({"tlb.walk": cost.refill_ps})
    found.update({name: round(ps) for name, ps in taken.items()})
    found.update({name: round(ps * once) for name, ps in own.items()})
    return {name: ps for name, ps in found.most_common() if ps > 0 and name in values}


def of_distance(names: Iterable[str], table: str, distance: Distance) -> str:
    """Return the constant that holds for a distance: what stands in for a missing class."""
    known = set(names)
    there = [one for one in Distance if f"{table}.{one.name.lower()}" in known]
    if not there:
        return table
    nearer = [one for one in there if one <= distance]
    return f"{table}.{(nearer[-1] if nearer else there[0]).name.lower()}"


# --- what the tables tell -------------------------------------------------------------------------


class _Near:
    """Constants, and the distances that those by distance are chosen by."""

    def __init__(self, topology: Topology, values: Values) -> None:
        self.values = values
        self.codes = topology.codes()
        self.others = np.array([np.bincount(row, minlength=256) for row in self.codes])
        self.farthest = Distance(min(int(self.codes.max()), Distance.PACKAGE))

    def constant(self, table: str, code: int) -> str:
        """Return the constant of a table that holds for a distance code."""
        return of_distance(self.values, table, Distance(min(code, Distance.PACKAGE)))

    def visits(self, group: str, cpu: int) -> dict[str, int]:
        """Return what visiting every other CPU takes, by constant."""
        found: dict[str, int] = defaultdict(int)
        for code in np.flatnonzero(self.others[cpu]).tolist():
            if code:
                name, hops = self.constant(f"{group}.line", code), max(1, code - 3)
                found[name] += int(self.others[cpu][code]) * hops * self.values.get(name, 0)
        return found


@dataclass(slots=True)
class _Told:
    """Sums over the shootdowns of one protocol.

    Attributes
    ----------
    number, targets, operations
        How many there were; CPUs that had to answer; and operations of TLB broadcasts in them, by
        what these do.
    parts
        The parts of their latencies, by column.
    functions, at_targets
        Of IPI calls, by the constant: what the functions of the slowest targets took, and those of
        all targets together.
    by_distance
        The delivery of interrupts and the visits, by the constant of the distance.
    waking
        How long slowest targets took to wake, by how long it was.
    """

    number: int = 0
    targets: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)
    at_targets: Counter[str] = field(default_factory=Counter)
    by_distance: Counter[str] = field(default_factory=Counter)
    waking: Counter[int] = field(default_factory=Counter)


def _calls(files: TableSource, near: _Near) -> dict[str, _Told]:
    """Return the sums over all shootdowns, by protocol."""
    found: dict[str, _Told] = defaultdict(_Told)
    for batch in files.arrow_batches("crosscalls", (*_NUMBERS, "cause", "kind", "protocol")):
        columns = {name: filled(batch.column(place)) for place, name in enumerate(_NUMBERS)}
        (cause, causes), (kind, kinds), (protocol, protocols) = (
            coded(batch.column(place)) for place in (-3, -2, -1)
        )
        columns["user"] = np.array([one == "user" for one in causes], dtype=bool)[cause]
        columns["kind"] = kind
        for code in _different(protocol):
            told = found[calls_of(protocols[code])]
            rows = _chosen(columns, protocol == code)
            told.number += len(rows["cpu"])
            told.targets += int(rows["targets"].sum())
            told.parts.update({name: int(rows[name].sum()) for name in _PARTS})
            _add_kinds(told, rows, kinds, near)
            if protocols[code] not in (SILENT, *_HOLDERS):
                _add_distances(told, rows, calls_of(protocols[code]), near)
    return found


Rows = Mapping[str, npt.NDArray[Any]]


def _different(numbers: npt.NDArray[Any]) -> list[int]:
    """Return which small numbers there are, ascending."""
    found: list[int] = np.flatnonzero(np.bincount(numbers)).tolist()
    return found


def _chosen(rows: Rows, which: npt.NDArray[np.bool_]) -> Rows:
    """Return some of the rows; where all are, or none, nothing is copied."""
    count = int(np.count_nonzero(which))
    part = which if 0 < count < len(which) else slice(count)
    return {name: values[part] for name, values in rows.items()}


def _add_kinds(told: _Told, rows: Rows, kinds: list[str], near: _Near) -> None:
    """Add what depends on what the calls do, and for whom."""
    for code in _different(rows["kind"]):
        for user in (False, True):
            of_kind = _chosen(rows, (rows["kind"] == code) & (rows["user"] == user))
            told.operations[kinds[code]] += int(of_kind["invalidations"].sum())
            targets, pages = of_kind["targets"], np.maximum(of_kind["pages"], 0)
            costs = _function(kinds[code], user, near)
            everywhere = {name: int((targets * pages).sum() if by_page else targets.sum()) * cost
                          for name, (cost, by_page) in costs.items()}  # fmt: skip
            here = {name: int(pages.sum() if by_page else len(pages)) * cost
                    for name, (cost, by_page) in costs.items()}  # fmt: skip
            told.at_targets.update(everywhere)
            local = int(of_kind["function_ps"].sum()) + int(of_kind["local_ps"].sum())
            _share_out(told.functions, local, here)


def _function(kind: str, user: bool, near: _Near) -> dict[str, tuple[int, bool]]:
    """Return what a called function costs, and whether that is for each page.

    One that flushes user space reads lines of the initiator's, as far away as those may be.
    """
    values, name = near.values, _FUNCTIONS.get(kind, "")
    if user and kind == "full" and "tlb.flush_user" in values:
        name = "tlb.flush_user"
    costs = {name: (values.get(name, 0), kind == "range")}
    if user:
        costs["tlb.flush_fixed"] = (values.get("tlb.flush_fixed", 0), False)
    lines = values.get("ipi.request_lines", 0)
    if user and lines:
        line = near.constant("ipi.line", near.farthest)
        costs[line] = (lines * values.get(line, 0), False)
    return costs


def _add_distances(told: _Told, rows: Rows, group: str, near: _Near) -> None:
    """Add what depends on how far away the targets are."""
    known = _chosen(rows, rows["slowest_cpu"] >= 0)
    flights = np.bincount(near.codes[known["cpu"], known["slowest_cpu"]], known["delivery_ps"])
    for code in np.flatnonzero(flights).tolist():
        told.by_distance[near.constant(f"{group}.delivery", code)] += round(flights[code])
    visits = np.zeros(len(near.codes), dtype=np.int64)
    np.add.at(visits, rows["cpu"], rows["visit_ps"])
    for cpu in _different(rows["cpu"]):
        _share_out(told.by_distance, int(visits[cpu]), near.visits(group, cpu))
    waking = rows["idle_exit_ps"][rows["idle_exit_ps"] > 0]
    times, counts = np.unique(waking, return_counts=True)
    told.waking.update(dict(zip(times.tolist(), counts.tolist(), strict=True)))


# --- whose that is --------------------------------------------------------------------------------


def _taken(calls: Mapping[str, _Told], cost: Cost, handlers: int, values: Values) -> Parts:
    """Return what tasks lost to handlers; and the rest to waking up, or to standing still.

    Idle CPUs run handlers too, which cost no task anything: the targets' functions are taken to be
    spread over all handlers alike.
    """
    found: Parts = Counter()
    felt = handlers - cost.woken
    for group in calls.keys() - {SILENT, *_HOLDERS}:
        each = _costs((*_ENTERING, *_LEAVING), group, values)
        found.update({name: felt * cost for name, cost in each.items()})
        functions = calls[group].at_targets
        found.update({name: ps * felt // max(1, handlers) for name, ps in functions.items()})
    rest = max(0, cost.stolen_ps - cost.awake_ps - found.total())
    if SILENT in calls:
        told = calls[SILENT]
        recovery = {"tlbi.recovery": told.number * values.get("tlbi.recovery", 0)}
        _share_out(found, rest, {**_service(told, values), **recovery})
        found["tlbi.share"] += rest
    else:
        for group in calls:
            _share_out(found, rest, _states(calls[group].waking, values))
    return found


def _add_calls(calls: _Told, group: str, near: _Near, taken: Parts, own: Parts) -> None:
    """Add how long the initiators of calls by interrupts, or through the firmware, waited."""
    values, parts = near.values, calls.parts
    trap = min(parts["queue_ps"], calls.number * values.get(f"{group}.trap", 0))
    own.update({f"{group}.trap": trap, f"{group}.queue": parts["queue_ps"] - trap})
    _share_out(own, parts["send_ps"], _costs(_SENDING, group, values))
    _share_out(own, parts["entry_ps"], _costs(_ENTERING, group, values))
    own.update(calls.functions)
    own.update(calls.by_distance)
    _share_out(own, parts["idle_exit_ps"], _states(calls.waking, values))
    handler = [*_costs((*_ENTERING, *_LEAVING), group, values), *calls.at_targets]
    others = parts["busy_handler_ps"] + parts["ride_ps"]
    _share_out(own, others, {name: taken[name] for name in handler})


def _add_broadcasts(calls: _Told, near: _Near, own: Parts) -> None:
    """Add how long the initiators of TLB broadcasts waited."""
    parts = calls.parts
    _share_out(own, parts["function_ps"] + parts["queue_ps"], _service(calls, near.values))
    beside = {} if _barriers_are_served(calls, near.values) else _barriers(calls, near.values)
    own.update(beside)
    trips = parts["delivery_ps"] - sum(beside.values())
    own[near.constant("tlbi.round_trip", near.farthest)] += trips


def _add_waits(calls: _Told, group: str, near: _Near, own: Parts) -> None:
    """Add how long the initiators waited for hardware that knows the holders."""
    messages = calls.targets * near.values.get(f"{group}.message", 0)
    messages = min(messages, calls.parts["function_ps"])
    rest = calls.parts["function_ps"] - messages
    own[f"{group}.message"] += messages
    known = (
        f"{group}.lookup"
        if group == "directory"
        else near.constant(f"{group}.store", near.farthest)
    )
    own[known] += rest
    own[near.constant(f"{group}.round_trip", near.farthest)] += calls.parts["delivery_ps"]


def _service(calls: _Told, values: Values) -> Mapping[str, int]:
    """Return what the server did for TLB broadcasts."""
    found = Counter(_operations(calls, values))
    if _barriers_are_served(calls, values):
        found.update(_barriers(calls, values))
    found["tlbi.contention"] += max(0, calls.parts["function_ps"] - found.total())
    return found


def _barriers_are_served(calls: _Told, values: Values) -> bool:
    """Return whether barriers keep the server; on AMD they do not (`own_barrier`)."""
    both = {**_operations(calls, values), **_barriers(calls, values)}
    return calls.parts["function_ps"] >= sum(both.values())


def _operations(calls: _Told, values: Values) -> dict[str, int]:
    """Return what the operations of TLB broadcasts took."""
    full = calls.operations["full"]
    return {
        "tlbi.everything": full * values.get("tlbi.everything", 0),
        "tlbi.operation": (calls.operations.total() - full) * values.get("tlbi.operation", 0),
    }


def _barriers(calls: _Told, values: Values) -> dict[str, int]:
    """Return what the barriers behind them took."""
    return {
        "tlbi.barrier": calls.number * values.get("tlbi.barrier", 0),
        "tlbi.answer": calls.targets * values.get("tlbi.answer", 0),
    }


def _costs(names: Iterable[str], group: str, values: Values) -> dict[str, int]:
    """Return some costs of a group, or of whatever else adds to them."""
    known = [name.format(group=group) for name in names]
    return {name: values[name] for name in known if name in values}


def _states(waking: Mapping[int, int], values: Values) -> Mapping[str, int]:
    """Return how much waking there was, by the idle states that were left."""
    exits = {
        name: ps
        for name, ps in values.items()
        if name.startswith("idle.") and name.endswith("exit")
    }
    found: Counter[str] = Counter()
    for ps, times in waking.items():
        deep = [name for name, whole in exits.items() if whole >= ps]
        if deep:
            found[min(deep, key=exits.__getitem__)] += ps * times
    return found or exits


def _share_out(parts: Parts, ps: int, weights: Mapping[str, int]) -> None:
    """Add a time to parts, in proportion to some weights."""
    total = sum(weights.values())
    if total:
        parts.update({name: ps * weight // total for name, weight in weights.items()})
