"""Everything that is gathered while a trace is read, once, from front to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pmsim.imports.trace.areas import Areas
from pmsim.imports.trace.calls import Calls
from pmsim.imports.trace.flushes import Flushes
from pmsim.imports.trace.happenings import Happenings
from pmsim.readers.stream import TextStream
from pmsim.readers.trace import Handler, Reading, TraceReader
from pmsim.units import US


class Listener(Protocol):
    """Somebody else who wants the events of a trace."""

    def handlers(self) -> Mapping[bytes, Handler]:
        """Return who is to be called, by the name of an event."""

    def lost(self, cpu: int) -> None:
        """Take note that events of a CPU are missing."""


class SeenTrace:
    """What a trace tells.

    Attributes
    ----------
    path
        The file.
    reading
        What became of its lines.
    calls, flushes, areas, happenings
        What was gathered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reading = Reading()
        self.calls = Calls()
        self.flushes = Flushes()
        self.areas = Areas()
        self.happenings = Happenings()

    def handlers(self) -> Mapping[bytes, Handler]:
        """Return who gathers what, by the name of an event."""
        calls, flushes, areas, others = self.calls, self.flushes, self.areas, self.happenings
        return {
            b"csd_queue_cpu": calls.csd_queue_cpu,
            b"csd_function_entry": calls.csd_function_entry,
            b"csd_function_exit": calls.csd_function_exit,
            b"ipi_send_cpu": calls.ipi_send_cpu,
            b"ipi_send_cpumask": calls.ipi_send_cpumask,
            b"call_function_entry": calls.call_interrupt,
            b"call_function_single_entry": calls.call_interrupt,
            b"tlb_flush": flushes.tlb_flush,
            b"flush_tlb_mm_range()": flushes.flush_tlb_mm_range,
            b"flush_tlb_kernel_range()": flushes.flush_tlb_kernel_range,
            b"flush_tlb_all()": flushes.flush_tlb_all,
            b"alloc_vmap_area": areas.alloc_vmap_area,
            b"alloc_vmap_area<-": areas.alloc_vmap_area,
            b"free_vmap_area_noflush": areas.free_vmap_area_noflush,
            b"free_vmap_area_noflush()": areas.free_vmap_area_noflush,
            b"purge_vmap_area_lazy": areas.purge_vmap_area_lazy,
            b"irq_disable": others.irq_disable,
            b"irq_enable": others.irq_enable,
            **others.handlers(),
        }

    def lost(self, cpu: int) -> None:
        """Take note that events of a CPU are missing."""
        self.calls.lost(cpu)
        self.happenings.lost(cpu)


def read_trace(
    path: Path,
    *,
    tick_ps: int = US,
    progress: Callable[[int, int], None] | None = None,
    listeners: Sequence[Listener] = (),
) -> SeenTrace:
    """Read a trace from front to end.

    Parameters
    ----------
    path
        The file; packed by gzip or zstd, or as it is.
    tick_ps
        What a step of a clock stands for that counts something else than time.
    progress
        Called with the bytes of the file that were read, and all.
    listeners
        Who else is told of events.

    Raises
    ------
    ScenarioError
        If the file cannot be read, or is no text.
    """
    seen = SeenTrace(path)
    everybody: list[Listener] = [seen, *listeners]

    def lost(cpu: int) -> None:
        for one in everybody:
            one.lost(cpu)

    reader = TraceReader(_together([one.handlers() for one in everybody]), lost, tick_ps)
    seen.reading = reader.read(TextStream(path, progress))
    return seen


def _together(several: Sequence[Mapping[bytes, Handler]]) -> dict[bytes, Handler]:
    """Return one handler for each event, which calls all that asked for it, in order."""
    found: dict[bytes, Handler] = {}
    for handlers in several:
        for event, handler in handlers.items():
            found[event] = _both(found[event], handler) if event in found else handler
    return found


def _both(first: Handler, second: Handler) -> Handler:
    def both(time: int, cpu: int, name: bytes, flags: bytes, rest: bytes) -> None:
        first(time, cpu, name, flags, rest)
        second(time, cpu, name, flags, rest)

    return both
