"""How far a run is, with simulated and wall time, and how far its figures: on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from pmsim import formatting
from pmsim.escaping import visible

if TYPE_CHECKING:
    from pmsim.simulation.run.observer import Progress, ProgressCallback

PER_SECOND = 10
"""How often it is drawn at most; a run reports far more often."""


@contextmanager
def shown_bar(name: str, *, wanted: bool) -> Iterator[ProgressCallback | None]:
    """Give a callback that shows how far a run is; `None` where nobody would see it.

    Parameters
    ----------
    name
        What runs.
    wanted
        Whether anything is to be shown at all.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    with Bar(name) as bar:
        yield bar.update


@contextmanager
def shown_drawing(total: int, *, wanted: bool) -> Iterator[Callable[[int], None]]:
    """Give a callback that says which of the figures is being drawn, where somebody sees it.

    Parameters
    ----------
    total
        How many figures there are.
    wanted
        Whether anything is to be shown at all.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda _number: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("drawing") as status:
        yield lambda number: status.update(f"drawing {number + 1} of {total}")


class Bar:
    """Shows how far a run is, on standard error, while its block runs.

    Parameters
    ----------
    name
        What runs.
    """

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[simulated]}"),
            TextColumn("{task.fields[calls]:,} shootdowns,"),
            TimeElapsedColumn(),
            TextColumn("wall time"),
            console=Console(stderr=True, highlight=False),
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bars.add_task(visible(name), total=None, simulated="", calls=0)
        self._name = name
        self._next = 0.0

    def __enter__(self) -> Bar:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def update(self, progress: Progress) -> None:
        """Show how far the run is, unless it was shown a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1 / PER_SECOND
        total = None if progress.end_ps is None else progress.end_ps * progress.replications
        done = 0 if progress.end_ps is None else progress.end_ps * progress.replication
        several = progress.replications > 1
        of = f" {progress.replication + 1} of {progress.replications}" if several else ""
        self._bars.update(
            self._task,
            description=visible(f"{self._name}{of}"),
            total=total,
            completed=done + progress.now_ps,
            simulated=f"{formatting.time(progress.now_ps)} simulated,",
            calls=progress.crosscalls,
        )
        self._bars.refresh()
