"""A progress bar with simulated and wall time, on a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from pmsim import formatting

if TYPE_CHECKING:
    from pmsim.simulation.run.observer import Progress

PER_SECOND = 10
"""How often it is drawn at most; a run reports far more often."""


class Bar:
    """Shows how far a run is, on standard error, while its block runs.

    Parameters
    ----------
    name
        What runs.
    shown
        Whether there is anything to see: not where standard error is no terminal.
    """

    def __init__(self, name: str, *, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[simulated]}"),
            TextColumn("{task.fields[calls]:,} broadcasts,"),
            TimeElapsedColumn(),
            TextColumn("wall time"),
            console=Console(stderr=True, highlight=False),
            transient=True,
            disable=not shown,
            auto_refresh=False,
        )
        self._task = self._bars.add_task(name, total=None, simulated="", calls=0)
        self._name = name
        self._shown = shown
        self._next = 0.0

    def __enter__(self) -> Bar:
        if self._shown:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Before version 15 rich ends even a bar that is not shown with a line.
        if self._shown:
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
            description=f"{self._name}{of}",
            total=total,
            completed=done + progress.now_ps,
            simulated=f"{formatting.time(progress.now_ps)} simulated,",
            calls=progress.crosscalls,
        )
        self._bars.refresh()
