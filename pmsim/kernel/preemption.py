"""Preemption off: what a task chooses is what it acts on, because nobody has its CPU in between.

Linux switches it off (``preempt_disable``, ``get_cpu``) before it looks whom a flush or a call
concerns, and on again when all are done: ``on_each_cpu_cond_mask`` (kernel/smp.c) around every call
of all CPUs, ``flush_tlb_mm_range`` and ``arch_tlbbatch_flush`` (arch/x86/mm/tlb.c) from before the
flush is counted, ``__flush_tlb_range`` (arch/riscv/mm/tlbflush.c; in 6.1
``__sbi_tlb_flush_range``), and ``broadcast_tlb_mm_a15_erratum`` (arch/arm/kernel/smp_tlb.c); the
same in 4.16 to 6.18, and in LATR's ``flush_tlb_mm_range``. A broadcast on Arm is made with
preemption on, which makes no difference: it reaches every CPU, and its initiator spins (but that
here nobody loses his turn before a call for an erratum behind it). So is the choice of
``membarrier`` (kernel/sched/membarrier.c), for which a switch is as good as a call.

Where a part chooses and calls in one step, a look at the run queue before the choice does the same
(`pmsim.kernel.operations`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from pmsim.hardware.task import Task

_Part = TypeVar("_Part")
_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")


def preemption_off(
    method: Callable[Concatenate[_Part, Task, _Parameters], Generator[Any, Any, _Returned]],
) -> Callable[Concatenate[_Part, Task, _Parameters], Generator[Any, Any, _Returned]]:
    """Have a method of a part be run with preemption off; it may not sleep.

    The run queue is looked at before anything of it is done.
    """

    @wraps(method)
    def keeps_the_cpu(
        self: _Part, task: Task, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> Generator[Any, Any, _Returned]:
        yield from task.preempt_disable()
        returned = yield from method(self, task, *args, **kwargs)
        task.preempt_enable()
        return returned

    return keeps_the_cpu
