"""What every part of a kernel stands on: the machine, the generation, the log; and each other.

A part is a class (or a function that chooses one) of a single argument, the context. It asks the
context for the parts below it, by what makes them, and gets them with their types::

    class Ioremap:
        def __init__(self, context: KernelContext) -> None:
            self._vmalloc = context.part(Vmalloc)

Nothing is wired up by hand, and a part that nobody stands on is not made. Parts of a kernel are
floors (``pyproject.toml``), so that no two of them can ask for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pmsim.kernel.locks import GUARDED_LINES, GuestSpinlock, KernelSpinlock

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.safety.safety import Safety
    from pmsim.kernel.tlbflush import TlbFlush
    from pmsim.kernel.touched import Touched
    from pmsim.kernel.workqueue import Workqueue

Part = TypeVar("Part")

_BEING_MADE: Final = object()


@dataclass(frozen=True, slots=True, eq=False)
class KernelContext:
    """One kernel on one machine, as its parts see it.

    Attributes
    ----------
    machine
        What it runs on: where locks live and tasks wait.
    profile
        Which generation it is.
    costs
        CPU time of its work.
    operations
        Where operations are noted and time is charged.
    tlbflush
        How all CPUs are told of a change.
    workqueue
        Who does what is put off.
    safety
        Compares what parts rely on with what TLBs may hold.
    touched
        Who has touched which memory, where hardware or a protocol asks.
    """

    machine: Machine
    profile: KernelProfile
    costs: KernelCosts
    operations: OperationLog
    tlbflush: TlbFlush
    workqueue: Workqueue
    safety: Safety
    touched: Touched
    _parts: dict[Callable[[KernelContext], Any], Any] = field(default_factory=dict, repr=False)

    def part(self, make: Callable[[KernelContext], Part]) -> Part:
        """Return the kernel's one part of a sort, made when it is first asked for.

        Parameters
        ----------
        make
            The part's class, or a function that returns the one that this kernel has.

        Raises
        ------
        RuntimeError
            If the part is being made: it stands on one that stands on it.
        """
        part = self._parts.get(make)
        if part is None:
            self._parts[make] = _BEING_MADE
            part = self._parts[make] = make(self)
        elif part is _BEING_MADE:
            raise RuntimeError(f"{make!r} stands on a part that stands on it")
        made: Part = part
        return made

    def spinlock(self, name: str, guards: int = GUARDED_LINES) -> KernelSpinlock:
        """Return a new spinlock, as this kernel has it on this machine.

        Parameters
        ----------
        name
            What error messages call it.
        guards
            Cache lines behind it that every holder writes to.
        """
        turns = self.machine.turns
        if turns is None or self.profile.guest_spinlocks == "queued":
            return KernelSpinlock(self.machine, name, guards)
        return GuestSpinlock(self.machine, name, turns, guards)
