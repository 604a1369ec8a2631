"""Function tracing: thousands of call sites patched at once.

Stands for ``register_ftrace_function`` and ``unregister_ftrace_function`` (kernel/trace/ftrace.c
and ``arch/*/kernel/ftrace.c``, Linux 4.16 to 6.18). Left out: what the common entry calls, except
on x86; that a batch ends early where addresses do not ascend, from one module to the next; the
remote fence for each site on RISC-V 6.1, while the CPUs are stopped; and the work item on every CPU
that is waited for before a trampoline is freed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.hardware.tlb import empty_call
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.modules.loader import Modules
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.text.code_pages import code_pages
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.permissions.strategy import PermissionCall
    from pmsim.kernel.text.code_pages import CodeArea
    from pmsim.steps import Steps

TRAMPOLINE_PAGES: Final = 1
"""Pages of a trampoline: a copy of ``ftrace_caller``, some hundred bytes."""


@dataclass(slots=True, eq=False)
class Tracer:
    """A tracer at work.

    Attributes
    ----------
    sites
        Call sites that call it.
    dynamic
        It is a new one (``FTRACE_OPS_FL_DYNAMIC``), which is never called but through the list.
    trampoline
        Its page, if it has one.
    active
        It has not been taken away.
    """

    sites: int
    dynamic: bool
    trampoline: CodeArea | None = None
    active: bool = True


class Callee(Enum):
    """What the common entry calls where it is not the function of a single tracer."""

    STUB = "ftrace_stub"
    LIST = "ftrace_ops_list_func"


class TextGuard:
    """Makes all code writable while it is patched, as the oldest kernels do.

    Stands for ``ftrace_arch_code_modify_prepare`` and ``_post_process`` (arch/x86/kernel/ftrace.c,
    Linux 4.16). The kernel's own text has no page table here: its change is a purge of what was
    freed lazily and a full flush.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations
        self._purge = context.part(Purge)
        self._set_memory = context.part(SetMemory)
        self._modules = context.part(Modules)

    def open(self, task: Task) -> Steps:
        """Make the code of the kernel and of all modules writable."""
        yield from self._kernel_text(task, "set_kernel_text_rw")
        yield from self._modules_text(task, "rw")

    def close(self, task: Task) -> Steps:
        """Make it read-only again."""
        yield from self._modules_text(task, "ro")
        yield from self._kernel_text(task, "set_kernel_text_ro")

    def _kernel_text(self, task: Task, kind: str) -> Steps:
        operation = self._operations.begin(task, kind)
        yield from self._operations.compute(task, self._costs.set_memory)
        yield from self._purge.unmap_aliases(task)
        yield from self._tlbflush.flush_tlb_all(task, Cause.ATTRIBUTES)
        self._operations.end(operation)

    def _modules_text(self, task: Task, call: PermissionCall) -> Steps:
        """Change the text of each module, and of its init part, which is gone but still asked for.

        Stands for ``set_all_modules_text_rw`` and ``_ro`` (kernel/module.c).
        """
        yield from self._operations.lock(task, self._modules.module_mutex)
        for module in self._modules.loaded:
            for name in ("core_text", "init_text"):
                text = module.segment(name)
                yield from self._set_memory.by_name(task, call, text.address, text.pages)
        self._modules.module_mutex.unlock(task)


class Ftrace:
    """The function tracing of a kernel.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    ftrace_lock
        Held while tracing is switched, over all shootdowns of that.
    """

    def __init__(self, context: KernelContext) -> None:
        profile = context.profile
        self.ftrace_lock = KernelMutex(context.machine, "ftrace_lock")
        self._guard = TextGuard(context) if profile.ftrace_opens_text else None
        self._trampolines = profile.ftrace_trampolines
        self._way = profile.ftrace
        self._entry_sites = profile.ftrace_entry_sites
        self._entry_again = profile.ftrace_entry_again
        self._tracers: list[Tracer] = []
        self._callee: Callee | Tracer = Callee.STUB
        self._costs = context.costs
        self._operations = context.operations
        self._pages = context.part(code_pages)
        self._text_poke = context.part(TextPoke)
        self._code_sync = context.part(CodeSync)

    @call
    def ftrace_enable(
        self, task: Task, sites: int, *, trampoline: bool = True
    ) -> Generator[Any, Any, Tracer | None]:
        """Let call sites call a tracer: ``register_ftrace_function``.

        Parameters
        ----------
        task
            Who calls.
        sites
            How many.
        trampoline
            Whether the tracer is a new one, which gets a trampoline where kernels have such.

        Returns
        -------
        Tracer or None
            None if there is no room for its trampoline.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        if sites < 0:
            raise ProgramError(f"ftrace_enable of {sites} sites", task.now, task.place)
        operation = self._operations.begin(task, "ftrace_enable")
        yield from self._operations.lock(task, self.ftrace_lock)
        wanted = trampoline and self._trampolines
        area = (yield from self._trampoline(task)) if wanted else None
        tracer = None
        if area is not None or not wanted:
            tracer = Tracer(sites, dynamic=trampoline, trampoline=area)
            self._tracers.append(tracer)
            yield from self._update_code(task, sites)
        self.ftrace_lock.unlock(task)
        self._operations.end(operation)
        return tracer

    @call
    def ftrace_disable(self, task: Task, tracer: Tracer | None) -> Steps:
        """Take a tracer away: ``unregister_ftrace_function``.

        Raises
        ------
        UndefinedBehaviour
            If it was taken away before.
        """
        if tracer is None:
            return
        if not tracer.active:
            raise UndefinedBehaviour("ftrace_disable for the second time", task.now, task.place)
        tracer.active = False
        operation = self._operations.begin(task, "ftrace_disable")
        yield from self._operations.lock(task, self.ftrace_lock)
        self._tracers.remove(tracer)
        yield from self._update_code(task, tracer.sites)
        if tracer.trampoline is not None:
            # Nobody may still be on it (synchronize_rcu_tasks and what came before it).
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._pages.free(task, tracer.trampoline)
        self.ftrace_lock.unlock(task)
        self._operations.end(operation)

    def _trampoline(self, task: Task) -> Generator[Any, Any, CodeArea | None]:
        """Make a trampoline; in the oldest kernels its call of the tracer is patched in."""
        patched = self._way == "one_batch"
        fill = self._modify_code if patched else self._code_sync.nothing
        return self._pages.allocate(task, TRAMPOLINE_PAGES, fill)

    def _modify_code(self, task: Task, sites: int = 1) -> Steps:
        """Patch behind breakpoints, all sites together, in code that is writable."""
        for _ in range(3):
            yield from self._operations.compute(task, sites * self._costs.text_poke_site)
            yield from self._code_sync.text_poke_sync(task)

    def _update_code(self, task: Task, sites: int) -> Steps:
        """Patch all sites, one way or the other: ``ftrace_run_update_code``."""
        if self._guard is not None:
            yield from self._guard.open(task)
        yield from self._operations.lock(task, self._text_poke.text_mutex)
        yield from self._modify_all_code(task, sites)
        self._text_poke.text_mutex.unlock(task)
        if self._guard is not None:
            yield from self._guard.close(task)

    def _modify_all_code(self, task: Task, sites: int) -> Steps:
        """Patch the sites, and the common entry around them: ``ftrace_modify_all_code``.

        While sites change the entry calls the list of all tracers. Where it is to call another
        function afterwards, that one's argument has to be seen by all CPUs before
        (``ftrace_sync_ipi``).
        """
        callee = self._next_callee()
        changes = self._entry_sites > 0 and callee is not self._callee
        if changes and (self._entry_again or self._callee is not Callee.LIST):
            yield from self._update_entry(task)
        yield from self._replace_code(task, sites)
        if changes and callee is not Callee.LIST:
            yield from self._operations.cross_call(task, empty_call(), Cause.TEXT_POKE)
            yield from self._update_entry(task)
        self._callee = callee

    def _next_callee(self) -> Callee | Tracer:
        """Return what the common entry is to call: ``update_ftrace_function``."""
        if not self._tracers:
            return Callee.STUB
        only = self._tracers[0]
        return Callee.LIST if len(self._tracers) > 1 or only.dynamic else only

    def _update_entry(self, task: Task) -> Steps:
        """Patch the calls of the common entry, one by one: ``ftrace_update_ftrace_func``."""
        for _ in range(self._entry_sites):
            yield from self._replace_code(task, 1)

    def _replace_code(self, task: Task, sites: int) -> Steps:
        """Stand for ``ftrace_replace_code`` (x86) and its counterparts."""
        if not sites:
            return
        if self._way == "one_batch":
            yield from self._modify_code(task, sites)
        elif self._way == "stop_machine":
            work = sites * self._costs.text_poke_site
            yield from self._code_sync.stop_machine(task, work)
        elif self._way == "insn":
            for _ in range(sites):
                yield from self._text_poke.write(task)
        else:
            yield from self._text_poke.patch_locked(task, sites)
