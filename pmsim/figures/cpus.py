"""CPUs against time: who was interrupted or stalled, and who spun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pmsim import formatting
from pmsim.figures import look, scales
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.source import Tables

Paid = Literal["stolen", "spin"]
"""How a CPU pays: interrupted by handlers, or spinning for answers and locks."""

_UNEVEN: Final = 0.1
"""What shares are apart from their mean, as a part of it, where one sees more than one colour."""
_DEARER: Final = 2.0
"""How many times the mean a CPU pays that stands out."""
_MOST_COLUMNS: Final = 400
_MOST_ROWS: Final = 512


@dataclass(frozen=True, slots=True)
class _Words:
    """How one way of paying is spoken of."""

    past: str
    plural: str
    share: str
    never: str


_COLOUR: Final = {"stolen": look.BLUE, "spin": look.VERMILION}
_INTERRUPTED: Final = _Words(
    "was interrupted", "were interrupted", "interrupted", "No handler ran."
)
_HELD_UP: Final = _Words("stalled", "stalled", "stalled by TLB broadcasts", "None stalled.")
"""Where the hardware tells the others, CPUs stall without being interrupted."""
_SPUN: Final = _Words("spun", "spun", "spinning", "None spun for an answer or a lock.")


class CpuTables(Tables, Protocol):
    """A result that also knows each CPU's time per interval."""

    @property
    def cpu_timeline(self) -> pd.DataFrame: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of its time that each CPU paid, interval by interval.

    Attributes
    ----------
    paid
        How it paid.
    interrupted
        Whether any CPU was interrupted; if not, time was stolen by TLB broadcasts.
    edges_ps
        Where the intervals begin, and the last one's end.
    spent_ps
        Time paid, shape ``(cpus, intervals)``.
    """

    paid: Paid
    interrupted: bool
    edges_ps: npt.NDArray[np.int64]
    spent_ps: npt.NDArray[np.float64]

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """Share of each interval, shape ``(cpus, intervals)``."""
        return self.spent_ps / np.diff(self.edges_ps)

    @property
    def words(self) -> _Words:
        """How it is spoken of."""
        if self.paid == "spin":
            return _SPUN
        return _INTERRUPTED if self.interrupted else _HELD_UP

    @property
    def per_cpu(self) -> npt.NDArray[np.float64]:
        """Share of the whole time, per CPU."""
        length = float(self.edges_ps[-1] - self.edges_ps[0])
        return np.asarray(self.spent_ps.sum(axis=1) / length)


@drawn_from("a result")
def cpus_over_time(result: CpuTables, *, paid: Paid = "stolen", ax: Axes | None = None) -> Axes:
    """Draw the share of each CPU's time that went to interrupts, or to spinning, over time.

    Parameters
    ----------
    result
        A result of `pmsim.run`.
    paid
        ``"stolen"``: in handlers and waking up for them, or stalled by TLB broadcasts;
        ``"spin"``: spinning for csd locks, spinlocks and mutexes.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = shares(result, paid)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def shares(result: CpuTables, paid: Paid) -> Shares:
    """Take the shares of the first replication, at most 400 intervals of them."""
    table = result.cpu_timeline
    interrupted = bool(result.cpus["handlers"].sum()) or not table["stolen_ps"].sum()
    if table.empty:
        return Shares(paid, interrupted, np.zeros(1, dtype=np.int64), np.zeros((0, 0)))
    table = table[table["replication"] == table["replication"].min()]
    grid = table.pivot(index="cpu", columns="start_ps", values=f"{paid}_ps").fillna(0)
    starts = grid.columns.to_numpy(dtype=np.int64)
    first = np.arange(0, len(starts), -(-len(starts) // _MOST_COLUMNS))
    spent = np.add.reduceat(grid.to_numpy(dtype=float), first, axis=1)
    edges = np.append(starts[first], int(table["end_ps"].max()))
    return Shares(paid, interrupted, edges, spent)


def says(found: Shares) -> bool:
    """Return whether some CPU paid far more than the others, or the picture has several colours."""
    if not found.spent_ps.any():
        return False
    length = np.diff(found.edges_ps)
    mean = found.spent_ps.sum() / (length.sum() * len(found.spent_ps))
    apart = (np.abs(found.share - mean) * length).sum() / (length.sum() * len(found.spent_ps))
    return bool(apart > _UNEVEN * mean or found.per_cpu.max() > _DEARER * mean)


def size(found: Shares) -> tuple[float, float]:
    """Return the width and height of the figure, in inches: higher with more CPUs."""
    return 6.4, float(np.clip(2.6 + 0.03 * len(found.spent_ps), 3.2, 6.0))


def draw(found: Shares, ax: Axes) -> Axes:
    """Draw the shares on axes."""
    words = found.words
    if not found.spent_ps.size:
        return look.nothing(ax, f"Who {words.past}", "The run has no timeline of its CPUs.")
    if not found.spent_ps.any():
        return look.nothing(ax, message(found), words.never)
    share, height = _rows(100 * found.share)
    top = float(share.max()) or 1.0
    mesh = ax.pcolormesh(
        found.edges_ps, np.arange(len(share) + 1) * height - 0.5, share,
        cmap=look.shades(_COLOUR[found.paid]), vmin=0, vmax=top, rasterized=True,
    )  # fmt: skip
    ax.set_ylim(len(found.spent_ps) - 0.5, -0.5)
    ax.yaxis.set_major_locator(MaxNLocator(5 if current().narrow else 8, integer=True))
    ax.set_ylabel("CPU")
    scales.round_ticks(ax.xaxis, 4 if current().narrow else 6)
    scales.time_axis(ax.xaxis, float(found.edges_ps[-1]), "simulated time")
    label = "share of time" if current().narrow else f"share of time {words.share}"
    look.colour_bar(ax, mesh, label, lambda value: formatting.tick_share(value / 100))
    look.say(ax, message(found), _detail(found, height))
    return ax


def message(found: Shares) -> str:
    """Return the sentence on top: how many CPUs paid, and how much."""
    per_cpu = found.per_cpu
    paying = int((per_cpu > 0).sum())
    worst = int(per_cpu.argmax())
    words = found.words
    if not paying:
        return f"No CPU {words.past}"
    if paying == 1:
        return f"Only CPU {worst} {words.past}: {formatting.share(per_cpu[worst])} of its time"
    mean = formatting.share(float(per_cpu.mean()))
    who = f"{paying:,} of {len(per_cpu):,} CPUs {words.plural}"
    if paying == len(per_cpu):
        who = f"Every CPU {words.past}"
    return f"{who}: {mean} of all CPU time, {formatting.share(per_cpu[worst])} on CPU {worst}"


def _rows(share: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Return at most 512 rows, each the highest share of its CPUs, and the CPUs of a row.

    A row lower than a pixel could vanish, and with it the one CPU that spins.
    """
    height = -(-len(share) // _MOST_ROWS)
    return np.maximum.reduceat(share, np.arange(0, len(share), height), axis=0), height


def _detail(found: Shares, height: int) -> str:
    width = formatting.time(float(np.median(np.diff(found.edges_ps))))
    rows = f"; each row the highest of {height} CPUs" if height > 1 else ""
    return f"By intervals of {width}{rows}. White: none."
