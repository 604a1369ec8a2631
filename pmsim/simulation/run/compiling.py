"""Compiling the simulated machine before its first run, and showing how far that is."""

from __future__ import annotations

import os
from collections.abc import Callable

from pmsim.hardware.passes import cache


def is_compiled() -> bool:
    """Return whether a run can begin at once; also where nothing is compiled at all."""
    return os.environ.get("NUMBA_DISABLE_JIT") == "1" or cache.is_complete()


def functions_to_compile() -> int:
    """Return how many functions `compile_machine` compiles."""
    return cache.functions()


def compile_machine(compiled_one: Callable[[], None]) -> None:
    """Compile everything that any machine needs, and keep it; call back for each function."""
    from pmsim.hardware.passes import jit, replay, steps

    with jit.watched(compiled_one):
        steps.prepare()
        jit.compile_entry(replay.replay)
