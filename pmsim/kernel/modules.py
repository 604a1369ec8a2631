"""Loading and unloading kernel modules, with every change of permission on the way.

Stands for kernel/module/main.c and strict_rwx.c of Linux 6.1 with STRICT_MODULE_RWX, as far as
memory and cross-calls go: ``load_module``, ``complete_formation``, ``do_init_module``,
``do_free_init``, ``free_module``, and the static calls of a module as it comes in
(kernel/static_call_inline.c). Left out: names, symbols and duplicates, ftrace, what a module's own
init and exit functions allocate.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pmsim.errors import UndefinedBehaviour
from pmsim.hardware.locks import Mutex
from pmsim.kernel.module_segments import Layout, ModuleSegments, Segment, place
from pmsim.kernel.workqueue import Work
from pmsim.units import PAGE_SIZE

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.set_memory import SetMemory
    from pmsim.kernel.tlbflush import TlbFlush
    from pmsim.kernel.vmalloc import Vmalloc, VmArea
    from pmsim.kernel.workqueue import Workqueue


class Change(NamedTuple):
    """One ``set_memory_*`` call of a pass over a module's segments."""

    call: Literal["ro", "nx", "x"]
    area: Literal["core", "init"]
    segment: Literal["text", "rodata", "ro_after_init", "data"]


_ENABLE_RO: Final = (
    Change("ro", "core", "text"),
    Change("ro", "core", "rodata"),
    Change("ro", "init", "text"),
    Change("ro", "init", "rodata"),
)

FORMATION: Final = (
    *_ENABLE_RO,
    Change("nx", "core", "rodata"),
    Change("nx", "core", "ro_after_init"),
    Change("nx", "core", "data"),
    Change("nx", "init", "rodata"),
    Change("nx", "init", "data"),
    Change("x", "core", "text"),
    Change("x", "init", "text"),
)
"""What ``complete_formation`` does, before the init function: module_enable_ro, _nx and _x."""

AFTER_INIT: Final = (*_ENABLE_RO, Change("ro", "core", "ro_after_init"))
"""What ``do_init_module`` does after the init function: ``module_enable_ro(mod, true)``.

All but the last change nothing, and an empty segment is gone through like the others, so that each
call still purges what was freed lazily.
"""

SYNCS_PER_BATCH: Final = 3
"""Cross-calls of one ``text_poke_bp_batch``: after the breakpoint, the tail, the first byte."""


@dataclass(slots=True, eq=False)
class Module:
    """A module in memory.

    Attributes
    ----------
    number
        Counted from 0 in order of loading.
    segments
        What it is made of.
    core, init
        Its areas; ``init`` is None where there is none, and once it was given away to be freed.
    core_layout, init_layout
        Where each segment lies.
    live
        Its init function succeeded, and it has not been unloaded.
    """

    number: int
    segments: ModuleSegments
    core: VmArea
    init: VmArea | None
    core_layout: Layout
    init_layout: Layout
    live: bool = False

    def segment(self, change: Change) -> Segment:
        """Return the segment that a change is about."""
        layout = self.core_layout if change.area == "core" else self.init_layout
        found: Segment = getattr(layout, change.segment)
        return found


class Modules:
    """The module loader of a kernel.

    Parameters
    ----------
    machine
        Where the mutexes live.
    vmalloc, set_memory, tlbflush, workqueue
        The kernel underneath.
    operations
        Where the calls are noted.
    costs
        CPU time of the loader's own work, and the length of a grace period.

    Attributes
    ----------
    loaded
        The modules that are live, oldest first.
    module_mutex
        Held over each permission pass with all its broadcasts, and over the grace period of an
        unload.
    """

    def __init__(
        self,
        machine: Machine,
        vmalloc: Vmalloc,
        set_memory: SetMemory,
        tlbflush: TlbFlush,
        workqueue: Workqueue,
        operations: OperationLog,
        costs: KernelCosts,
    ) -> None:
        self.loaded: list[Module] = []
        self.module_mutex = Mutex(machine, "module_mutex")
        self._vmalloc = vmalloc
        self._set_memory = set_memory
        self._tlbflush = tlbflush
        self._workqueue = workqueue
        self._operations = operations
        self._costs = costs
        self._text_mutex = Mutex(machine, "text_mutex")
        self._count = 0
        self._init_free_list: list[VmArea] = []
        self._init_free_work = Work(self._do_free_init)

    def load_module(
        self, task: Task, segments: ModuleSegments
    ) -> Generator[Any, Any, Module | None]:
        """Load a module: ``finit_module``, from reading the file to a live module.

        Its init area is freed some time later by a kernel worker.

        Returns
        -------
        Module or None
            None if there was no address space or memory for it, or its init function failed.
        """
        operation = self._operations.begin(task, "load_module", segments.core + segments.init)
        file = yield from self._vmalloc.vmalloc(task, segments.file_pages * PAGE_SIZE)
        module = None
        if file is not None:
            module = yield from self._layout_and_allocate(task, segments)
            if module is not None:
                yield from self._permission_pass(task, module, FORMATION)
                yield from self._patch_static_calls(task, segments.static_call_sites)
            # free_copy: the buffer of the file is lazily freed before the init function runs.
            yield from self._vmalloc.vfree(task, file)
        if module is not None and not (yield from self._do_init_module(task, module)):
            module = None
        self._operations.end(operation)
        return module

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

    def _layout_and_allocate(
        self, task: Task, segments: ModuleSegments
    ) -> Generator[Any, Any, Module | None]:
        """Check and relocate a module into areas of its own; None if there is no room for them."""
        yield from self._operations.compute(task, self._costs.module_load)
        core = yield from self._module_alloc(task, segments.core)
        if core is None:
            return None
        init = None
        if segments.init:
            init = yield from self._module_alloc(task, segments.init)
            if init is None:
                yield from self._vmalloc.vfree(task, core)
                return None
        module = _placed(self._count, segments, core, init)
        self._count += 1
        return module

    def _module_alloc(self, task: Task, pages: int) -> Generator[Any, Any, VmArea | None]:
        return self._vmalloc.vmalloc(
            task, pages * PAGE_SIZE, range="modules", flush_reset_perms=True
        )

    def _permission_pass(self, task: Task, module: Module, changes: tuple[Change, ...]) -> Steps:
        yield from self._operations.lock(task, self.module_mutex)
        for change in changes:
            segment = module.segment(change)
            call = getattr(self._set_memory, change.call)
            yield from call(task, segment.address, segment.pages)
        self.module_mutex.unlock(task)

    def _patch_static_calls(self, task: Task, sites: int) -> Steps:
        """Patch each call site of a module that comes in: one batch per site."""
        for _ in range(sites):
            operation = self._operations.begin(task, "text_poke_bp_batch")
            yield from self._operations.lock(task, self._text_mutex)
            yield from self._operations.compute(task, self._costs.text_poke_site)
            for _ in range(SYNCS_PER_BATCH):
                yield from self._tlbflush.text_poke_sync(task)
            self._text_mutex.unlock(task)
            self._operations.end(operation)

    def _do_init_module(self, task: Task, module: Module) -> Generator[Any, Any, bool]:
        """Run the init function; return whether it succeeded."""
        operation = self._operations.begin(task, "do_init_module")
        yield from self._operations.compute(task, self._costs.module_init)
        if module.segments.init_fails:
            # Whoever looks through the list of modules without a lock may still see it.
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._free_module(task, module)
        else:
            yield from self._permission_pass(task, module, AFTER_INIT)
            module.live = True
            self.loaded.append(module)
            if module.init is not None:
                self._init_free_list.append(module.init)
                module.init = None
                self._workqueue.schedule_work(task, self._init_free_work)
        self._operations.end(operation)
        return not module.segments.init_fails

    def _do_free_init(self, task: Task) -> Steps:
        """Free the init areas that have gathered, newest first, after one grace period."""
        operation = self._operations.begin(task, "do_free_init")
        areas, self._init_free_list = self._init_free_list, []
        yield from task.sleep(self._costs.rcu_grace_period)
        for area in reversed(areas):
            operation.pages += area.pages
            yield from self._vmalloc.vfree(task, area)
        self._operations.end(operation)

    def _free_module(self, task: Task, module: Module) -> Steps:
        """Unlink a module and free what it still has: the init area (if it failed), then core."""
        operation = self._operations.begin(task, "free_module", module.segments.core)
        yield from self._operations.lock(task, self.module_mutex)
        if module in self.loaded:
            self.loaded.remove(module)
        yield from task.sleep(self._costs.rcu_grace_period)
        self.module_mutex.unlock(task)
        for area in (module.init, module.core):
            if area is not None:
                yield from self._vmalloc.vfree(task, area)
        self._operations.end(operation)


def _placed(number: int, segments: ModuleSegments, core: VmArea, init: VmArea | None) -> Module:
    core_layout = place(
        core.address,
        segments.core_text,
        segments.core_rodata,
        segments.core_ro_after_init,
        segments.core_data,
    )
    init_layout = place(
        0 if init is None else init.address,
        segments.init_text,
        segments.init_rodata,
        segments.init_ro_after_init,
        segments.init_data,
    )
    return Module(number, segments, core, init, core_layout, init_layout)
