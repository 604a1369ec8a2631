"""What else a trace tells: calls of the kernel by name, modules, interrupts that were off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pmsim.imports.spread import Spread
from pmsim.imports.trace.flushes import Kind, named, numbers
from pmsim.readers.trace import Handler

PROBED: Final = (
    "set_memory_ro",
    "set_memory_rw",
    "set_memory_x",
    "set_memory_nx",
    "set_memory_rox",
    "vm_unmap_aliases",
    "load_module",
    "free_module",
    "do_free_init",
    "text_poke_bp_batch",
    "cpa_flush",
)
"""Functions of the kernel whose calls are counted where a probe stands in them."""

PAGES: Final = (b"n", b"numpages", b"nr_entries", b"arg2")
"""What the argument is called that counts pages, or sites."""


class Happenings:
    """Calls by function, and windows with interrupts off.

    Attributes
    ----------
    calls
        By the function's name: how many, by whom, and what they count (pages, sites).
    windows
        Lengths of stretches with interrupts off (``preemptirq:irq_disable``, ``irq_enable``), by
        CPU (ps).
    """

    def __init__(self) -> None:
        self.calls: dict[str, Kind] = {}
        self.windows: dict[int, Spread] = {}
        self._off: dict[int, int] = {}

    def handlers(self, functions: Iterable[str] = PROBED) -> dict[bytes, Handler]:
        """Return who counts the calls of functions, by the event of a probe there."""
        return {f"{name}()".encode(): self._counter(name) for name in functions}

    def _counter(self, function: str) -> Handler:
        def count(_time: int, _cpu: int, name: bytes, _flags: bytes, rest: bytes) -> None:
            kind = self.calls.setdefault(function, Kind())
            kind.add(named(numbers(rest), *PAGES) or 0, name)

        return count

    def irq_disable(self, time: int, cpu: int, _name: bytes, _flags: bytes, _rest: bytes) -> None:
        """Note that interrupts are off from now on."""
        self._off.setdefault(cpu, time)

    def irq_enable(self, time: int, cpu: int, _name: bytes, _flags: bytes, _rest: bytes) -> None:
        """Note that interrupts are on again."""
        began = self._off.pop(cpu, None)
        if began is not None and time >= began:
            self.windows.setdefault(cpu, Spread()).add(time - began)

    def lost(self, cpu: int) -> None:
        """Forget a window of a CPU of which events are missing."""
        self._off.pop(cpu, None)
