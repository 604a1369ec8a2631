"""Operations of the kernel, added up by the chain of calls that led to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from pmsim.figures.source import Tables, batches

PARTS: Final = ("run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps")
"""The parts of an operation's time, as columns of the table."""

MOST_ROWS: Final = 18
"""Rows of a tree, where not told otherwise."""


@dataclass(frozen=True, slots=True)
class CallTree:
    """Operations added up by the chain of kinds that led to them.

    Attributes
    ----------
    rows
        One row per chain, a parent directly before its children, the costliest first:
        ``kind, depth, count, crosscalls``, the `PARTS`, and ``cost_ps``, the sum of all parts but
        the delay; everything summed over the operations. And ``longest_ps``, the highest cost of
        one of them.
    left_out
        Number of chains that are too cheap to have a row.
    """

    rows: pd.DataFrame
    left_out: int


def call_tree(result: Tables, most_rows: int = MOST_ROWS) -> CallTree:
    """Add up the operations by the chain of kinds that led to them.

    An operation whose caller has no row, because the run was cut before that ended, counts as one
    that nobody called.
    """
    callers = _callers(result)
    chains, table = _chains(callers)
    sums, longest = _sums(result, callers, chains, len(table))
    cost = sums[:, 2:-1].sum(axis=1)
    # A child is part of its parent, so the costliest chains always hold their own callers.
    kept = set(np.argsort(-cost, kind="stable")[:most_rows].tolist())
    rows = [
        (callers.names[table[chain][1]], depth, *sums[chain].tolist(), cost[chain], longest[chain])
        for chain, depth in _preorder(table, cost)
        if chain in kept
    ]
    columns = ["kind", "depth", "count", "crosscalls", *PARTS, "cost_ps", "longest_ps"]
    return CallTree(pd.DataFrame(rows, columns=columns), len(table) - len(kept))


@dataclass(frozen=True, slots=True)
class _Callers:
    """Who called whom: one place per operation, in few bytes, as there may be ten million.

    Ids count from 0 in each replication, so a place is the replication's first one plus the id.

    Attributes
    ----------
    first
        The first place of each replication.
    kinds
        The code of each operation's kind; -1 where an id has no row.
    parents
        The place of each operation's caller, or -1.
    names
        The kinds by their codes.
    """

    first: dict[int, int]
    kinds: npt.NDArray[np.int16]
    parents: npt.NDArray[np.int32]
    names: list[str]


def _callers(result: Tables) -> _Callers:
    first, places = _first_places(result)
    kinds = np.full(places, -1, dtype=np.int16)
    parents = np.full(places, -1, dtype=np.int32)
    codes: dict[str, int] = {}
    for frame in batches(result, "operations", ["replication", "id", "parent", "kind"]):
        start = _starts(frame, first)
        place = start + frame["id"].to_numpy(dtype=np.int64)
        parent = frame["parent"].fillna(-1).to_numpy(dtype=np.int64)
        local, found = pd.factorize(frame["kind"].astype(str))
        coded = np.array([codes.setdefault(name, len(codes)) for name in found], dtype=np.int16)
        kinds[place] = coded[local]
        parents[place] = np.where(parent < 0, -1, start + parent)
    return _Callers(first, kinds, parents, list(codes))


def _first_places(result: Tables) -> tuple[dict[int, int], int]:
    """Return the first place of each replication, and the number of all places."""
    length: dict[int, int] = {}
    for frame in batches(result, "operations", ["replication", "id"]):
        for replication, last in frame.groupby("replication")["id"].max().items():
            length[replication] = max(length.get(replication, 0), int(last) + 1)  # type: ignore[index, call-overload]
    first: dict[int, int] = {}
    places = 0
    for replication in sorted(length):
        first[replication] = places
        places += length[replication]
    return first, places


def _starts(frame: pd.DataFrame, first: dict[int, int]) -> npt.NDArray[np.int64]:
    """Return the first place of the replication that each row belongs to."""
    return np.asarray(frame["replication"].map(first), dtype=np.int64)


def _chains(callers: _Callers) -> tuple[npt.NDArray[np.int32], list[tuple[int, int]]]:
    """Give each chain of kinds a number, outermost chains first.

    Returns
    -------
    chains
        The number of each operation's chain.
    table
        For each chain the number of its caller's chain (-1: none) and the code of its kind.
    """
    kinds, parents, n_kinds = callers.kinds, callers.parents, max(len(callers.names), 1)
    chains = np.full(len(kinds), -1, dtype=np.int32)
    table: list[tuple[int, int]] = []
    there = kinds >= 0
    called = parents >= 0
    called[called] = there[parents[called]]
    level = np.flatnonzero(there & ~called).astype(np.int32)
    waiting = np.flatnonzero(there & called).astype(np.int32)
    above = np.full(len(level), -1, dtype=np.int32)
    while len(level):
        pair = (above + 1) * n_kinds + kinds[level]
        known = np.flatnonzero(np.bincount(pair))
        number = np.zeros(known[-1] + 1, dtype=np.int32)
        number[known] = np.arange(len(table), len(table) + len(known))
        chains[level] = number[pair]
        table += [(int(one) // n_kinds - 1, int(one) % n_kinds) for one in known]
        above = chains[parents[waiting]]
        ready = above >= 0
        level, waiting, above = waiting[ready], waiting[~ready], above[ready]
    return chains, table


def _sums(
    result: Tables, callers: _Callers, chains: npt.NDArray[np.int32], n_chains: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per chain the number of operations, their shootdowns and each of the `PARTS`.

    And the highest cost of one operation.
    """
    columns = ["crosscalls", *PARTS]
    sums = np.zeros((n_chains, 1 + len(columns)))
    longest = np.zeros(n_chains)
    for frame in batches(result, "operations", ["replication", "id", *columns]):
        chain = chains[_starts(frame, callers.first) + frame["id"].to_numpy(dtype=np.int64)]
        sums[:, 0] += np.bincount(chain, minlength=n_chains)
        for place, column in enumerate(columns, start=1):
            weights = frame[column].to_numpy(dtype=float)
            sums[:, place] += np.bincount(chain, weights, minlength=n_chains)
        np.maximum.at(longest, chain, frame[list(PARTS[:-1])].sum(axis=1).to_numpy(dtype=float))
    return sums, longest


def _preorder(
    table: list[tuple[int, int]], cost: npt.NDArray[np.float64], caller: int = -1, depth: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield each chain and its depth, callers before what they call, the costliest first."""
    called = [chain for chain, (above, _kind) in enumerate(table) if above == caller]
    for chain in sorted(called, key=lambda chain: -cost[chain]):
        yield chain, depth
        yield from _preorder(table, cost, chain, depth + 1)
