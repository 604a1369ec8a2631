"""Looking at a run while it runs: samples for the timeline, progress, and deadlocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

from simpy.events import Event

from pmsim.errors import DeadlockError
from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.hardware.machine import Machine
from pmsim.simulation.run.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    replication, replications
        Which run of how many, from 0.
    now_ps
        Simulated time.
    end_ps
        Where it is to end; `None` where that is not known.
    crosscalls
        Shootdowns recorded so far.
    """

    replication: int
    replications: int
    now_ps: int
    end_ps: int | None
    crosscalls: int


ProgressCallback = Callable[[Progress], None]


def observe(
    machine: Machine, recorder: Recorder, report: Callable[[], None]
) -> Generator[Event, None, None]:
    """Sample the machine at the ends of the timeline's intervals, as a SimPy process.

    It ends when nothing but itself would happen any more, so that it keeps no run alive.

    Parameters
    ----------
    machine
        What is looked at.
    recorder
        Whose timeline gets the samples.
    report
        Called after each of them.

    Raises
    ------
    DeadlockError
        If the tasks that the run waits for wait for each other, while others go on without end.
    """
    clock = machine.clock
    while True:
        yield clock.timeout(recorder.timeline.next_sample - clock.now)
        recorder.sample(machine)
        report()
        check_deadlock(machine)
        if clock.peek() == math.inf:
            return


def check_deadlock(machine: Machine) -> None:
    """Raise `DeadlockError` if every task that a run waits for waits for a lock of another.

    The machine finds deadlocks by itself where nothing more can happen. With tasks that never end,
    something always can; but a lock whose owner waits in turn is never released.
    """
    waiting, owners = [], set()
    for task in machine.foreground.values():
        lock = task.waiting_for
        if not isinstance(lock, Mutex | Spinlock):
            return  # as a rule the first: this is asked at every sample
        waiting.append(task)
        owners.add(lock.owner)
    if not waiting or not owners <= set(waiting):
        return
    waiting.sort(key=lambda task: (task.cpu, task.number))
    said = "; ".join(f"{t.place} waits for {t.waiting_for.name}" for t in waiting if t.waiting_for)
    raise DeadlockError(f"deadlock: {said}", machine.now)
