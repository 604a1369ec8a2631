"""Programs in steps, and what each of them broadcast."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from pmsim.kernel.handle import KernelHandle
from pmsim.units import S
from tests.kernel.booted import Booted, Flush

Step = Callable[[KernelHandle], Generator[Any, Any, Any]]

SETTLE = 10 * S
"""Pause after a step, in which the kernel's workers finish."""


def flushes_by_step(booted: Booted, *steps: Step) -> list[list[Flush]]:
    """Run steps one after the other on CPU 0 and return the broadcasts of each, in their order."""
    begins: list[int] = []

    def program(kernel: KernelHandle) -> Generator[Any, Any, Any]:
        for step in steps:
            begins.append(kernel.task.now)
            yield from step(kernel)
            yield from kernel.task.sleep(SETTLE)

    booted.run(program)
    starts = [call["start_ps"] for call in booted.calls]
    found = sorted(zip(starts, booted.flushes, strict=True), key=lambda pair: pair[0])
    ends = [*begins[1:], booted.machine.now + 1]
    return [
        [flush for start, flush in found if begin <= start < end]
        for begin, end in zip(begins, ends, strict=True)
    ]
