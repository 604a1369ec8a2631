"""What an architecture's way of changing permissions has to do."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pmsim.kernel.pagetables.entries import NX, RW, Change
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task

EFAULT: Final = 14
"""Bad address (include/uapi/asm-generic/errno-base.h); calls return it negated."""

EINVAL: Final = 22
"""Invalid argument (the same file)."""

ROX: Final = Change(0, RW | NX)
"""What ``set_memory_rox`` changes where it is one change."""

PermissionCall = Literal["ro", "rw", "x", "nx", "rox"]
"""A ``set_memory_*`` call."""

Status = Generator[Any, Any, int]
"""Takes simulated time; returns 0, or a negated error number."""


class Permissions(Protocol):
    """An architecture's way of changing permissions."""

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages from an aligned address on, and make it known."""
