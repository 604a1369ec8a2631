"""Which pages a TLB may still hold an old translation of: generations, no sets.

Each change that takes something away is a generation, and is written beside the entries that it
changed. A shootdown tells CPUs of all generations up to the one that there is when it begins. So a
page is stale on a CPU as long as its generation is above the one up to which that CPU has dropped
everything; a shootdown of a range takes it off the range's pages. It stands for nothing in the
kernel, which keeps no such account of its own mappings. No time passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.units import CpuId, Pages

Generations = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

_BITS: Final = 9
_GROUP: Final = 1 << _BITS
_FEW: Final = 8
"""Pages up to which word by word is faster than NumPy; as in `pagetables.entries.FEW`."""
_AT_ONCE: Final = 64
"""Shootdowns of some CPUs that are looked at together (a buffer; no result depends on it)."""


class StalePages:
    """The generations of all pages of the kernel's address space, and of all CPUs.

    Parameters
    ----------
    n_cpus
        CPUs of the machine.

    Attributes
    ----------
    generation
        That of the last change.
    everywhere
        The one up to which all CPUs have dropped everything.
    asked
        The one up to which all CPUs have dropped everything, or will as they enter the kernel.
    """

    __slots__ = (
        "_arrays",
        "_cpus",
        "_missing",
        "_up_to",
        "_words",
        "asked",
        "everywhere",
        "generation",
    )

    def __init__(self, n_cpus: int = 1) -> None:
        self.generation = 0
        self.everywhere = 0
        self.asked = 0
        self._cpus: Generations = np.zeros(n_cpus, np.int64)
        self._up_to: list[int] = []
        self._missing: Flags = np.empty((0, n_cpus), np.uint8)
        # Groups of pages are found as arrays, and for a few pages as words, which Python reads and
        # writes three times as fast.
        self._arrays: dict[int, Generations] = {}
        self._words: dict[int, memoryview] = {}

    def mark(self, first: int, pages: Pages) -> int:
        """Note that something was taken away from pages; return the change's generation."""
        self.generation = generation = self.generation + 1
        index = first & _GROUP - 1
        if pages <= _FEW and index + pages <= _GROUP:
            words = self._words.get(first >> _BITS)
            if words is None:
                self._group(first >> _BITS)
                words = self._words[first >> _BITS]
            words[index] = generation  # of most changes that is all
            for at in range(index + 1, index + pages):
                words[at] = generation
            return generation
        for part in self._parts(first, pages, make=True):
            part[:] = generation
        return generation

    def newest(self, first: int, pages: Pages) -> int:
        """Return the newest generation of pages that not all CPUs have dropped; 0 if there is none.

        Where some CPUs only were told, `stale_on` knows which.
        """
        if self.generation == self.everywhere:
            return 0
        index = first & _GROUP - 1
        newest = 0
        if pages <= _FEW and index + pages <= _GROUP:
            words = self._words.get(first >> _BITS)
            if words is None:
                return 0
            for at in range(index, index + pages):
                if words[at] > newest:
                    newest = words[at]
        else:
            newest = max((int(part.max()) for part in self._parts(first, pages)), default=0)
        return newest if newest > self.everywhere else 0

    def stale_on(self, generation: int) -> npt.NDArray[np.bool_]:
        """Return of each CPU whether it has not dropped everything since a change."""
        self._settle()
        return (self._cpus < generation) & (generation > self.everywhere)

    def current_on(self, cpu: CpuId) -> int:
        """Return the generation up to which a CPU has dropped everything."""
        self._settle()
        return max(self.everywhere, int(self._cpus[cpu]))

    def dropped(self, first: int, end: int, up_to: int) -> None:
        """Note that all CPUs have dropped the pages from ``first`` up to ``end``."""
        pages = end - first
        index = first & _GROUP - 1
        if pages <= _FEW and index + pages <= _GROUP:
            words = self._words.get(first >> _BITS)
            if words is not None:
                for at in range(index, index + pages):
                    if words[at] <= up_to:
                        words[at] = 0
            return
        for part in self._parts(first, pages):
            part[part <= up_to] = 0

    def dropped_everything(
        self, up_to: int, missing: Flags | None = None, *, asked: bool = False
    ) -> None:
        """Note that all CPUs have dropped everything, or all but some; these maybe will.

        They are marked with 1.
        """
        if missing is None or asked:
            self.asked = max(self.asked, up_to)
        if missing is None:
            self.everywhere = max(self.everywhere, up_to)
            return
        at = len(self._up_to)
        if at == len(self._missing):
            self._missing = np.empty((_AT_ONCE, len(self._cpus)), np.uint8)
        self._missing[at] = missing
        self._up_to.append(up_to)
        if at + 1 == _AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Note up to where each CPU has dropped everything, which is seldom asked."""
        if self._up_to:
            missing = self._missing[: len(self._up_to)]
            dropped = np.where(missing, 0, np.array(self._up_to)[:, np.newaxis])
            np.maximum(self._cpus, dropped.max(axis=0), out=self._cpus)
            self._up_to.clear()

    def _parts(self, first: int, pages: Pages, *, make: bool = False) -> Iterator[Generations]:
        """Yield the parts of the groups' arrays that hold some pages; those that there are."""
        end = first + pages
        groups: Sequence[int] = range(first >> _BITS, (end - 1 >> _BITS) + 1)
        if not make and len(groups) > len(self._arrays):
            groups = [group for group in self._arrays if groups[0] <= group <= groups[-1]]
        for group in groups:
            array = self._group(group) if make else self._arrays.get(group)
            if array is not None:
                start = group << _BITS
                yield array[max(first - start, 0) : end - start]

    def _group(self, group: int) -> Generations:
        array = self._arrays.get(group)
        if array is None:
            array = self._arrays[group] = np.zeros(_GROUP, np.int64)
            self._words[group] = array.data
        return array
