"""Static keys: branches that are patched in and out of the code.

Stands for ``static_key_enable`` and ``static_key_disable`` (kernel/jump_label.c, Linux 4.16 to
6.18), as far as other CPUs notice. Left out: how often a key is enabled already, the rate limit of
some keys (``static_key_slow_dec_deferred``), and that the sites in each module are a batch of their
own (``jump_label_mod_update``): whoever wants that makes a call for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.text_poke import TextPoke

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class StaticKeys:
    """The static keys of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    jump_label_mutex
        Held while the sites of a key are patched, all of its batches.
    """

    def __init__(self, context: KernelContext) -> None:
        self.jump_label_mutex = KernelMutex(context.machine, "jump_label_mutex")
        self._operations = context.operations
        self._text_poke = context.part(TextPoke)

    @call
    def static_key_toggle(self, task: Task, sites: int) -> Steps:
        """Turn a key on or off: patch each of its sites (``jump_label_update``).

        Parameters
        ----------
        task
            Who calls.
        sites
            Branches that depend on the key; for a key without any nothing is sent.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        if sites < 0:
            raise ProgramError(f"static_key_toggle of {sites} sites", task.now, task.place)
        operation = self._operations.begin(task, "static_key_toggle")
        yield from self._operations.lock(task, self.jump_label_mutex)
        yield from self._text_poke.patch(task, sites)
        self.jump_label_mutex.unlock(task)
        self._operations.end(operation)
