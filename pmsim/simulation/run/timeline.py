"""What happened in each interval of a run, in memory that does not grow with its length.

A run may have any length, and one ``until: done`` does not even know its own. So intervals start
short, and whenever there are too many, neighbours are merged: five into one, then two into one, and
so on, which keeps their length a round number (1 µs, 5 µs, 10 µs, 50 µs, ...). Where it is known
how long a run is at least, they start with the length that they would have then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import ACCOUNT_COLUMNS, CROSSCALL_COLUMNS
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.kernel import AddressLevels
from pmsim.simulation.tables.columns import CPU_TIMES, PARTS_OF_TIMES
from pmsim.units import US, S

Ints = npt.NDArray[np.int64]

FIRST_INTERVAL = 1 * US
"""Length of the first intervals where the scenario gives none."""
MOST_INTERVALS = 1_000
"""Intervals beyond which neighbours are merged, where the scenario gives no length."""
MOST_GIVEN_INTERVALS = 100_000
"""The same where it does: its length is kept as long as memory allows."""
MOST_CPU_INTERVALS = 400
"""The same for the timeline of every single CPU."""

_TIMES = tuple(column.name for column in CPU_TIMES)
_PARTS = tuple(column.name for column in PARTS_OF_TIMES)
_PLACES = [ACCOUNT_COLUMNS.index(name) for name in _TIMES]
_START = CROSSCALL_COLUMNS.index("start_ps")
_KIND = CROSSCALL_COLUMNS.index("kind")
_TARGETS = CROSSCALL_COLUMNS.index("targets")


class Series:
    """Running totals at the ends of intervals of one length, merged when there are too many.

    Parameters
    ----------
    interval
        Length of the first intervals, in picoseconds.
    most
        Intervals beyond which neighbours are merged; a multiple of 10.
    least
        How long the run is at least.
    """

    def __init__(self, interval: int, most: int, least: int) -> None:
        self.interval = interval
        self._most = most
        self._factors = itertools.cycle((5, 2))
        self._totals: list[Ints] = []
        while (least - 1) // self.interval >= most:
            self.interval *= next(self._factors)

    @property
    def next_end(self) -> int:
        """Where the interval under way ends."""
        return (len(self._totals) + 1) * self.interval

    def add(self, totals: Ints) -> int | None:
        """Note the totals at `next_end`; return by how much intervals were merged, if they were."""
        self._totals.append(totals)
        if len(self._totals) < self._most:
            return None
        factor = next(self._factors)
        self._totals = self._totals[factor - 1 :: factor]
        self.interval *= factor
        return factor

    def intervals(self, end: int, totals: Ints) -> tuple[Ints, Ints]:
        """Return the edges of all intervals, and what was added in each.

        Parameters
        ----------
        end, totals
            The end of the run, and the totals then.

        Returns
        -------
        edges
            Shape ``(n + 1,)``, the first 0 and the last ``end``.
        gains
            Shape ``(n, ...)``.
        """
        inside = [total for total, at in zip(self._totals, self._ends(), strict=False) if at < end]
        edges = [0, *itertools.islice(self._ends(), len(inside)), end]
        rows = np.stack([np.zeros_like(totals), *inside, totals])
        if end == 0:
            return np.zeros(1, dtype=np.int64), rows[:0]
        return np.array(edges, dtype=np.int64), np.diff(rows, axis=0)

    def _ends(self) -> Iterator[int]:
        return itertools.count(self.interval, self.interval)


class Timeline:
    """The tables ``timeline`` and ``cpu_timeline`` of one run in the making.

    Parameters
    ----------
    interval
        Length of the intervals; `None` chooses one.
    least
        How long the run is at least, in picoseconds, as far as that is known. No table depends on
        it, but fewer samples are taken.
    """

    def __init__(self, interval: int | None, least: int = 0) -> None:
        most = MOST_INTERVALS if interval is None else MOST_GIVEN_INTERVALS
        self._all = Series(interval or FIRST_INTERVAL, most, least)
        self._each = Series(interval or FIRST_INTERVAL, MOST_CPU_INTERVALS, least)
        self._calls = np.zeros((0, len(CallKind) + 1), dtype=np.int64)

    @property
    def next_sample(self) -> int:
        """When `sample` is to be called next, in picoseconds."""
        return self._all.next_end

    def sample(self, accounts: Ints, windows: int, levels: AddressLevels) -> None:
        """Note how things stand at `next_sample`.

        Parameters
        ----------
        accounts
            As `Fabric.accounts` tells them.
        windows
            Picoseconds in windows with interrupts off that workloads asked for.
        levels
            How the kernel's address ranges stand.
        """
        # Merging leaves both series with ends that are multiples of the one that samples.
        if self._each.next_end == self._all.next_end:
            self._each.add(_per_cpu(accounts))
        factor = self._all.add(_sums(accounts, windows, levels))
        if factor is not None:
            self._calls = _merged(self._calls, factor)

    def count(self, calls: Ints) -> None:
        """Count finished shootdowns, given as the fabric's rows, where they began."""
        place = calls[:, _START] // self._all.interval
        missing = int(place.max(initial=-1)) + 1 - len(self._calls)
        if missing > 0:
            more = np.zeros((missing, self._calls.shape[1]), dtype=np.int64)
            self._calls = np.concatenate([self._calls, more])
        np.add.at(self._calls, (place, calls[:, _KIND]), 1)
        np.add.at(self._calls[:, -1], place, calls[:, _TARGETS])

    def columns(
        self, end: int, accounts: Ints, windows: int, levels: AddressLevels
    ) -> dict[str, Ints]:
        """Return the columns of ``timeline`` for a run that ended at ``end``; see `sample`."""
        edges, gains = self._all.intervals(end, _sums(accounts, windows, levels))
        length = np.diff(edges)
        calls = np.zeros((len(length), self._calls.shape[1]), dtype=np.int64)
        if len(length):
            # A call that takes no time may begin at the very end of the last interval.
            place = np.minimum(np.arange(len(self._calls)), len(length) - 1)
            np.add.at(calls, place, self._calls)
        kinds = {kind.name.lower(): calls[:, kind] for kind in CallKind}
        broadcasts = calls[:, :-1].sum(axis=1)
        spent = {name: gains[:, i] for i, name in enumerate(ACCOUNT_COLUMNS)}
        return {
            "start_ps": edges[:-1],
            "end_ps": edges[1:],
            "broadcasts": broadcasts,
            "broadcasts_per_s": broadcasts * (S / length),
            **kinds,
            "targets": calls[:, -1],
            **{name: spent[name] for name in ("handlers", *_TIMES, "refill_ps", *_PARTS)},
            "windows_ps": gains[:, len(ACCOUNT_COLUMNS)],
            **{
                name: gains[:, len(ACCOUNT_COLUMNS) + 1 + place].cumsum()
                for place, name in enumerate(AddressLevels._fields)
            },
        }

    def cpu_columns(self, end: int, accounts: Ints) -> dict[str, Ints]:
        """Return the columns of ``cpu_timeline``: interval by interval, CPU by CPU."""
        edges, gains = self._each.intervals(end, _per_cpu(accounts))
        n = len(accounts) - 1
        return {
            "start_ps": np.repeat(edges[:-1], n),
            "end_ps": np.repeat(edges[1:], n),
            "cpu": np.tile(np.arange(n), len(edges) - 1),
            **{name: gains[:, i].reshape(-1) for i, name in enumerate(_TIMES)},
        }


def _sums(accounts: Ints, windows: int, levels: AddressLevels) -> Ints:
    """Return the accounts of all CPUs together, and behind them the windows and the levels."""
    return np.array([*accounts[-1], windows, *levels], dtype=np.int64)


def _per_cpu(accounts: Ints) -> Ints:
    """Return the times of every CPU, shape ``(len(CPU_TIMES), n_cpus)``."""
    return accounts[:-1, _PLACES].T


def _merged(rows: Ints, factor: int) -> Ints:
    """Add up each ``factor`` neighbouring rows."""
    short = -len(rows) % factor
    padded = np.concatenate([rows, np.zeros((short, rows.shape[1]), dtype=rows.dtype)])
    merged: Ints = padded.reshape(-1, factor, rows.shape[1]).sum(axis=1)
    return merged
