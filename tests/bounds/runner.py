"""Running scenarios in a process that may crash, or never come back."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.bounds.keys import scenario, workload

ROOT: Final = Path(__file__).parents[2]
CPU_S: Final = 5.0
"""CPU time that a scenario of a millisecond may take."""
WALL_S: Final = 60.0
"""Wall time after which a scenario counts as hanging, however busy the computer is."""
GOOD: Final = ("ran", "refused", "failed")
"""What may become of a scenario; all else is a fault of pmsim's."""


def problem_of(outcome: str, cpu_s: float) -> str:
    """Return what is wrong with how a scenario went, nothing if it went well."""
    if outcome.partition(":")[0] not in GOOD:
        return outcome
    return f"took {cpu_s:.1f} s of CPU" if cpu_s > CPU_S else ""


class Runner:
    """A process that runs scenario after scenario; another takes the place of one that crashed."""

    def __init__(self) -> None:
        self._process = self._started()

    def problem(self, data: dict[str, Any]) -> str:
        """Run a scenario; return what is wrong with how it went, nothing if it went well."""
        return problem_of(*self.outcome(data))

    def outcome(self, data: dict[str, Any]) -> tuple[str, float]:
        """Run a scenario; return what became of it, and the CPU time in seconds."""
        said = self._answer(data, WALL_S)
        if said:
            outcome, cpu_s = json.loads(said)
            return str(outcome), float(cpu_s)
        crashed = self._process.poll()
        self.close()
        self._process = self._started()
        return ("hangs" if crashed is None else f"crashed with status {crashed}"), 0.0

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self, data: dict[str, Any], wait_s: float) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(data) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], wait_s)
        if not ready:
            return ""
        line = stdout.readline()
        if not line:
            self._process.wait()
        return line

    def _started(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bounds.worker"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        # What has to be compiled, is compiled now.
        invalidates, replays = {"kernel": "linux-6.1-arm64"}, {"workloads": [workload("trace")]}
        takes_turns = {"machine": {**scenario()["machine"], "host": {"overcommit": 2}}}
        for first in ({}, invalidates, replays, takes_turns):
            assert self._answer({**scenario(), **first}, 600)
        return self._process
