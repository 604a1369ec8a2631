"""How far a sweep is, shown on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pmsim.escaping import escape, visible
from pmsim.experiments.driver import Report, SweepProgress


@contextmanager
def shown_progress(name: str, wanted: Report | Literal["auto"] | None) -> Iterator[Report]:
    """Give a callback that shows progress while the block runs.

    Parameters
    ----------
    name
        What runs.
    wanted
        A callback of the caller's own; ``"auto"`` for one that fits where the output goes; `None`
        for one that shows nothing.
    """
    if wanted is None:
        yield lambda progress: None
    elif wanted != "auto":
        yield wanted
    elif _in_notebook():
        yield NotebookBar(name).update
    elif sys.stderr.isatty():
        with TerminalBar(name) as bar:
            yield bar.update
    else:
        yield lambda progress: None


def words(name: str, progress: SweepProgress) -> str:
    """Say how far a sweep is."""
    text = f"{name}: {progress.done:,} of {progress.total:,} replications"
    if progress.failed:
        text += f", {progress.failed:,} failed"
    if progress.done < progress.total and progress.left_s is not None:
        text += f", {duration(progress.left_s)} left"
    return text


def duration(seconds: float) -> str:
    """Write a time for people who wait: ``about 40 s``, ``about 12 min``."""
    for factor, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * factor:
            return f"about {seconds / factor:.0f} {unit}"
    return f"about {max(1, round(seconds))} s"


class TerminalBar:
    """A bar on standard error while its block runs.

    Parameters
    ----------
    name
        What runs.
    """

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._name = name
        self._bars = Progress(
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._bars.add_task(visible(name), total=None)

    def __enter__(self) -> TerminalBar:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def update(self, progress: SweepProgress) -> None:
        """Show how far the sweep is."""
        self._bars.update(
            self._task,
            description=visible(words(self._name, progress)),
            total=progress.total,
            completed=progress.done,
        )


class NotebookBar:
    """A bar in a notebook, drawn by the browser; it needs no widgets.

    Parameters
    ----------
    name
        What runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._display: Any = None

    def update(self, progress: SweepProgress) -> None:
        """Show how far the sweep is, in the place of what was shown before."""
        from IPython.display import HTML, display

        bar = HTML(bar_html(self._name, progress))
        if self._display is None:
            self._display = display(bar, display_id=True)
        else:
            self._display.update(bar)


def bar_html(name: str, progress: SweepProgress) -> str:
    """Return a bar and what it means, for a browser."""
    bar = f'<progress value="{progress.done}" max="{max(1, progress.total)}"></progress>'
    return f"{bar} {escape(words(name, progress))}"


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process; without loading IPython to ask."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
