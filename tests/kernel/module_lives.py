"""The life of one module on any kernel: what its load and its unload make of calls and flushes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.units import S
from tests.kernel.booted import Booted, Flush

Calls = Generator[Any, Any, Any]

CANONICAL = ModuleSegments(
    file_pages=40, core_text=8, core_rodata=4, core_ro_after_init=1, core_data=3,
    init_text=1, init_rodata=0, init_ro_after_init=0, init_data=3,
)  # fmt: skip
"""A module with every segment that one of 5.4 and later usually has: 16 pages stay, 4 go."""

OLD = replace(CANONICAL, core_ro_after_init=0, core_data=4)
"""The same before 5.4, when jump labels were not yet read-only after init."""


@dataclass
class Step:
    """What happened in one step.

    Attributes
    ----------
    calls
        The calls of set_memory with their pages, in order: ``ro8``.
    flushes
        Every broadcast in order of its beginning.
    """

    calls: list[str] = field(default_factory=list)
    flushes: list[Flush] = field(default_factory=list)

    def of(self, *causes: str) -> list[Flush]:
        """Return the broadcasts that were made for some causes."""
        return [flush for flush in self.flushes if flush.cause in causes]


def life(booted: Booted, segments: ModuleSegments) -> tuple[Step, Step]:
    """Load and unload a module, each step with all the work that it leaves behind."""
    begins: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        begins.append(kernel.task.now)
        module: Module | None = yield from kernel.load_module(segments)
        yield from kernel.task.sleep(S)
        begins.append(kernel.task.now)
        if module is not None:
            yield from kernel.unload_module(module)

    booted.run(program)
    return steps(booted, begins[1])


def steps(booted: Booted, second: int) -> tuple[Step, Step]:
    """Divide what was recorded into what began before an instant and what began later."""
    parts = Step(), Step()
    for row in sorted(booted.operations, key=lambda row: row["id"]):
        if row["kind"].startswith("set_memory_"):
            word = f"{row['kind'].removeprefix('set_memory_')}{row['pages']}"
            parts[int(row["start_ps"] >= second)].calls.append(word)
    for call, flush in zip(booted.calls, booted.flushes, strict=True):
        parts[int(call["start_ps"] >= second)].flushes.append(flush)
    return parts
