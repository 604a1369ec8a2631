"""Tracepoints: static branches around a static call of the probe.

Stands for ``tracepoint_probe_register`` and ``tracepoint_probe_unregister`` (kernel/tracepoint.c,
Linux 4.16 to 6.18), as far as other CPUs notice. Left out: a second probe of the same tracepoint,
which changes the static call alone, and the grace period before the last probe's memory goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.static_keys import StaticKeys
from pmsim.kernel.text.text_poke import TextPoke

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Tracepoints:
    """The tracepoints of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    tracepoints_mutex
        Held while a probe comes or goes.
    """

    def __init__(self, context: KernelContext) -> None:
        self.tracepoints_mutex = KernelMutex(context.machine, "tracepoints_mutex")
        self._operations = context.operations
        self._text_poke = context.part(TextPoke)
        self._static_keys = context.part(StaticKeys)

    @call
    def tracepoint_probe_register(self, task: Task, sites: int = 1) -> Steps:
        """Give a tracepoint its first probe: let it call that, then turn it on.

        Parameters
        ----------
        task
            Who calls.
        sites
            Places in the code where the tracepoint is.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        _check(task, "tracepoint_probe_register", sites)
        operation = self._operations.begin(task, "tracepoint_probe_register")
        yield from self._operations.lock(task, self.tracepoints_mutex)
        yield from self._update_call(task, sites)
        yield from self._static_keys.static_key_toggle(task, sites)
        self.tracepoints_mutex.unlock(task)
        self._operations.end(operation)

    @call
    def tracepoint_probe_unregister(self, task: Task, sites: int = 1) -> Steps:
        """Take a tracepoint's last probe away: turn it off, then let it call none.

        Parameters
        ----------
        task
            Who calls.
        sites
            Places in the code where the tracepoint is.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        _check(task, "tracepoint_probe_unregister", sites)
        operation = self._operations.begin(task, "tracepoint_probe_unregister")
        yield from self._operations.lock(task, self.tracepoints_mutex)
        yield from self._static_keys.static_key_toggle(task, sites)
        yield from self._update_call(task, sites)
        self.tracepoints_mutex.unlock(task)
        self._operations.end(operation)

    def _update_call(self, task: Task, sites: int) -> Steps:
        """Patch the trampoline of the static call, then its sites (``static_call_update``)."""
        return self._text_poke.patch_static_calls(task, 1 + sites)


def _check(task: Task, what: str, sites: int) -> None:
    if sites < 0:
        raise ProgramError(f"{what} of {sites} sites", task.now, task.place)
