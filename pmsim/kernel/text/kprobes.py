"""Kprobes: breakpoints set in running code, and the pages for the instructions that they replace.

Stands for ``register_kprobe`` and ``unregister_kprobe`` (kernel/kprobes.c, Linux 4.16 to 6.18).
Left out: probes that share an address, and what happens some ticks later where a breakpoint can be
turned into a jump (CONFIG_OPTPROBES on x86: one more patched site per probe, 3 IPI calls).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import UndefinedBehaviour
from pmsim.hardware.locks import Mutex
from pmsim.kernel.calls import call
from pmsim.kernel.text.code_pages import code_pages
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.units import PAGE_SIZE

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.text.code_pages import CodeArea
    from pmsim.steps import Steps

SLOT_BYTES: Final = {"x86_64": 15, "x86_32": 15, "arm64": 8, "arm32": 8, "riscv64": 8}
"""Bytes of an instruction slot: ``MAX_INSN_SIZE`` (``arch/*/include/asm/insn.h``, kprobes.h)."""


@dataclass(slots=True, eq=False)
class SlotPage:
    """A page of instruction slots (``struct kprobe_insn_page``), and how many are used."""

    area: CodeArea
    used: int = 0


@dataclass(slots=True, eq=False)
class Kprobe:
    """A probe that is armed: the page that holds its slot."""

    page: SlotPage
    registered: bool = True


class Kprobes:
    """The probes of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    pages
        The pages of slots, oldest first. The last one stays when it is empty.
    """

    def __init__(self, context: KernelContext) -> None:
        self.pages: list[SlotPage] = []
        self._slots = PAGE_SIZE // SLOT_BYTES[context.profile.arch]
        self._mutex = Mutex(context.machine, "kprobe_mutex")
        self._slot_mutex = Mutex(context.machine, "kprobe_insn_slots.mutex")
        self._arming = context.profile.kprobe_arming
        self._costs = context.costs
        self._operations = context.operations
        self._code_pages = context.part(code_pages)
        self._text_poke = context.part(TextPoke)
        self._code_sync = context.part(CodeSync)

    @call
    def register_kprobe(self, task: Task) -> Generator[Any, Any, Kprobe | None]:
        """Set a probe and arm it: ``register_kprobe``.

        Returns
        -------
        Kprobe or None
            None if there is no room for another page of slots.
        """
        operation = self._operations.begin(task, "register_kprobe")
        yield from self._operations.lock(task, self._mutex)
        page = yield from self._get_slot(task)
        if page is not None:
            yield from self._patch(task)
        self._mutex.unlock(task)
        self._operations.end(operation)
        return None if page is None else Kprobe(page)

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
        yield from self._patch(task)
        self._mutex.unlock(task)
        yield from task.sleep(self._costs.rcu_grace_period)
        yield from self._free_slot(task, probe.page)
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

    def _get_slot(self, task: Task) -> Generator[Any, Any, SlotPage | None]:
        """Find a free slot, in a new page if there is none (``__get_insn_slot``)."""
        yield from self._operations.lock(task, self._slot_mutex)
        page = next((page for page in self.pages if page.used < self._slots), None)
        if page is None:
            area = yield from self._code_pages.allocate(task, 1)
            if area is not None:
                page = SlotPage(area)
                self.pages.append(page)
        if page is not None:
            page.used += 1
        self._slot_mutex.unlock(task)
        return page

    def _free_slot(self, task: Task, page: SlotPage) -> Steps:
        """Give a slot back, and its page if that is empty and not the last (``collect_one_slot``).

        The kernel lets slots gather before it looks for empty pages; here it looks at once.
        """
        yield from self._operations.lock(task, self._slot_mutex)
        page.used -= 1
        if not page.used and len(self.pages) > 1:
            self.pages.remove(page)
            yield from task.sleep(self._costs.rcu_grace_period)
            yield from self._code_pages.free(task, page.area)
        self._slot_mutex.unlock(task)
