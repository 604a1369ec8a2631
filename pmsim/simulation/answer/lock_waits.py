"""Locks that tasks waited for: how long, who waited, and who held them."""

from __future__ import annotations

import numpy as np

from pmsim.simulation.answer.summary import LockWaits
from pmsim.simulation.tables.source import TableSource, whole

_NUMBERS = (
    "waits", "waited_ps", "longest_wait_ps", "waiter_cpu", "waiter_ps", "frozen_ps", "held_ps",
    "holder_cpu", "held_from_ps",
)  # fmt: skip

_WORDS = ("lock", "waiter", "holder", "doing")


def lock_waits(files: TableSource) -> tuple[LockWaits, ...]:
    """Return what was waited for, all replications together, the longest waits first."""
    rows = whole(files, "locks", (*_WORDS, *_NUMBERS))
    found = []
    for lock in dict.fromkeys(rows["lock"].tolist()):
        own = {name: values[rows["lock"] == lock] for name, values in rows.items()}
        waiter, holder = int(np.argmax(own["waiter_ps"])), int(np.argmax(own["held_ps"]))
        held = int(own["held_ps"][holder])
        found.append(
            LockWaits(
                lock=str(lock),
                waits=int(own["waits"].sum()),
                waited_ps=int(own["waited_ps"].sum()),
                longest_wait_ps=int(own["longest_wait_ps"].max()),
                waiter=str(own["waiter"][waiter]),
                waiter_cpu=int(own["waiter_cpu"][waiter]),
                frozen_ps=int(own["frozen_ps"].sum()),
                held_ps=held,
                holder=own["holder"][holder] if held else None,
                holder_cpu=int(own["holder_cpu"][holder]) if held else None,
                doing=own["doing"][holder] if held else None,
                held_from_ps=int(own["held_from_ps"][holder]) if held else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.waited_ps, one.lock)))
