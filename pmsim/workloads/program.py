"""What the tasks of a trace do, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


class Op(Enum):
    """What a row does; the value is the word in the file."""

    COMPUTE = "compute"
    USER = "user"
    IRQS_OFF = "irqs_off"
    SLEEP = "sleep"
    FLUSH_KERNEL = "flush_kernel"
    INVALIDATE = "invalidate"
    MUTEX_LOCK = "mutex_lock"
    MUTEX_UNLOCK = "mutex_unlock"
    SPIN_LOCK = "spin_lock"
    SPIN_UNLOCK = "spin_unlock"


OPS = tuple(Op)
"""All of them; a row of `Programs` holds the place of its own here."""

TIMED = (Op.COMPUTE, Op.USER, Op.IRQS_OFF, Op.SLEEP)
"""Those that take the time that their argument says, at least."""

_HALF = 32

Row = tuple[Op, int]
"""One step of a task: what, and its argument (ps, pages, or the number of a lock)."""

Who = tuple[int, int]
"""A task: its CPU, and its number there."""


class Programs(Mapping[Who, list[Row]]):
    """The rows of each task, in order: one task behind the other, ascending by CPU and number.

    Parameters
    ----------
    cpus, tasks, ops, args
        Of each row, in the order of the file: its task, the place of its op in `OPS`, its argument.

    Attributes
    ----------
    who, firsts
        The tasks, and the number of the first row of each, and of the row behind the last.
    ops, args
        Of each row.
    """

    def __init__(self, cpus: Ints, tasks: Ints, ops: Ints, args: Ints) -> None:
        import numpy as np

        order = np.lexsort((tasks, cpus))  # stable: a task's own rows keep their order
        cpus, tasks = cpus[order], tasks[order]
        begins = np.ones(len(order), dtype=np.bool_)
        begins[1:] = (np.diff(cpus) != 0) | (np.diff(tasks) != 0)
        firsts = np.flatnonzero(begins)
        self.ops, self.args = ops[order], args[order]
        self.who: list[Who] = list(zip(cpus[firsts].tolist(), tasks[firsts].tolist(), strict=True))
        self.firsts: list[int] = [*firsts.tolist(), len(order)]
        self._places = {who: place for place, who in enumerate(self.who)}

    def __getitem__(self, who: Who) -> list[Row]:
        place = self._places[who]
        return [self.row(place, number) for number in range(self.length(place))]

    def __iter__(self) -> Iterator[Who]:
        return iter(self.who)

    def __len__(self) -> int:
        return len(self.who)

    def row(self, place: int, number: int) -> Row:
        """Return a row of a task, which is given by its place among `who`."""
        at = self.firsts[place] + number
        return OPS[self.ops.item(at)], self.args.item(at)

    def length(self, place: int) -> int:
        """Return how many rows a task has."""
        return self.firsts[place + 1] - self.firsts[place]

    def contains(self, op: Op) -> bool:
        """Return whether any row does this."""
        return bool((self.ops == OPS.index(op)).any())

    @cached_property
    def least_ps(self) -> list[int]:
        """How long each task takes at least: what it computes and spends by the clock."""
        import numpy as np

        timed = np.array([op in TIMED for op in OPS])
        times = np.where(timed[self.ops], self.args, 0)
        # In two halves, so that sums fit.
        high, low = (
            np.add.reduceat(half, self.firsts[:-1]) if len(half) else half
            for half in (times >> _HALF, times & ((1 << _HALF) - 1))
        )
        return [(a << _HALF) + b for a, b in zip(high.tolist(), low.tolist(), strict=True)]
