"""Changing the permissions of kernel memory: ``set_memory_ro``, ``_rw``, ``_x``, ``_nx``, ``_rox``.

The calls are the same on every architecture; what they look at, change and flush is not, and is
chosen by the profile's ``set_memory``: `pmsim.kernel.permissions.x86`,
`pmsim.kernel.permissions.arm` and `pmsim.kernel.permissions.riscv`. What is no permission is in
`pmsim.kernel.permissions.attributes`. Left out everywhere: the protection of the kernel's own text;
arrays of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.calls import Address, call
from pmsim.kernel.pagetables.entries import NX, RW, Change
from pmsim.kernel.permissions.arm import Arm32Permissions, Arm64Permissions
from pmsim.kernel.permissions.riscv import RiscvPermissions
from pmsim.kernel.permissions.strategy import ROX, PermissionCall, Permissions, Status
from pmsim.kernel.permissions.x86 import X86Permissions
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.safety.violations import Revocation

_WAYS: Final[dict[str, Callable[[KernelContext], Permissions]]] = {
    "x86": X86Permissions,
    "arm64": Arm64Permissions,
    "arm32": Arm32Permissions,
    "riscv": RiscvPermissions,
}

_CHANGES: Final[dict[PermissionCall, Change]] = {
    "ro": Change(0, RW),
    "rw": Change(RW, 0),
    "x": Change(0, NX),
    "nx": Change(NX, 0),
}
"""What each call changes; ``rox`` is one of two things (`ROX`, or two of these)."""


class SetMemory:
    """The calls that change permissions.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    revoked
        What the call has revoked that has just returned.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self.revoked: list[Revocation] = []
        profile = context.profile
        self._permissions = _WAYS[profile.set_memory](context)
        self._nx = profile.nx
        self._rox_at_once = profile.rox_at_once
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety

    @call
    def set_memory_ro(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages read-only: ``set_memory_ro``.

        Parameters
        ----------
        task
            Who calls.
        address
            Of the first page; rounded down to a page, as the kernel does (and warns).
        pages
            How many; on x86, 0 still purges lazily freed areas.

        Returns
        -------
        int
            0. On x86 -14 (``EFAULT``) if some page is not mapped: those before it have changed
            then, and everything is flushed. On Arm -22 (``EINVAL``) for what it does not change.

        Raises
        ------
        UndefinedBehaviour
            For a negative number of pages.
        """
        return self.by_name(task, "ro", address, pages)

    @call
    def set_memory_rw(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages writable: ``set_memory_rw``; see `set_memory_ro`."""
        return self.by_name(task, "rw", address, pages)

    @call
    def set_memory_x(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages executable: ``set_memory_x``; see `set_memory_ro`."""
        return self.by_name(task, "x", address, pages)

    @call
    def set_memory_nx(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages not executable: ``set_memory_nx``; see `set_memory_ro`."""
        return self.by_name(task, "nx", address, pages)

    @call
    def set_memory_rox(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages read-only and executable: ``set_memory_rox``; see `set_memory_ro`.

        In one change, or by calling `set_memory_ro` and then `set_memory_x`
        (include/linux/set_memory.h, Linux 6.6; what callers of older kernels do themselves).
        """
        if self._rox_at_once:
            change = ROX if self._nx else ROX.without_nx
            return self._call(task, "set_memory_rox", address, pages, change)
        return self._one_after_the_other(task, address, pages)

    def by_name(self, task: Task, call: PermissionCall, address: int, pages: Pages) -> Status:
        """Make the call of a name: ``ro`` for `set_memory_ro`."""
        if call == "rox":
            return self.set_memory_rox(task, address, pages)
        return self._call(task, f"set_memory_{call}", address, pages, _CHANGES[call])

    def _one_after_the_other(self, task: Task, address: int, pages: Pages) -> Status:
        operation = self._operations.begin(task, "set_memory_rox", pages)
        operation.page = address // self._page_size
        status = yield from self.set_memory_ro(task, address, pages)
        if status == 0:
            status = yield from self.set_memory_x(task, address, pages)
        self._operations.end(operation)
        return status

    def _call(self, task: Task, kind: str, address: int, pages: Pages, change: Change) -> Status:
        if pages < 0:
            raise UndefinedBehaviour(f"{kind} of {pages} pages", task.now, task.place)
        operation = self._operations.begin(task, kind, pages)
        operation.page = address // self._page_size
        status = 0
        # Where pages cannot be not executable, x and nx return before anything else.
        if self._nx or not change.only_nx:
            yield from self._operations.compute(task, self._costs.set_memory)
            aligned = address // self._page_size * self._page_size
            status = yield from self._permissions.change(task, aligned, pages, change)
            self.revoked = self._safety.returned(task)
        self._operations.end(operation)
        return status
