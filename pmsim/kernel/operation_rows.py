"""Rows of the table of operations: packed as they come, handed on by columns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pmsim.hardware.task import Task

OPERATION_COLUMNS: Final = (
    "id",
    "parent",
    "workload",
    "kind",
    "cpu",
    "task",
    "start_ps",
    "end_ps",
    "pages",
    "page",
    "crosscalls",
    "run_ps",
    "lock_wait_ps",
    "crosscall_ps",
    "delay_ps",
)
"""Columns of the table of operations.

``parent`` is the id of the operation that made this one, or -1; ``page`` the number of the first
page of the area that it allocates, frees or changes, or -1. ``crosscalls`` and the times count
an operation's own and its children's; a broadcast by the interconnect, operations and barrier
together, counts as a cross-call, though it interrupts nobody. ``run_ps`` is compute time asked for,
``lock_wait_ps`` from asking for locks to having them, ``crosscall_ps`` from starting cross-calls to
going on after them, and ``delay_ps`` all the rest: interrupts, refill debt, sleeping, waiting for
the CPU. The four add up to ``end_ps - start_ps``.
"""

_KEPT: Final = (
    *("id", "parent", "who", "kind", "start_ps", "end_ps", "pages", "page", "crosscalls"),
    *("run_ps", "lock_wait_ps", "crosscall_ps"),
)
"""What the log keeps of a row until a chunk is full; the rest of its columns follow from it."""

_ROW: Final = struct.Struct(f"{len(_KEPT)}q")
"""A row as the log keeps it: 64-bit numbers; task and kind by their places in lists."""

_Key = TypeVar("_Key")


class Words(Sequence[str]):
    """A column of words of which there are few.

    Parameters
    ----------
    codes
        Each word's place among the names.
    names
        The words.
    """

    def __init__(self, codes: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        self.codes = codes
        self.names = names

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str]:
        return (self.names[code] for code in self.codes.tolist())

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Words: ...
    def __getitem__(self, index: int | slice) -> str | Words:
        if isinstance(index, slice):
            return Words(self.codes[index], self.names)
        return self.names[int(self.codes[index])]


OperationColumns: TypeAlias = Mapping[str, "npt.NDArray[np.int64] | Words"]
"""Rows column by column; the keys are `OPERATION_COLUMNS`, ``workload`` and ``kind`` are words."""

Sink = Callable[[OperationColumns], None]
"""Receives finished rows."""


class OperationRows:
    """Rows that gather until a chunk is full.

    Parameters
    ----------
    sink
        Receives them, in order of end.
    chunk
        Rows of a chunk.

    Notes
    -----
    Rows are packed one behind the other and cut into columns once per chunk: a third of a
    microsecond a row. Lists of cells took one and a half, most of it to make arrays of them.
    """

    def __init__(self, sink: Sink, chunk: int) -> None:
        self._sink = sink
        self._rows = bytearray(chunk * _ROW.size)
        self._end = 0
        self._tasks: dict[Task, int] = {}
        self._kinds: dict[str, int] = {}

    def keep(
        self, task: Task, kind: str, number: int, parent: int, start: int, counted: tuple[int, ...]
    ) -> None:
        """Keep a row of an operation that ends now; ``counted`` are its pages and what follows."""
        who = self._tasks.get(task)
        code = self._kinds.get(kind)
        _ROW.pack_into(
            self._rows,
            self._end,
            number,
            parent,
            _place(self._tasks, task) if who is None else who,
            _place(self._kinds, kind) if code is None else code,
            start,
            task.now,
            *counted,
        )
        self._end += _ROW.size
        if self._end == len(self._rows):
            self.flush()

    def flush(self) -> None:
        """Hand the rows that have gathered to the sink."""
        if not self._end:
            return
        rows = np.frombuffer(self._rows, np.int64, self._end // 8)
        # A copy: the next rows are written where these stood.
        kept = dict(zip(_KEPT, rows.reshape(-1, len(_KEPT)).T.copy(), strict=True))
        self._end = 0
        who = kept["who"]
        known = kept["run_ps"] + kept["lock_wait_ps"] + kept["crosscall_ps"]
        names = {name: place for place, name in enumerate({task.name: 0 for task in self._tasks})}
        of_task = [(names[task.name], task.cpu, task.number) for task in self._tasks]
        name, cpu, number = np.array(of_task, dtype=np.int64)[who].T
        columns: dict[str, npt.NDArray[np.int64] | Words] = {
            **kept,
            "workload": Words(name, list(names)),
            "kind": Words(kept["kind"], list(self._kinds)),
            "cpu": cpu,
            "task": number,
            "delay_ps": kept["end_ps"] - kept["start_ps"] - known,
        }
        self._tasks.clear()
        self._sink({name: columns[name] for name in OPERATION_COLUMNS})


def _place(places: dict[_Key, int], key: _Key) -> int:
    """Return the place of a key among all, a new one if it has none."""
    return places.setdefault(key, len(places))
