"""Which constants cells can tell: those that move some cell, and that no other stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pmsim.scenario.known import KnownConstant

PREFERENCE: Final = (
    "costs.kernel.user_membarrier",
    "costs.kernel.user_mprotect",
    "costs.kernel.user_madvise",
    "costs.kernel.user_munmap",
    "costs.kernel.user_mmap",
    "costs.kernel.user_fault",
    "costs.kernel.user_mapping_page",
    "costs.kernel.user_page_free",
    "costs.tlb.invlpg",
    "costs.tlb.flush_user",
    "host.exit",
    "host.inject",
    "costs.ipi.delivery",
    "costs.ipi.entry",
    "costs.ipi.queue",
    "costs.ipi.line",
    "costs.tlbi.operation",
    "costs.tlbi.everything",
    "costs.tlbi.barrier",
    "costs.tlbi.round_trip",
    "costs.sbi.trap",
    "costs.sbi.delivery",
    "costs.idle",
    "costs.ipi.send",
    "costs.ipi.exit",
    "host.kick",
    "costs.tlb.flush_fixed",
    "costs.kernel.user_page_zero",
    "costs.kernel.lru_page",
    "costs.kernel.alloc_pages",
)
"""The constants that cells may tell, as paths or what several paths begin with. Of two that only
their sum is known of, the first one is fitted and the other stays."""
LEAST_EFFECT: Final = 0.005
"""By how much a cell has to change if a constant doubles, as a share, for it to be told."""
LEAST_OWN: Final = 0.1
"""What of a constant's effect on all cells has to be its own, not one of those before it."""


@dataclass(frozen=True, slots=True)
class Left:
    """A constant that stays as it is on the nearest platform.

    Attributes
    ----------
    path, value
        Which, and what it is there, in picoseconds.
    why
        Why, in words.
    """

    path: str
    value: int
    why: str


def candidates(constants: Mapping[str, KnownConstant]) -> list[str]:
    """Return the paths of a machine's constants that cells may tell, those first that are fitted.

    What costs nothing there stays so: no effect of it can be scaled.
    """
    found = []
    for start in PREFERENCE:
        found += [
            path
            for path, one in constants.items()
            if (path == start or path.startswith(f"{start}."))
            and one.value
            and not path.endswith(".residency")
        ]
    return found


def identified(
    before: Mapping[str, int], effects: Any, weights: Any
) -> tuple[list[str], list[Left]]:
    """Divide constants into those that cells tell, and those that stay.

    Parameters
    ----------
    before
        The constants, those first that are to be fitted, with what they are.
    effects
        How much each cell (a row) changes if a constant (a column) doubles, as a share of it.
    weights
        What a cell is worth.
    """
    told: list[str] = []
    left: list[Left] = []
    basis: list[Any] = []
    paths = list(before)
    for place, (path, value) in enumerate(before.items()):
        column = effects[:, place]
        if not column.any() or np.abs(column).max() < LEAST_EFFECT:
            left.append(Left(path, value, "no cell that counts hangs on it"))
            continue
        weighted = column * weights
        own = weighted.copy()
        for direction in basis:
            own -= direction * (direction @ own)
        if np.linalg.norm(own) < LEAST_OWN * np.linalg.norm(weighted):
            others = _nearest(told, weighted, effects, weights, paths)
            left.append(Left(path, value, f"only its sum with {_names(others)} is known"))
            continue
        basis.append(own / np.linalg.norm(own))
        told.append(path)
    return told, left


def _nearest(
    told: Sequence[str], column: Any, effects: Any, weights: Any, paths: Sequence[str]
) -> list[str]:
    """Return the fitted constants that stand for another one's effect, the largest part first."""
    columns = np.array([effects[:, paths.index(path)] * weights for path in told]).T
    parts, *_ = np.linalg.lstsq(columns, column, rcond=None)
    sizes = np.abs(parts) * np.linalg.norm(columns, axis=0)
    return [told[at] for at in np.argsort(-sizes) if sizes[at] >= 0.3 * sizes.max()][:3]


def _names(paths: Iterable[str]) -> str:
    return " and ".join(path.removeprefix("costs.") for path in paths)
