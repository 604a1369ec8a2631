from __future__ import annotations

from typing import Any

from pmsim.workloads.cpu import Windows

FIRST: Any = object()
SECOND: Any = object()


def test_windows_of_all_tasks_are_counted_together_and_apart() -> None:
    windows = Windows()
    windows.begin(FIRST, now=100, length=50)
    windows.begin(SECOND, now=120, length=50)
    assert windows.until(130) == 30 + 10
    assert windows.open_for(FIRST, 130) == 30
    assert windows.open_for(SECOND, 130) == 10


def test_a_window_counts_no_longer_than_it_was_asked_for() -> None:
    windows = Windows()
    windows.begin(FIRST, now=100, length=50)
    assert windows.until(1_000) == windows.open_for(FIRST, 1_000) == 50


def test_a_window_that_is_over_stays_counted() -> None:
    windows = Windows()
    windows.begin(FIRST, now=100, length=50)
    windows.end(FIRST)
    assert windows.until(200) == 50
    assert windows.open_for(FIRST, 200) == 0
    windows.begin(FIRST, now=200, length=10)
    assert windows.until(205) == 50 + 5
