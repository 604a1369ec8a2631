"""Patching code that other CPUs may be running.

Stands for ``text_poke_bp`` (Linux 4.16), ``text_poke_bp_batch`` (5.10 and later, both
arch/x86/kernel/alternative.c; 6.18 calls it ``smp_text_poke_batch_finish``) and their counterparts
on Arm and RISC-V, as far as other CPUs notice. Left out: the bytes themselves, and CPUs that run
into a breakpoint while a site is patched: an exception of some hundred nanoseconds each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.patching import patching
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps
    from pmsim.units import Pages


class TextPoke:
    """The patching of code in a kernel.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    text_mutex
        Held while a batch is patched, over all its IPI calls.
    """

    def __init__(self, context: KernelContext) -> None:
        self.text_mutex = KernelMutex(context.machine, "text_mutex")
        self._static_calls = context.profile.static_calls
        self._module_flushes = context.profile.ftrace_module_flushes
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations
        self._code_sync = context.part(CodeSync)
        self._patching = patching(context)

    def patch(self, task: Task, sites: int, *, one_byte: bool = False) -> Steps:
        """Patch sites, as many at a time as this kernel can.

        Parameters
        ----------
        task
            Who patches.
        sites
            How many; none costs nothing.
        one_byte
            Whether each is an instruction of a single byte, on x86.
        """
        if not sites:
            return
        for batch in self._batches(sites):
            operation = self._operations.begin(task, self._patching.kind)
            yield from self._operations.lock(task, self.text_mutex)
            yield from self._patching.steps(task, batch, one_byte)
            self.text_mutex.unlock(task)
            self._operations.end(operation)
        yield from self._patching.finish(task)

    def patch_locked(self, task: Task, sites: int) -> Steps:
        """Patch sites as `patch` does, for a task that holds ``text_mutex`` all the while."""
        for batch in self._batches(sites):
            operation = self._operations.begin(task, self._patching.kind)
            yield from self._patching.steps(task, batch, one_byte=False)
            self._operations.end(operation)

    def write(self, task: Task) -> Iterable[Any]:
        """Replace one instruction for a task that holds ``text_mutex``, and tell nobody."""
        return self._patching.write(task)

    def copy(self, task: Task, pages: Pages) -> Steps:
        """Overwrite code that nobody runs, page by page.

        Stands for ``text_poke_copy`` and ``text_poke_set`` (x86), which tell nobody, and for
        ``aarch64_insn_copy`` and ``patch_text_nosync``, which end with ``flush_icache_range``.

        Parameters
        ----------
        task
            Who writes.
        pages
            How many pages it touches.
        """
        operation = self._operations.begin(task, "text_poke_copy", pages)
        yield from self._operations.lock(task, self.text_mutex)
        for _ in range(pages):
            yield from self._patching.write(task)
        yield from self._code_sync.flush_icache_range(task)
        self.text_mutex.unlock(task)
        self._operations.end(operation)

    def patch_static_calls(self, task: Task, sites: int) -> Steps:
        """Patch each call site of a module by itself, as the module comes in.

        Stands for kernel/static_call_inline.c, Linux 6.1: ``__static_call_update`` goes through the
        sites and patches one after the other (``__static_call_transform``). Kernels without static
        calls have nothing to do.
        """
        for _ in range(sites if self._static_calls else 0):
            yield from self.patch(task, 1)

    def make_traceable(self, task: Task, functions: int) -> Steps:
        """Let ftrace replace the calls at the beginning of a new module's functions.

        Stands for ``ftrace_module_init``: each is written by itself, on Arm through a mapping that
        all CPUs are told to forget (``ftrace_init_nop``); elsewhere nobody is told, as the module
        can still be written.
        """
        for _ in range(functions if self._module_flushes else 0):
            yield from self._operations.compute(task, self._costs.text_poke_site)
            for _ in range(self._module_flushes):
                yield from self._tlbflush.flush_pages(task, 1, Cause.TEXT_POKE)

    def _batches(self, sites: int) -> Iterator[int]:
        """Return how many sites each batch has."""
        size = self._patching.batch
        return (min(size, sites - done) for done in range(0, sites, size))
