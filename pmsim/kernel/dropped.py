"""What a shootdown is about, and who is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task


class Process(Protocol):
    """The address space of a process, as far as its shootdowns are concerned.

    Attributes
    ----------
    users
        Its threads.
    """

    users: set[Task]


class Dropped(NamedTuple):
    """What a shootdown is about: pages of the kernel from ``first`` up to ``end``, or a process."""

    first: int
    end: int
    process: Process | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it is about all of the kernel."""
        return self.end == _NO_END


_NO_END: Final = 1 << 62
EVERYTHING: Final = Dropped(0, _NO_END)
"""All of the kernel's pages."""
NOWHERE: Final = Dropped(0, 0)
"""Pages that the page table has no entries for."""


class Watcher(Protocol):
    """Who is told of every shootdown of which is said what it drops."""

    def begins(self, task: Task, what: Dropped) -> None:
        """Note that one begins."""

    def called(self, task: Task, targets: Sequence[CpuId] | None) -> None:
        """Note that it was a cross-call, to some CPUs or to all others, and is over."""

    def noted(self, task: Task, targets: Sequence[CpuId], freed: Pages) -> None:
        """Note that others have been left a note of some pages, and that it is over."""

    def invalidated(self, task: Task) -> None:
        """Note that it was the hardware's doing, and is over."""

    def flushed_own(self, task: Task) -> None:
        """Note that it was on the task's own CPU alone, and is over."""
