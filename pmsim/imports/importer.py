"""From files to what they say: each by its format, which is found in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.imports.found import Imported
from pmsim.readers.formats import TRACES, Format
from pmsim.readers.recognise import recognised

MOST_READINGS: Final = 2
"""Readings of counts: before and after."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How files are to be read.

    Attributes
    ----------
    isolated
        CPUs that are shown apart.
    tick_ps
        What a step of a clock stands for that counts something else than time.
    between_ps
        The time between two readings; None where nobody knows.
    progress
        Called with the bytes of a file that were read, and all of them.
    """

    isolated: frozenset[int]
    tick_ps: int
    between_ps: int | None = None
    progress: Callable[[int, int], None] | None = None


def import_files(paths: Sequence[Path], wishes: Wishes) -> Imported:
    """Return what files say.

    Parameters
    ----------
    paths
        One file; or two of /proc/interrupts, before and after.
    wishes
        How they are to be read.

    Raises
    ------
    ScenarioError
        If a file is nothing that can be read, or several do not belong together.
    """
    found = recognised(paths[0])
    if found is Format.INTERRUPTS:
        from pmsim.imports.counts import import_interrupts

        for path in paths[1:]:
            if recognised(path) is not found or len(paths) > MOST_READINGS:
                raise _refused(paths[-1], f"{found.value} goes with one more of the same")
        between = wishes.between_ps
        return import_interrupts(tuple(paths), isolated=wishes.isolated, between_ps=between)
    if len(paths) > 1:
        raise _refused(paths[1], f"{found.value} is imported alone")
    return _import_one(paths[0], found, wishes)


def _import_one(path: Path, found: Format, wishes: Wishes) -> Imported:
    # Late: each loads what it needs, and the others do not.
    if found in TRACES:
        from pmsim.imports.trace.imported import import_trace

        isolated, tick = wishes.isolated, wishes.tick_ps
        return import_trace(path, found, isolated=isolated, tick_ps=tick, progress=wishes.progress)
    if found is Format.VMALLOCINFO:
        from pmsim.imports.addresses import import_vmallocinfo

        return import_vmallocinfo(path)
    if found is Format.PERF_STAT:
        from pmsim.imports.counts import import_perfstat

        return import_perfstat(path, between_ps=wishes.between_ps)
    from pmsim.imports.machines import import_machine

    return import_machine(path, found)


def _refused(path: Path, message: str) -> ScenarioError:
    return ScenarioError([Fault(str(path), 0, 0, "too-many-files", message)])
