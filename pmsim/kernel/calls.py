"""Calls: what a workload may ask of a kernel, marked where it is defined.

The handle that a workload gets (`pmsim.kernel.handle`) is written from the marks, with signatures
and docstrings, by ``make docs``. A new call is one definition in its part, by the kernel's name::

    @call
    def vfree(self, task: Task, area: VmArea | None) -> Steps:

A workload calls it without the task. What is annotated `Bytes` here it may give as text with a
unit, what is annotated `Address` as None, which is NULL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

Address = int
"""An address; None in a workload's call is 0, as what a failed allocation returned."""

_Method = TypeVar("_Method", bound=Callable[..., Any])

_MARK: Final = "__kernel_call__"


def call(method: _Method) -> _Method:
    """Mark a method of a part as a call of the kernel, of the method's name.

    A first argument ``task`` is the calling task, which the handle fills in. The method is a
    generator, or returns at once and says so.
    """
    setattr(method, _MARK, True)
    return method


def calls_of(part: type) -> dict[str, Callable[..., Any]]:
    """Return the calls that a class defines, by name, in the order of their definition."""
    return {name: one for name, one in vars(part).items() if getattr(one, _MARK, False)}
