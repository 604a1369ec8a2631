"""Whether a workload waits as it must: for pmsim's own calls, and by ``yield from``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import ProgramError
from pmsim.steps import forgotten_wait

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.steps import Steps
    from pmsim.workloads.cpu import Cpu

PACKAGE: Final = str(Path(__file__).parents[1])
"""Where the code is that may make a task wait."""

PLAIN: Final = frozenset(
    {
        *("rng", "report_failure", "work_until_now", "windows_until", "preempt_enable"),
        *(
            "is_pmalloc_object",
            "usercopy_allowed",
            "pfree",
            "load_refusal",
            "bpf_refusal",
            "process",
        ),
        "current_mm",
    }
)
"""Calls of a kernel and a CPU that take no time, and may stand alone."""

KERNEL_AND_CPU: Final = slice(1, 3)
"""Which parameters of a workload's ``run`` they are, behind ``self``."""


def forgotten_call(run: Callable[..., Any]) -> str | None:
    """Return where the ``run`` of a workload makes a call and does not wait for it, if it does."""
    return forgotten_wait(run, KERNEL_AND_CPU, PLAIN)


def checked_steps(
    run: Callable[[KernelHandle, Cpu], Steps], kernel: KernelHandle, cpu: Cpu
) -> Steps:
    """Return the steps of a task, checked where they are not those of pmsim's own workloads.

    Raises
    ------
    ProgramError
        If they are no generator, or, as they are taken, where the workload yields by itself.
    """
    steps = run(kernel, cpu)
    if not isinstance(steps, GeneratorType):
        raise cpu.task.error(
            f"is no generator: its workload returned {_in_words(steps)}. Every call of the kernel"
            " and the CPU wants a `yield from`"
        )
    return steps if _is_ours(steps) else _waits_checked(steps, cpu)


def as_program_error(error: Exception, cpu: Cpu) -> ProgramError:
    """Return an error that a workload raised as one that says who, where and when."""
    forgotten = "'generator'" in str(error)
    hint = "; is a `yield from` missing before a call?" if forgotten else ""
    message = f"the workload raised {type(error).__name__}: {error}{hint}"
    return ProgramError(message, cpu.now, cpu.task.place)


def _waits_checked(steps: GeneratorType[Any, Any, Any], cpu: Cpu) -> Steps:
    """Pass on what is waited for, as long as pmsim's own code is what waits."""
    for wanted in steps:
        waiting: Any = steps
        while isinstance(waiting, GeneratorType) and not _is_ours(waiting):
            waiting = waiting.gi_yieldfrom
        if waiting is None:
            raise cpu.task.error(
                f"yields {_in_words(wanted)} by itself: a workload waits by `yield from`, for"
                " calls of the kernel and the CPU"
            )
        yield wanted


def _is_ours(steps: GeneratorType[Any, Any, Any]) -> bool:
    return steps.gi_code.co_filename.startswith(PACKAGE)


def _in_words(value: Any) -> str:
    """Return what a value is, in words."""
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
