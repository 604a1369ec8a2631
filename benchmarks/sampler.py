"""Where a command's CPU time goes: ``python -m benchmarks.sampler FILE ARGUMENT...``.

Runs ``pmsim ARGUMENT...`` and looks at its stack each millisecond of CPU time. What has passed
since the last look is put down to the first stage in `STAGES` whose files are on the stack; the
sums go to FILE. It loads nothing beforehand that the command would load itself.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

INTERVAL = 0.001
"""Seconds of CPU time between two looks."""

STAGES = (
    ("import", ("importlib._bootstrap",)),
    ("figures", ("pmsim/figures/", "/matplotlib/")),
    ("tables", ("pmsim/simulation/tables/", "pmsim/simulation/run/recorder", "/run/timeline")),
    ("answer", ("pmsim/simulation/answer/", "pmsim/report/", "pmsim/cli/answer")),
    ("simulate", ("pmsim/hardware/machine.py:run",)),
    ("build", ("pmsim/scenario/", "pmsim/simulation/run/build", "pmsim/prices/")),
)
"""Stages of a run, and what of a stack's ``file:function`` shows them."""


class Sampler:
    """Counts CPU time by stage, in seconds."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._last = time.process_time()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """Stop looking."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        # A call into compiled code is looked at when it returns: all of its time is its caller's.
        now = time.process_time()
        self.seconds[_stage(frame)] += now - self._last
        self._last = now


def _stage(frame: FrameType | None) -> str:
    places = []
    while frame is not None:
        places.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    for stage, signs in STAGES:
        if any(sign in place for place in places for sign in signs):
            return stage
    return "other"


def main(file: str, *arguments: str) -> None:
    """Run the command; write what was counted, and what came before, to a file."""
    sampler = Sampler()
    sampler.seconds["import"] = time.process_time()  # the interpreter itself
    sampler.start()
    try:
        from pmsim.cli import main as command

        sys.argv = ["pmsim", *arguments]
        command()
    finally:
        sampler.stop()
        Path(file).write_text(json.dumps(sampler.seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
