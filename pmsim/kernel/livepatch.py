"""Live patches: functions of the kernel that are replaced while they run.

Stands for ``klp_enable_patch`` and ``klp_disable_patch`` (kernel/livepatch/core.c, patch.c and
transition.c, Linux 4.16 to 6.18), as far as other CPUs notice. A function is replaced by a tracer
of its own, which is a trampoline and a patched site (`pmsim.kernel.ftrace`). Then each task has to
be seen outside of the patched functions, one by one; that takes long and tells nobody, except that
newer kernels let tasks that compute in the kernel help, for which code is patched before and
behind. At the end a worker runs on every CPU, isolated ones too (``klp_synchronize_transition``).

Left out: the module in which a patch comes; that idle CPUs are woken each second to switch; signals
to tasks that sleep.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.calls import call
from pmsim.kernel.ftrace import Ftrace, Tracer
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.static_keys import StaticKeys
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.units import Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


@dataclass(slots=True, eq=False)
class LivePatch:
    """A patch at work.

    Attributes
    ----------
    tracers
        One for each function.
    enabled
        It has not been taken away.
    """

    tracers: list[Tracer]
    enabled: bool = True


class Livepatch:
    """The live patches of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    klp_mutex
        Held while a patch begins or ends, not while tasks switch.
    """

    def __init__(self, context: KernelContext) -> None:
        self.klp_mutex = KernelMutex(context.machine, "klp_mutex")
        self._there = context.profile.livepatch
        self._resched = context.profile.klp_resched
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._ftrace = context.part(Ftrace)
        self._static_keys = context.part(StaticKeys)
        self._text_poke = context.part(TextPoke)

    @call
    def klp_enable_patch(
        self, task: Task, functions: int, transition: Picoseconds = 0, resched_sites: int = 0
    ) -> Generator[Any, Any, LivePatch | None]:
        """Replace functions, and wait until all tasks use the new ones.

        Parameters
        ----------
        task
            Who patches.
        functions
            How many.
        transition
            How long it takes until every task has switched, in picoseconds.
        resched_sites
            Calls of ``cond_resched`` in the kernel, where those are patched to help.

        Returns
        -------
        LivePatch or None
            None if there is no room for a trampoline.

        Raises
        ------
        ProgramError
            If this kernel cannot.
        """
        if not self._there:
            raise ProgramError("klp_enable_patch: this kernel cannot", task.now, task.place)
        operation = self._operations.begin(task, "klp_enable_patch")
        yield from self._operations.lock(task, self.klp_mutex)
        tracers: list[Tracer] = []
        for _ in range(functions):
            tracer = yield from self._ftrace.ftrace_enable(task, 1)
            if tracer is None:
                break
            tracers.append(tracer)
        patch = LivePatch(tracers) if len(tracers) == functions else None
        if patch is None:
            yield from self._unpatch(task, tracers)
        self.klp_mutex.unlock(task)
        if patch is not None:
            yield from self._transition(task, transition, resched_sites)
        self._operations.end(operation)
        return patch

    @call
    def klp_disable_patch(
        self,
        task: Task,
        patch: LivePatch | None,
        transition: Picoseconds = 0,
        resched_sites: int = 0,
    ) -> Steps:
        """Let all tasks use the old functions again, and take the new ones away.

        See `klp_enable_patch`.

        Raises
        ------
        UndefinedBehaviour
            If it was taken away before.
        """
        if patch is None:
            return
        if not patch.enabled:
            raise UndefinedBehaviour("klp_disable_patch for the second time", task.now, task.place)
        patch.enabled = False
        operation = self._operations.begin(task, "klp_disable_patch")
        yield from self._transition(task, transition, resched_sites)
        yield from self._operations.lock(task, self.klp_mutex)
        yield from self._unpatch(task, patch.tracers)
        self.klp_mutex.unlock(task)
        self._operations.end(operation)

    def _unpatch(self, task: Task, tracers: list[Tracer]) -> Steps:
        for tracer in tracers:
            yield from self._ftrace.ftrace_disable(task, tracer)

    def _transition(self, task: Task, length: Picoseconds, resched_sites: int) -> Steps:
        """Let all tasks switch (``klp_start_transition``, ``klp_complete_transition``)."""
        yield from self._switch_resched(task, resched_sites)
        yield from task.sleep(length)
        yield from self._switch_resched(task, resched_sites)
        yield from self._workqueue.schedule_on_each_cpu(task, _klp_sync)

    def _switch_resched(self, task: Task, sites: int) -> Steps:
        """Let ``cond_resched`` or the scheduler help, or no more (``klp_resched_enable``)."""
        if self._resched == "static_call":
            yield from self._text_poke.patch_static_calls(task, 1 + sites)
        elif self._resched == "static_key":
            yield from self._static_keys.static_key_toggle(task, 1)


def _klp_sync(worker: Task) -> Steps:
    """Run on a CPU, and do nothing (``klp_sync``)."""
    yield from worker.compute(0)
