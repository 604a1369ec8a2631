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

_NO_PARENT: Final = -1


@dataclass(frozen=True, slots=True)
class CallTree:
    """Operations added up by the chain of kinds that led to them.

    Attributes
    ----------
    rows
        One row per chain, a parent directly before its children, the costliest first:
        ``kind, depth, count, crosscalls``, the `PARTS`, and ``cost_ps``, the sum of all parts but
        the delay; everything summed over the operations.
    left_out
        Number of chains that are too cheap to have a row.
    """

    rows: pd.DataFrame
    left_out: int


def call_tree(result: Tables, most_rows: int = MOST_ROWS) -> CallTree:
    """Add up the operations by the chain of kinds that led to them."""
    keys, parents, kinds, names = _identities(result)
    chains, table = _chains(keys, parents, kinds)
    sums = _sums(result, chains, len(table))
    cost = sums[:, 2:-1].sum(axis=1)
    # A child is part of its parent, so the costliest chains always hold their own callers.
    kept = set(np.argsort(-cost, kind="stable")[:most_rows].tolist())
    rows = [
        (names[table[chain][1]], depth, *sums[chain].tolist(), cost[chain])
        for chain, depth in _preorder(table, cost)
        if chain in kept
    ]
    columns = ["kind", "depth", "count", "crosscalls", *PARTS, "cost_ps"]
    return CallTree(pd.DataFrame(rows, columns=columns), len(table) - len(kept))


_Ints = npt.NDArray[np.int64]


def _identities(result: Tables) -> tuple[_Ints, _Ints, _Ints, list[str]]:
    """Return each operation's key, its caller's key (or -1) and the code of its kind."""
    codes: dict[str, int] = {}
    pieces: list[tuple[_Ints, _Ints, _Ints]] = []
    for frame in batches(result, "operations", ["replication", "id", "parent", "kind"]):
        own = frame["replication"].to_numpy(dtype=np.int64) << 40
        parent = frame["parent"].fillna(_NO_PARENT).to_numpy(dtype=np.int64)
        local, found = pd.factorize(frame["kind"].astype(str))
        coded = np.array([codes.setdefault(name, len(codes)) for name in found], dtype=np.int64)
        kinds = coded[local] if len(coded) else np.empty(0, dtype=np.int64)
        above = np.where(parent < 0, _NO_PARENT, own + parent)
        pieces.append((own + frame["id"].to_numpy(dtype=np.int64), above, kinds))
    if not pieces:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty, empty, []
    keys, parents, kinds = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    return keys, parents, kinds, list(codes)


def _chains(keys: _Ints, parents: _Ints, kinds: _Ints) -> tuple[_Ints, list[tuple[int, int]]]:
    """Give each chain of kinds a number, outermost chains first.

    Returns
    -------
    chains
        The number of each operation's chain.
    table
        For each chain the number of its caller's chain (-1: none) and the code of its kind.
    """
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys, parents, sorter=order)
    above = order[np.minimum(place, max(len(keys) - 1, 0))] if len(keys) else order
    rooted = parents == _NO_PARENT
    chains = np.full(len(keys), -1, dtype=np.int64)
    table: list[tuple[int, int]] = []
    level = np.flatnonzero(rooted)
    waiting = np.flatnonzero(~rooted)
    n_kinds = int(kinds.max()) + 1 if len(kinds) else 1
    while len(level):
        caller = np.where(rooted[level], -1, chains[above[level]])
        pairs, inverse = np.unique((caller + 1) * n_kinds + kinds[level], return_inverse=True)
        chains[level] = len(table) + inverse
        table += [(int(pair) // n_kinds - 1, int(pair) % n_kinds) for pair in pairs]
        ready = chains[above[waiting]] >= 0
        level, waiting = waiting[ready], waiting[~ready]
    return chains, table


def _sums(result: Tables, chains: _Ints, n_chains: int) -> npt.NDArray[np.float64]:
    """Return per chain the number of operations, their broadcasts and each of the `PARTS`."""
    columns = ["crosscalls", *PARTS]
    sums = np.zeros((n_chains, 1 + len(columns)))
    done = 0
    for frame in batches(result, "operations", columns):
        chain = chains[done : done + len(frame)]
        done += len(frame)
        sums[:, 0] += np.bincount(chain, minlength=n_chains)
        for place, column in enumerate(columns, start=1):
            weights = frame[column].to_numpy(dtype=float)
            sums[:, place] += np.bincount(chain, weights, minlength=n_chains)
    return sums


def _preorder(
    table: list[tuple[int, int]], cost: npt.NDArray[np.float64], caller: int = -1, depth: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield each chain and its depth, callers before what they call, the costliest first."""
    called = [chain for chain, (above, _kind) in enumerate(table) if above == caller]
    for chain in sorted(called, key=lambda chain: -cost[chain]):
        yield chain, depth
        yield from _preorder(table, cost, chain, depth + 1)
