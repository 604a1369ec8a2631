"""From files to what they say: each by its format, which is found in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pmsim.errors import Fault, ScenarioError
from pmsim.imports.found import Imported
from pmsim.readers.formats import TRACES
from pmsim.readers.recognise import recognised


@dataclass(frozen=True, slots=True)
class Wishes:
    """How files are to be read.

    Attributes
    ----------
    isolated
        CPUs that are shown apart.
    tick_ps
        What a step of a clock stands for that counts something else than time.
    progress
        Called with the bytes of a file that were read, and all of them.
    """

    isolated: frozenset[int]
    tick_ps: int
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
    if len(paths) > 1:
        raise _refused(paths[1], f"{found.value} is imported alone")
    from pmsim.imports.trace.imported import import_trace

    assert found in TRACES
    return import_trace(
        paths[0],
        found,
        isolated=wishes.isolated,
        tick_ps=wishes.tick_ps,
        progress=wishes.progress,
    )


def _refused(path: Path, message: str) -> ScenarioError:
    return ScenarioError([Fault(str(path), 0, 0, "too-many-files", message)])
