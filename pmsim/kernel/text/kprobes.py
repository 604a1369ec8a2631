"""Kprobes: breakpoints set in running code, and the pages for the instructions that they replace.

Stands for ``register_kprobe`` and ``unregister_kprobe`` (kernel/kprobes.c, Linux 4.16 to 6.18).
On x86 a worker turns a breakpoint into a jump some ticks later (CONFIG_OPTPROBES), and takes a jump
away as late. Left out: probes that share an address, or stand where no jump fits; and jumps
on 32-bit Arm.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.code_pages import code_pages
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.units import MS

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.text.code_pages import CodeArea
    from pmsim.steps import Steps

SLOT_BYTES: Final = {"x86_64": 15, "x86_32": 15, "arm64": 8, "arm32": 8, "riscv64": 8}
"""Bytes of an instruction slot: ``MAX_INSN_SIZE`` (``arch/*/include/asm/insn.h``, kprobes.h)."""


DETOUR_BYTES: Final = 160
"""Bytes of the code that a jump leads to (``MAX_OPTINSN_SIZE``); an estimate."""

OPTIMIZE_DELAY: Final = 20 * MS
"""From arming until a jump is made: ``OPTIMIZE_DELAY``, 5 ticks, at 250 Hz."""


@dataclass(slots=True, eq=False)
class SlotPage:
    """A page of instruction slots (``struct kprobe_insn_page``), and how many are used."""

    area: CodeArea
    used: int = 0


class Slots:
    """Slots of one size (``struct kprobe_insn_cache``).

    Parameters
    ----------
    context
        What they stand on.
    name
        What the kernel calls them.
    size
        Bytes of a slot.

    Attributes
    ----------
    pages
        The pages of slots, oldest first. The last one stays when it is empty.
    """

    def __init__(self, context: KernelContext, name: str, size: int) -> None:
        self._page_size = context.profile.page_size
        self.pages: list[SlotPage] = []
        self._slots = self._page_size // size
        self._mutex = KernelMutex(context.machine, f"{name}.mutex")
        self._costs = context.costs
        self._operations = context.operations
        self._code_pages = context.part(code_pages)

    def get(self, task: Task) -> Generator[Any, Any, SlotPage | None]:
        """Find a free slot, in a new page if there is none (``__get_insn_slot``)."""
        yield from self._operations.lock(task, self._mutex)
        page = next((page for page in self.pages if page.used < self._slots), None)
        if page is None:
            area = yield from self._code_pages.allocate(task, 1)
            if area is not None:
                page = SlotPage(area)
                self.pages.append(page)
        if page is not None:
            page.used += 1
        self._mutex.unlock(task)
        return page

    def free(self, task: Task, page: SlotPage) -> Steps:
        """Give a slot back, and its page if that is empty and not the last (``collect_one_slot``).

        The kernel lets slots gather before it looks for empty pages; here it looks at once.
        """
        yield from self._operations.lock(task, self._mutex)
        page.used -= 1
        if not page.used and len(self.pages) > 1:
            self.pages.remove(page)
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._code_pages.free(task, page.area)
        self._mutex.unlock(task)


@dataclass(slots=True, eq=False)
class Kprobe:
    """A probe: the pages that hold its slot and, where it can be a jump, its detour.

    ``armed`` says whether it is to be hit, ``jump`` whether a jump stands in the code.
    """

    page: SlotPage | None
    detour: SlotPage | None = None
    registered: bool = True
    armed: bool = False
    jump: bool = False


class Kprobes:
    """The probes of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    slots, detours
        Where the instructions are that probes replace, and the code that their jumps lead to.
    """

    def __init__(self, context: KernelContext) -> None:
        slot = SLOT_BYTES[context.profile.arch]
        self.slots = Slots(context, "kprobe_insn_slots", slot)
        self.detours = Slots(context, "kprobe_optinsn_slots", DETOUR_BYTES)
        self._mutex = KernelMutex(context.machine, "kprobe_mutex")
        self._arming = context.profile.kprobe_arming
        self._jumps = context.profile.kprobe_jumps
        self._costs = context.costs
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._text_poke = context.part(TextPoke)
        self._code_sync = context.part(CodeSync)

    @call
    def register_kprobe(
        self, task: Task, *, disabled: bool = False
    ) -> Generator[Any, Any, Kprobe | None]:
        """Set a probe and arm it: ``register_kprobe``.

        Parameters
        ----------
        task
            Who calls.
        disabled
            It is not armed before `enable_kprobe` (``KPROBE_FLAG_DISABLED``).

        Returns
        -------
        Kprobe or None
            None if there is no room for another page of slots.
        """
        operation = self._operations.begin(task, "register_kprobe")
        yield from self._operations.lock(task, self._mutex)
        page = yield from self.slots.get(task)
        probe = None
        if page is not None:
            probe = Kprobe(page)
            if self._jumps != "none":
                probe.detour = yield from self.detours.get(task)
            if not disabled:
                yield from self._arm(task, probe)
        self._mutex.unlock(task)
        self._operations.end(operation)
        return probe

    @call
    def enable_kprobe(self, task: Task, probe: Kprobe | None) -> Steps:
        """Arm a probe that is not: ``enable_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered.
        """
        yield from self._switch(task, probe, "enable_kprobe", on=True)

    @call
    def disable_kprobe(self, task: Task, probe: Kprobe | None) -> Steps:
        """Disarm a probe and keep it: ``disable_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered.
        """
        yield from self._switch(task, probe, "disable_kprobe", on=False)

    @call
    def unregister_kprobe(self, task: Task, probe: Kprobe | None) -> Steps:
        """Take a probe away: ``unregister_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered (any more).
        """
        if probe is None:
            return
        if not probe.registered:
            raise UndefinedBehaviour("unregister_kprobe for the second time", task.now, task.place)
        probe.registered = False
        operation = self._operations.begin(task, "unregister_kprobe")
        yield from self._operations.lock(task, self._mutex)
        yield from self._disarm(task, probe)
        self._mutex.unlock(task)
        yield from task.sleep(self._costs.rcu_grace_period)
        if not probe.jump:  # else the worker that takes the jump away frees it
            yield from self._free(task, probe)
        self._operations.end(operation)

    def _switch(self, task: Task, probe: Kprobe | None, kind: str, *, on: bool) -> Steps:
        if probe is None:
            return
        if not probe.registered:
            raise UndefinedBehaviour(f"{kind} after unregister_kprobe", task.now, task.place)
        operation = self._operations.begin(task, kind)
        yield from self._operations.lock(task, self._mutex)
        yield from self._arm(task, probe) if on else self._disarm(task, probe)
        self._mutex.unlock(task)
        self._operations.end(operation)

    def _arm(self, task: Task, probe: Kprobe) -> Steps:
        """Write the breakpoint, and let it become a jump: ``arm_kprobe``."""
        if probe.armed:
            return
        probe.armed = True
        if probe.jump:  # nobody has taken it away yet
            return
        yield from self._patch(task)
        if probe.detour is not None:
            self._workqueue.queue_delayed(task, partial(self._optimize, probe), OPTIMIZE_DELAY)

    def _disarm(self, task: Task, probe: Kprobe) -> Steps:
        """Take the breakpoint away; a jump is left to the worker: ``disarm_kprobe``."""
        if not probe.armed:
            return
        probe.armed = False
        if probe.jump:
            self._workqueue.queue_delayed(task, partial(self._unoptimize, probe), OPTIMIZE_DELAY)
        else:
            yield from self._patch(task)

    def _optimize(self, probe: Kprobe, task: Task) -> Steps:
        """Replace the breakpoint by a jump, if it is still there: ``kprobe_optimizer``."""
        operation = self._operations.begin(task, "kprobe_optimizer")
        yield from self._operations.lock(task, self._mutex)
        if probe.armed and not probe.jump:
            # Nobody may be within the bytes of the jump (synchronize_rcu_tasks).
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._text_poke.patch(task, 1)
            probe.jump = True
        self._mutex.unlock(task)
        self._operations.end(operation)

    def _unoptimize(self, probe: Kprobe, task: Task) -> Steps:
        """Take a jump away, and the breakpoint that was under it: ``arch_unoptimize_kprobe``."""
        operation = self._operations.begin(task, "kprobe_optimizer")
        yield from self._operations.lock(task, self._mutex)
        if probe.jump and not probe.armed:
            if self._jumps == "patched":
                yield from self._text_poke.patch(task, 1)
            else:
                for _ in range(2):  # the first byte, then the others
                    yield from self._patch(task)
            yield from self._patch(task)
            probe.jump = False
        self._mutex.unlock(task)
        if not probe.registered:
            yield from self._free(task, probe)
        self._operations.end(operation)

    def _patch(self, task: Task) -> Steps:
        """Write the breakpoint or take it away: ``arch_arm_kprobe``, ``arch_disarm_kprobe``."""
        yield from self._operations.lock(task, self._text_poke.text_mutex)
        if self._arming == "stop_machine":
            yield from self._code_sync.stop_machine(task, self._costs.text_poke_site)
        else:
            yield from self._operations.compute(task, self._costs.text_poke_site)
            if self._arming == "sync":
                yield from self._code_sync.text_poke_sync(task)
        self._text_poke.text_mutex.unlock(task)

    def _free(self, task: Task, probe: Kprobe) -> Steps:
        """Give the slots of a probe back, once."""
        page, detour = probe.page, probe.detour
        probe.page = probe.detour = None
        if detour is not None:
            yield from self.detours.free(task, detour)
        if page is not None:
            yield from self.slots.free(task, page)
