"""Compiling the simulated machine before its first run, and showing how far that is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pmsim.hardware.passes import cache

if TYPE_CHECKING:
    from pmsim.scenario.resolve import ResolvedScenario


def takes_turns(scenario: ResolvedScenario) -> bool:
    """Return whether a scenario's CPUs do not always run: for those all is compiled apart."""
    host = scenario.machine.host
    return host is not None and host.freezes


def is_compiled(*, turns: bool = False) -> bool:
    """Return whether a run can begin at once; also where nothing is compiled at all.

    Parameters
    ----------
    turns
        Whether it is a run of CPUs that take turns.
    """
    return os.environ.get("NUMBA_DISABLE_JIT") == "1" or cache.is_complete(takes_turns=turns)


def functions_to_compile(*, turns: bool = False) -> int:
    """Return how many functions `compile_machine` compiles."""
    return cache.functions() * (_is_missing() + turns)


def _is_missing() -> bool:
    return not cache.is_complete()


def compile_machine(compiled_one: Callable[[], None], *, turns: bool = False) -> None:
    """Compile everything that any machine needs, and keep it; call back for each function.

    Parameters
    ----------
    compiled_one
        Called for each.
    turns
        Whether also what machines need whose CPUs take turns.
    """
    from pmsim.hardware.passes import jit, replay, steps

    with jit.watched(compiled_one):
        for apart in [False, True][: 1 + turns]:
            steps.prepare(takes_turns=apart)
            jit.compile_entry(replay.replay, backwards=apart)
