"""Compiling the simulated machine before its first run, and showing how far that is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pmsim.hardware.passes import cache
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS

if TYPE_CHECKING:
    from pmsim.scenario.resolve import ResolvedScenario


def compiles_apart(scenario: ResolvedScenario) -> bool:
    """Return whether all is compiled apart for a scenario.

    For CPUs that do not always run, and for protocols that call CPUs and do not wait for them.
    """
    host, shootdown = scenario.machine.host, scenario.kernel.shootdown
    goes_on = isinstance(shootdown, Shootdown) and shootdown.protocol.goes_on
    return goes_on or (host is not None and host.freezes)


def may_compile_apart(varied: str) -> bool:
    """Return whether a sweep, of whose keys and values this is a text, may have such scenarios."""
    go_on = (name for name, one in PROTOCOLS.items() if one.goes_on)
    return any(word in varied for word in ("overcommit", *go_on))


def is_compiled(*, apart: bool = False) -> bool:
    """Return whether a run can begin at once; also where nothing is compiled at all.

    Parameters
    ----------
    apart
        Whether it is a run for which all is compiled apart: `compiles_apart`.
    """
    return os.environ.get("NUMBA_DISABLE_JIT") == "1" or cache.is_complete(apart=apart)


def functions_to_compile(*, apart: bool = False) -> int:
    """Return how many functions `compile_machine` compiles."""
    return cache.functions() * (_is_missing() + apart)


def _is_missing() -> bool:
    return not cache.is_complete()


def compile_machine(compiled_one: Callable[[], None], *, apart: bool = False) -> None:
    """Compile everything that any machine needs, and keep it; call back for each function.

    Parameters
    ----------
    compiled_one
        Called for each.
    apart
        Whether also what machines need for which all is compiled apart.
    """
    from pmsim.hardware.passes import firsts, jit, left_out, replay, steps, waits

    with jit.watched(compiled_one):
        for backwards in [False, True][: 1 + apart]:
            steps.prepare(apart=backwards)
            jit.compile_entry(replay.replay, backwards=backwards)
            jit.compile_entry(firsts.drops_under_way, backwards=backwards)
        for entry in (firsts.first_drops, *waits.ENTRIES, *left_out.ENTRIES):
            jit.compile_entry(entry)
