from __future__ import annotations

import io
import sys
import time

import pytest
from rich.console import Console

from pmsim.cli import progress
from pmsim.cli.progress import Bar, shown_bar, shown_drawing
from pmsim.simulation.run.observer import Progress
from pmsim.units import MS


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Let standard error be a terminal of 120 columns that is written to a text."""
    text = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=text, force_terminal=True, width=120)
    )
    monkeypatch.setattr(progress, "PER_SECOND", float("inf"))
    return text


def shown(terminal: io.StringIO, *reports: Progress) -> str:
    with Bar("policy") as bar:
        for report in reports:
            bar.update(report)
    return terminal.getvalue()


def test_the_bar_shows_simulated_time_broadcasts_and_wall_time(terminal: io.StringIO) -> None:
    said = shown(terminal, Progress(0, 1, 5 * MS, 10 * MS, 1234))
    assert "policy" in said
    assert "5 ms simulated, 1,234 shootdowns," in said
    assert "wall time" in said


def test_a_replication_says_which_it_is(terminal: io.StringIO) -> None:
    assert "policy 3 of 4" in shown(terminal, Progress(2, 4, MS, 10 * MS, 0))


def test_a_run_without_a_known_end_has_no_total(terminal: io.StringIO) -> None:
    with Bar("policy") as bar:
        bar.update(Progress(0, 1, 5 * MS, None, 0))
        (task,) = bar._bars.tasks
        assert task.total is None


def test_the_bar_is_full_when_all_replications_are_done(terminal: io.StringIO) -> None:
    with Bar("policy") as bar:
        bar.update(Progress(1, 2, 10 * MS, 10 * MS, 0))
        (task,) = bar._bars.tasks
        assert task.completed == task.total == 20 * MS


def test_reports_in_quick_succession_are_drawn_once(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PER_SECOND", 1e-6)
    said = shown(terminal, *(Progress(0, 1, i * MS, 10 * MS, 0) for i in range(1, 10)))
    assert "1 ms simulated" in said
    assert "2ms simulated" not in said


def test_no_bar_is_made_where_nobody_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with shown_bar("policy", wanted=True) as update:
        assert update is None  # the tests' standard error is a file
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with shown_bar("policy", wanted=False) as update:
        assert update is None


def test_figures_are_counted_as_they_are_drawn(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with shown_drawing(8, wanted=True) as progress:
        progress(2)
        time.sleep(0.3)  # it is shown eight times a second
    assert "drawing 3 of 8" in terminal.getvalue()
