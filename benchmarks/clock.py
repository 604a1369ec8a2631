"""Measuring CPU time, on a machine that others use too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

ROUNDS = 3
"""Times that what is compared is measured, in turn: a load that comes and goes meets both."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that this process needs for something."""
    started = time.process_time()
    work()
    return time.process_time() - started


def in_turn(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[list[float]]:
    """Measure several things in turn; return a list for each."""
    rows = [[measure() for measure in measures] for _ in range(rounds)]
    return [list(column) for column in zip(*rows, strict=True)]


def median(values: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(values)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return e of the power law ``seconds = c * sizes ** e`` that fits best."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def met(is_met: bool) -> str:
    """Say whether a target is met, for a table."""
    return "[green]met[/]" if is_met else "[red]missed[/]"
