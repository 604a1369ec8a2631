"""Cells: what is measured, and which of it is kept back to be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

Call = Literal["membarrier", "mprotect", "madvise", "munmap", "munmap_tables"]
Figure = Literal["call", "mmap", "touch", "lost"]
"""What is read off a sample: the call itself; mapping its pages before, or touching them; what the
nearest CPU loses that computes meanwhile."""
Others = Literal["none", "asleep", "spinning", "idle"]
"""What other threads of the process do: there are none awake; one sleeps all along; they compute;
one has been asleep for a given time, so that its CPU idles and still borrows the address space."""

MOST_PAGES: Final = 512
HELD_OUT: Final = 3
"""Every third cell is held out."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure.

    Attributes
    ----------
    call, figure, pages
        What is called, on how many pages, and what is read off.
    others, cpus
        What other threads do, and on which of Linux's CPUs.
    idle_ns
        How long a sleeper's CPU has been idle.
    held_out
        Whether it is kept back: predicted, and never fitted. It is the same cell either way.
    """

    call: Call
    figure: Figure = "call"
    pages: int = 1
    others: Others = "none"
    cpus: tuple[int, ...] = ()
    idle_ns: int = 0
    held_out: bool = field(default=False, compare=False)

    @property
    def curve(self) -> str:
        """What the cells of one curve share, in words without spaces."""
        what = {"call": self.call, "mmap": "mmap", "touch": "touch", "lost": f"{self.call}-lost"}
        who = {
            "none": "alone",
            "asleep": "asleep",
            "idle": "idle",
            "spinning": f"spin-{_threads(self.cpus)}",
        }
        return f"{what[self.figure]}-{who[self.others]}".replace("_", "-")

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.call == "membarrier":
            return self.curve
        return (
            f"{self.curve}-{self.pages}" if self.others != "idle" else f"{self.curve}-{self.us}us"
        )

    @property
    def us(self) -> int:
        """How long a sleeper's CPU has been idle, in microseconds."""
        return self.idle_ns // 1000

    @property
    def told(self) -> tuple[int, ...]:
        """The CPUs that have to be interrupted by each call."""
        return self.cpus if self.others in ("spinning", "idle") else ()

    @property
    def setting(self) -> tuple[Others, tuple[int, ...], int]:
        """What the other threads do: cells with the same setting are measured together."""
        return self.others, self.cpus, self.idle_ns


def _threads(cpus: tuple[int, ...]) -> str:
    return f"cpu{cpus[0]}" if len(cpus) == 1 else f"{len(cpus)}-cpus"


def plan(
    ceiling: int, nearest: Sequence[int], apart: Iterable[int], idle_ns: Iterable[int]
) -> list[Cell]:
    """Return the cells of a machine, every third of them held out.

    Parameters
    ----------
    ceiling
        Pages above which its kernel is known to flush everything.
    nearest
        The CPUs that other threads may run on, the nearest first; none on a machine of one CPU.
    apart
        The first CPU of each farther distance.
    idle_ns
        How long a sleeper's CPU is to have been idle.
    """
    cells = list(_alone(ceiling))
    if nearest:
        cells += _together(ceiling, tuple(nearest), tuple(apart), tuple(idle_ns))
    return [replace(cell, held_out=at % HELD_OUT == 1) for at, cell in enumerate(cells)]


def _pages(ceiling: int) -> list[int]:
    """Return the pages of a curve: powers of two, and both sides of the ceiling."""
    near = {ceiling - 1, ceiling, ceiling + 1}
    return sorted(n for n in {1, 2, 4, 8, 16, 64, 256, MOST_PAGES} | near if 0 < n <= MOST_PAGES)


def _few(ceiling: int) -> list[int]:
    few = {1, 4, 16, 64, 256, ceiling, ceiling + 1}
    return sorted(n for n in few if 0 < n <= MOST_PAGES)


def _alone(ceiling: int) -> Iterator[Cell]:
    for pages in _pages(ceiling):
        yield Cell("mprotect", pages=pages)
    for call in ("madvise", "munmap"):
        for pages in _few(ceiling):
            yield Cell(call, pages=pages)
    for pages in (1, 16, 256):
        yield Cell("madvise", "touch", pages)
    for pages in (1, 16):
        yield Cell("munmap", "mmap", pages)


def _together(
    ceiling: int, nearest: tuple[int, ...], apart: tuple[int, ...], idle_ns: tuple[int, ...]
) -> Iterator[Cell]:
    one = nearest[:1]
    yield Cell("membarrier", pages=0, others="asleep", cpus=one)
    yield Cell("membarrier", pages=0, others="spinning", cpus=one)
    yield Cell("membarrier", "lost", 0, "spinning", one)
    for pages in _pages(ceiling):
        yield Cell("mprotect", "call", pages, "spinning", one)
    for pages in (1, 8, ceiling, ceiling + 1):
        yield Cell("mprotect", "lost", pages, "spinning", one)
    for call in ("madvise", "munmap"):
        for pages in _few(ceiling):
            yield Cell(call, "call", pages, "spinning", one)
    for pages in (1, 16):
        yield Cell("mprotect", "call", pages, "asleep", one)
    for length in idle_ns:
        for factor in (3, 4, 5):
            yield Cell("munmap_tables", "call", 1, "idle", one, length * factor // 4)
    for cpu in apart:
        yield Cell("mprotect", "call", 1, "spinning", (cpu,))
        yield Cell("membarrier", "call", 0, "spinning", (cpu,))
        yield Cell("mprotect", "lost", 1, "spinning", (cpu,))
    for count in _counts(len(nearest)):
        yield Cell("membarrier", "call", 0, "spinning", nearest[:count])
        yield Cell("mprotect", "call", 1, "spinning", nearest[:count])
        yield Cell("mprotect", "call", ceiling + 1, "spinning", nearest[:count])


def _counts(most: int) -> list[int]:
    """Return for how many other threads cells are measured, beside one: doubled, up to all."""
    counts = []
    count = 2
    while count < most:
        counts.append(count)
        count *= 2
    return [*counts, most] if most > 1 else []
