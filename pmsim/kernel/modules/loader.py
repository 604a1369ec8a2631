"""Loading and unloading kernel modules, with every change of permission on the way.

Stands for kernel/module.c (Linux 4.16, 5.15) and kernel/module/main.c (6.1 and later) with
CONFIG_STRICT_MODULE_RWX, as far as memory and cross-calls go: ``load_module``,
``complete_formation``, ``do_init_module``, ``free_module``, and the static calls of a module as it
comes in. How generations differ is in `pmsim.kernel.modules.plans` (order of calls),
`pmsim.kernel.modules.memory` (where areas come from), `pmsim.kernel.modules.init_free` and
`pmsim.kernel.modules.names` (duplicates). Left out: symbols and dependencies, compressed files,
what a module's own init and exit functions allocate.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.modules.init_free import init_free
from pmsim.kernel.modules.memory import module_memory
from pmsim.kernel.modules.module import EINVAL, ENOMEM, Module, Refusal
from pmsim.kernel.modules.names import EEXIST, ModuleNames, SharedLoads
from pmsim.kernel.modules.plans import LOADER_PLANS, Changes
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.text_poke import TextPoke

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.modules.memory import ModuleArea
    from pmsim.kernel.modules.segments import ModuleSegments
    from pmsim.steps import Steps

Outcome: TypeAlias = Module | Refusal
"""What becomes of a load."""


class Modules:
    """The module loader of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    plan
        How this generation loads modules.
    loaded
        The modules that are live, oldest first.
    module_mutex
        Held over each permission pass with all its shootdowns, and over the grace period of an
        unload.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        machine, profile, operations = context.machine, context.profile, context.operations
        self.plan = plan = LOADER_PLANS[profile.module_loader]
        self.loaded: list[Module] = []
        self.module_mutex = KernelMutex(machine, "module_mutex")
        self._names = ModuleNames(machine, self.module_mutex, operations, retries=plan.retries)
        self._sharing: SharedLoads[Outcome] | None = (
            SharedLoads(machine) if profile.idempotent_loads else None
        )
        self._memory = module_memory(context, plan)
        self._init_free = init_free(context, plan, self._memory)
        self._costs = context.costs
        self._operations = operations
        self._vmalloc = context.part(Vmalloc)
        self._set_memory = context.part(SetMemory)
        self._text_poke = context.part(TextPoke)
        self._flush_icache_range = context.part(CodeSync).flush_icache_range
        # arch/riscv/errata: each is announced by itself; arm64 does so for all at once.
        self._syncs_alternatives = profile.arch == "riscv64"
        self._refusals: dict[Task, Refusal] = {}

    @call
    def load_module(
        self, task: Task, segments: ModuleSegments, name: str | None = None
    ) -> Generator[Any, Any, Module | None]:
        """Load a module: ``finit_module``, from reading the file to a live module.

        Its init areas are freed some time later. The operation that is noted is a ``load_module``,
        or a ``load_duplicate`` if somebody else has loaded the module or is loading it.

        Parameters
        ----------
        task
            Who calls.
        segments
            What the module is made of.
        name
            The module's name; of two loads of the same name one is a duplicate. Without a name a
            module is no duplicate of any.

        Returns
        -------
        Module or None
            None if it was not loaded, for which `load_refusal` gives the reason. A duplicate that
            waits for the load that came first, as some kernels do, gets that one's module.
        """
        operation = self._operations.begin(task, "load_module", segments.core + segments.init)
        duplicate = False
        if name is None or self._sharing is None:
            outcome = yield from self._load(task, segments, name)
        else:
            load = self._load(task, segments, name)
            outcome, duplicate = yield from self._sharing.run(task, name, load)
        if isinstance(outcome, Refusal):
            duplicate |= outcome.duplicate
            self._refusals[task] = outcome
        if duplicate:
            operation.kind = "load_duplicate"
        self._operations.end(operation)
        return None if isinstance(outcome, Refusal) else outcome

    @call
    def load_refusal(self, task: Task) -> Refusal | None:
        """Return at once why the last load of a task that failed did so; None if none has."""
        return self._refusals.get(task)

    @call
    def unload_module(self, task: Task, module: Module | None) -> Generator[Any, Any, bool]:
        """Unload a module: ``delete_module``.

        Returns
        -------
        bool
            False if it is not loaded (any more), as for a name that the kernel does not know.

        Raises
        ------
        UndefinedBehaviour
            For None, which is what a failed load returned: there is no module to speak of.
        """
        if module is None:
            raise UndefinedBehaviour("unload_module of no module", task.now, task.place)
        if not module.live:
            return False
        module.live = False
        operation = self._operations.begin(task, "unload_module", module.segments.core)
        yield from self._operations.compute(task, self._costs.module_unload)
        yield from self._free_module(task, module)
        self._operations.end(operation)
        return True

    def _load(
        self, task: Task, segments: ModuleSegments, name: str | None
    ) -> Generator[Any, Any, Outcome]:
        """Read the file, load from it, let it go, and run the init function (``load_module``)."""
        file = yield from self._vmalloc.vmalloc(task, segments.file_pages * self._page_size)
        if file is None:
            return _no_room(segments)
        yield from self._operations.compute(task, self._costs.module_load)
        outcome = yield from self._form(task, segments, name)
        # free_copy: the buffer of the file is lazily freed before the init function runs.
        yield from self._vmalloc.vfree(task, file)
        if isinstance(outcome, Module) and not (yield from self._do_init_module(task, outcome)):
            return Refusal(-EINVAL, "the init function failed")
        return outcome

    def _form(
        self, task: Task, segments: ModuleSegments, name: str | None
    ) -> Generator[Any, Any, Outcome]:
        """Make a module of a file, up to where its init function can run."""
        if self.plan.name_checked == "read" and (
            status := (yield from self._names.check(task, name))
        ):
            return _taken(status, name)
        module = yield from self._allocate(task, segments, name)
        if module is None:
            return _no_room(segments)
        if status := (yield from self._names.claim(task, name)):
            yield from self._discard(task, module, self.plan.freed)
            return _taken(status, name)
        yield from self._operations.compute(task, self._costs.module_link)
        yield from self._announce(task, module)
        for area in module.areas.values():
            self._memory.protecting(area)
        yield from self._permission_pass(task, module, self.plan.formation)
        # prepare_coming_module: the notifiers of jump labels and of static calls, in this order.
        for sites in segments.enabled_keys:
            yield from self._text_poke.patch(task, sites)
        yield from self._text_poke.patch_static_calls(task, segments.static_call_sites)
        if segments.formation_fails:
            yield from self._undo_formation(task, module)
            return Refusal(-EINVAL, "it failed after its formation")
        return module

    def _announce(self, task: Task, module: Module) -> Steps:
        """Let all CPUs see new code: alternatives, areas (``flush_module_icache``), ftrace."""
        for _ in range(module.segments.alternatives if self._syncs_alternatives else 0):
            yield from self._flush_icache_range(task)
        for _ in module.areas:
            yield from self._flush_icache_range(task)
        yield from self._text_poke.make_traceable(task, module.segments.traced_functions)

    def _allocate(
        self, task: Task, segments: ModuleSegments, name: str | None
    ) -> Generator[Any, Any, Module | None]:
        """Give a module its areas; None, and all given back, if there is no room for one of them.

        Stands for ``layout_and_allocate`` and ``move_module``.
        """
        module = Module(segments, name)
        for area_name, plan in self.plan.areas.items():
            pages = segments.pages_of(plan.segments)
            if not pages:
                continue
            area = yield from self._memory.allocate(task, plan, pages)
            if area is None:
                yield from self._discard(task, module, tuple(reversed(module.areas)))
                return None
            module.add(area_name, plan, area, self._page_size)
        return module

    def _permission_pass(self, task: Task, module: Module, changes: Changes) -> Steps:
        yield from self._operations.lock(task, self.module_mutex)
        yield from self._change(task, module, changes)
        self.module_mutex.unlock(task)

    def _change(self, task: Task, module: Module, changes: Changes) -> Steps:
        for change in changes:
            segment = module.segment(change.segment)
            if segment.pages or self.plan.absent == "called":
                where = segment.address, segment.pages
                yield from self._set_memory.by_name(task, change.call, *where)

    def _do_init_module(self, task: Task, module: Module) -> Generator[Any, Any, bool]:
        """Run the init function; return whether it succeeded."""
        operation = self._operations.begin(task, "do_init_module")
        yield from self._operations.compute(task, self._costs.module_init)
        if module.segments.init_fails:
            # Whoever looks through the list of modules without a lock may still see it.
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._free_module(task, module)
        else:
            yield from self._settle(task, module)
        self._names.loaded(module.name, live=module.live)
        self._operations.end(operation)
        return module.live

    def _settle(self, task: Task, module: Module) -> Steps:
        """Protect a module whose init function has run, and give its init areas away."""
        yield from self._operations.lock(task, self.module_mutex)
        yield from self._change(task, module, self.plan.after_init)
        given: list[ModuleArea] = []
        for name, plan in self.plan.areas.items():
            if plan.init:
                yield from self._change(task, module, plan.unprotect)
                area = module.remove(name, plan)
                given += [area] if area is not None else []
        module.live = True
        self.loaded.append(module)
        # Also for a module without any: the kernel waits, and then frees nothing.
        self._init_free.give(task, given)
        self.module_mutex.unlock(task)

    def _undo_formation(self, task: Task, module: Module) -> Steps:
        """Take out a module that was formed and has not run (from ``bug_cleanup`` on)."""
        yield from self._change(task, module, self.plan.undo_formation)
        yield from task.sleep(self._costs.rcu_grace_period)
        yield from self._operations.lock(task, self.module_mutex)
        self._names.loaded(module.name, live=False)
        yield from task.sleep(self._costs.rcu_grace_period)
        self.module_mutex.unlock(task)
        yield from self._discard(task, module, self.plan.freed)

    def _discard(self, task: Task, module: Module, order: tuple[str, ...]) -> Steps:
        """Give back the areas of a module that never ran (``module_deallocate``)."""
        for name, area in module.areas.items():
            yield from self._memory.before_discard(task, self.plan.areas[name], area)
        for name in order:
            if name in module.areas:
                yield from self._memory.free(task, module.areas[name])

    def _free_module(self, task: Task, module: Module) -> Steps:
        """Unlink a module and free what it still has: init (if it failed) and core."""
        operation = self._operations.begin(task, "free_module", module.segments.core)
        yield from self._operations.lock(task, self.module_mutex)
        if module in self.loaded:
            self.loaded.remove(module)
            self._names.unloaded(module.name)
        yield from task.sleep(self._costs.rcu_grace_period)
        self.module_mutex.unlock(task)
        for name in self.plan.freed:
            plan = self.plan.areas[name]
            yield from self._change(task, module, plan.unprotect)
            area = module.remove(name, plan)
            if area is not None:
                yield from self._memory.free(task, area)
        self._operations.end(operation)


def _no_room(segments: ModuleSegments) -> Refusal:
    pages = segments.file_pages + segments.core + segments.init
    return Refusal(-ENOMEM, f"no room for {pages} pages")


def _taken(status: int, name: str | None) -> Refusal:
    happened = "is loaded already" if status == -EEXIST else "has just failed to load"
    return Refusal(status, f"{name} {happened}")
