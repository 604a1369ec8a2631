"""Sizes and alignments of pmalloc on an architecture: its arithmetic where it can overflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.units import KIB, Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task


@dataclass(frozen=True, slots=True)
class Sizes:
    """The ``size_t`` of an architecture, and its alignment of what ``kmalloc`` returns.

    Attributes
    ----------
    word_bits
        Bits of a ``size_t``; by default those of a 64-bit kernel.
    minalign
        Bytes: alignment of a pool that asks for none (``ARCH_KMALLOC_MINALIGN``,
        include/linux/slab.h); by default that of x86-64, Linux 4.16.
    page_size
        Bytes of a page; by default 4 KiB.
    """

    word_bits: int = 64
    minalign: Bytes = 8
    page_size: Bytes = 4 * KIB

    @property
    def largest(self) -> Bytes:
        """The largest ``size_t``: ``SIZE_MAX``."""
        return (1 << self.word_bits) - 1

    def rounded_refill(self, refill: Bytes) -> Bytes:
        """Return the size by which a pool grows: whole pages, at least one.

        0 asks for the default, one page. The rounding is that of a ``size_t``: within a page of the
        largest one it wraps to 0, and such a pool grows by just what is asked of it.
        """
        if refill == 0:
            return self.page_size
        page = self.page_size
        return (refill + page - 1 & self.largest) // page * page

    def alignment(self, task: Task, align_order: int) -> Bytes:
        """Return an alignment in bytes: ``2**align_order``; the least for a negative order.

        An alignment above a page counts from the start of an area, which is itself only page
        aligned.

        Raises
        ------
        UndefinedBehaviour
            For an order of a word's bits or more: the kernel shifts by it without a check.
        """
        if align_order >= self.word_bits:
            raise UndefinedBehaviour(
                f"align_order {align_order} shifts a {self.word_bits}-bit number by as much",
                task.now,
                task.place,
            )
        return self.minalign if align_order < 0 else 1 << align_order

    def product(self, n: int, size: Bytes) -> Bytes | None:
        """Multiply as ``pmalloc_array`` does: None for no elements and for an overflow.

        Elements of size 0 pass: the kernel's test divides by ``n`` alone.
        """
        total = n * size
        return None if n == 0 or total > self.largest else total

    def check(self, task: Task, **values: int) -> None:
        """Refuse what no caller can ask for, whatever the kernel does.

        Parameters
        ----------
        task
            Who asks.
        **values
            What for, by the names of the arguments.

        Raises
        ------
        ProgramError
            For a number that no ``size_t`` holds.
        """
        for what, value in values.items():
            if not 0 <= value <= self.largest:
                message = f"{what} is {value}, which no size_t holds"
                raise ProgramError(message, task.now, task.place)
