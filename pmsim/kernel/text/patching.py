"""How each architecture patches code, one strategy for each order of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.text.code_sync import Sync
    from pmsim.steps import Steps


class Patching(Protocol):
    """How sites are patched under ``text_mutex``."""

    kind: str
    """The kernel's function for a batch, as the table of operations calls it."""
    batch: int
    """How many sites it patches at once."""

    def steps(self, task: Task, sites: int, one_byte: bool) -> Steps:
        """Patch a batch."""

    def write(self, task: Task) -> Iterable[Any]:
        """Write to a page of code once, through a mapping made for it, and tell nobody."""

    def finish(self, task: Task) -> Iterable[Any]:
        """Do what is left when the last batch is patched, without ``text_mutex``."""


class Breakpoints:
    """x86: breakpoints first, then the other bytes, then the first ones; all serialise after each.

    An instruction of one byte has no other bytes, so that this round is left out. Each write goes
    through a mapping of its own (4.16: the fixmap; 5.10: a private address space), which only the
    patching CPU uses and flushes.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        batches = context.profile.text_poke == "batch"
        self.kind = "text_poke_bp_batch" if batches else "text_poke_bp"
        self.batch = context.profile.text_poke_batch if batches else 1
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations

    def steps(self, task: Task, sites: int, one_byte: bool) -> Steps:
        """Patch a batch: 3 IPI calls, 2 for instructions of one byte."""
        for _ in range(2 if one_byte else 3):
            yield from self._operations.compute(task, sites * self._costs.text_poke_site)
            yield from self._tlbflush.text_poke_sync(task)

    def write(self, task: Task) -> Iterable[Any]:
        """Write, and flush the mapping on this CPU."""
        return self._operations.compute(task, self._costs.text_poke_site)

    def finish(self, task: Task) -> Iterable[Any]:
        """Leave nothing to do."""
        return ()


class _Way(NamedTuple):
    """How single instructions are replaced: a kernel function, and whom it tells when."""

    kind: str
    each: str
    last: str


_WAYS: Final = {
    "insn_kick": _Way("aarch64_insn_patch_text", "text_poke_sync", "nothing"),
    "insn": _Way("aarch64_insn_patch_text_nosync", "nothing", "nothing"),
    "insn_kick_once": _Way("aarch64_insn_patch_text_nosync", "nothing", "text_poke_sync"),
    "fence": _Way("patch_text_nosync", "text_poke_sync", "nothing"),
    "fence_once": _Way("patch_insn_write", "nothing", "text_poke_sync"),
    "stop_machine": _Way("patch_text", "stop_machine", "nothing"),
}


class Instructions:
    """Arm and RISC-V: instructions of one length, each replaced by one write.

    On Arm the mapping through which it is written is unmapped with TLB broadcasts of its own
    (``clear_fixmap``, arch/arm64/mm/mmu.c, ``__set_fixmap``; ``patch_unmap``,
    arch/arm/kernel/patch.c); elsewhere only this CPU flushes it.

    Parameters
    ----------
    context
        What it stands on.
    """

    batch = 1

    def __init__(self, context: KernelContext) -> None:
        way = _WAYS[context.profile.text_poke]
        code_sync = context.part(CodeSync)
        self.kind = way.kind
        self._flushes = context.profile.text_poke_flushes
        self._each: Sync = getattr(code_sync, way.each)
        self._last: Sync = getattr(code_sync, way.last)
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations

    def steps(self, task: Task, sites: int, one_byte: bool) -> Steps:
        """Replace one instruction."""
        yield from self.write(task)
        yield from self._each(task)

    def write(self, task: Task) -> Steps:
        """Write, and take the mapping away."""
        yield from self._operations.compute(task, self._costs.text_poke_site)
        for _ in range(self._flushes):
            yield from self._tlbflush.flush_pages(task, 1, Cause.TEXT_POKE)

    def finish(self, task: Task) -> Iterable[Any]:
        """Tell the others once for all sites, where the kernel does."""
        return self._last(task)


def patching(context: KernelContext) -> Patching:
    """Return the way in which a kernel patches code."""
    return Instructions(context) if context.profile.text_poke in _WAYS else Breakpoints(context)
