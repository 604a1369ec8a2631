"""A cross-call by remote action requests (section 12 of the page): a slot, a payload, actions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pmsim.hardware.shootdown.rar import RAR

if TYPE_CHECKING:
    from tests.reference.crosscall import Function
    from tests.reference.locks import Spinlock
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task


def acts(machine: ReferenceMachine) -> bool:
    """Whether cross-calls are remote actions."""
    return machine.program.shootdown.protocol is RAR


def slot_of(task: Task) -> Spinlock:
    """Return the slot that a task's CPU has to take: a lock like a spinlock."""
    assert task.machine.costs.rar is not None
    number = task.cpu.number % task.machine.costs.rar.slots
    return task.machine.spinlock(-1 - number)


def action_for(machine: ReferenceMachine, function: Function) -> Function:
    """Return what a target does for a function that the initiator runs.

    An action on kernel pages is a full flush; any action takes the same.
    """
    assert machine.costs.rar is not None
    of_kernel = function.drops and not function.spares_kernel
    return replace(
        function,
        cost=machine.costs.rar.action,
        remote=0,
        is_full_flush=function.is_full_flush or of_kernel,
    )
