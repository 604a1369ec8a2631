from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import pmsim
from pmsim.experiments import progress as module
from pmsim.experiments.driver import SweepProgress, _Pace
from pmsim.experiments.progress import NotebookBar, bar_html, duration, shown_progress, words
from tests.experiments.small import entry, small


def test_words_say_how_far_it_is_and_how_long_it_takes() -> None:
    assert (
        words("x", SweepProgress(3, 1200, 0, 95.0)) == "x: 3 of 1,200 replications, about 95 s left"
    )
    assert words("x", SweepProgress(3, 12, 1, None)) == "x: 3 of 12 replications, 1 failed"
    assert words("x", SweepProgress(12, 12, 0, 0.0)) == "x: 12 of 12 replications"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 1 s"), (119, "about 119 s"), (120, "about 2 min"), (7200, "about 2 h"),
     (7100, "about 118 min"), (3 * 86400, "about 3 d")],
)  # fmt: skip
def test_a_time_is_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_time_left_goes_by_what_each_cell_takes() -> None:
    pace = _Pace()
    assert pace.seconds({0: 1}) is None
    pace.add(0, 1.0)
    pace.add(1, 9.0)
    pace.add(1, 11.0)
    # Cell 0 takes 1 s, cell 1 takes 10 s, cell 2 is not known yet: the mean of all, 7 s.
    assert pace.seconds({0: 2, 1: 3, 2: 1}) == 2 * 1 + 3 * 10 + 7
    assert [pace.of(cell) for cell in range(3)] == [1, 10, 7]


def test_progress_goes_from_nothing_to_all() -> None:
    seen: list[SweepProgress] = []
    pmsim.sweep(small(), entry(), replications=2, workers=1, progress=seen.append)
    assert (seen[0].done, seen[0].total, seen[0].left_s) == (0, 4, None)
    assert (seen[-1].done, seen[-1].total, seen[-1].left_s) == (4, 4, 0.0)
    assert [one.done for one in seen] == sorted(one.done for one in seen)


def test_where_nobody_looks_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in ("auto", None):
        with shown_progress("x", wanted) as report:
            report(SweepProgress(1, 2, 0, 1.0))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_is_drawn_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown_progress("x", "auto") as report:
        report(SweepProgress(1, 2, 0, 1.0))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "1 of 2 replications" in shown.err
    assert shown.err.endswith("\x1b[2K")  # the line is erased


def test_in_a_notebook_one_bar_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda bar: shown.append(f"again {bar.data}"))

    def display(bar: Any, display_id: bool) -> Any:
        assert display_id
        shown.append(bar.data)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    bar = NotebookBar("a<b")
    bar.update(SweepProgress(1, 2, 0, None))
    bar.update(SweepProgress(2, 2, 0, None))
    assert shown == [
        '<progress value="1" max="2"></progress> a&lt;b: 1 of 2 replications',
        'again <progress value="2" max="2"></progress> a&lt;b: 2 of 2 replications',
    ]
    assert bar_html("x", SweepProgress(0, 0, 0, None)).startswith('<progress value="0" max="1">')


def test_a_notebook_is_known_by_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        """What a Jupyter kernel runs."""

    assert not module._in_notebook()
    fake = SimpleNamespace(get_ipython=ZMQInteractiveShell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    assert module._in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not module._in_notebook()
