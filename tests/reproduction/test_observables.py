"""What is read off runs, worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from pmsim.reproduction.observables import Observable, What
from pmsim.reproduction.reproduce import reproduce
from tests.reproduction.experiments import EXPERIMENT, written

BUSY = EXPERIMENT.replace(
    "flushes: 2}", "flushes: 2}\n    - {kind: user_work, cpus: others}"
).replace("unit: us", 'unit: "%"')


def read(folder: Path, what: str, experiment: str = BUSY) -> float:
    """Return what is read off a run of four CPUs, three of which compute."""
    path = written(folder, experiment.replace("what: latency", f"what: {what}"))
    return float(reproduce(path, workers=1).points["raw"].tolist()[-1])


def test_what_shootdowns_take_is_that_of_callers_and_of_those_who_are_called(
    tmp_path: Path,
) -> None:
    # Two calls of three, 9 µs each, are all that the first CPU does. Six handlers take 3 µs each;
    # with the last of them, which goes back 1 µs after it has answered, the run is over.
    assert read(tmp_path, "in_shootdowns") == pytest.approx(100 * (18 + 18) / (18 + 3 * 19))


def test_waiting_for_a_call_is_no_spinning_for_a_lock(tmp_path: Path) -> None:
    assert read(tmp_path, "spinning") == 0


class Accounts:
    """The accounts of two CPUs, one of which is idle half of the time."""

    columns: ClassVar = {
        "busy_ps": [10, 20],
        "spin_ps": [50, 10],
        "lock_spin_ps": [30, 10],
        "irqs_off_ps": [20, 0],
        "stolen_ps": [20, 20],
        "idle_ps": [0, 50],
    }

    def arrow_batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        assert table == "cpus"
        yield pa.RecordBatch.from_pydict({name: self.columns[name] for name in columns})


@pytest.mark.parametrize(("what", "part"), [("spinning", 30 + 10), ("in_shootdowns", 60 + 20)])
def test_shares_are_of_the_time_that_is_not_idle(what: What, part: int) -> None:
    assert Observable(what=what).read(Accounts(), 100) == pytest.approx(part / 150)
