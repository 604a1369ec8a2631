"""An area of the address space, as whoever asked for it holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.errors import UndefinedBehaviour

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.ranges import AddressRange
    from pmsim.kernel.pagetables.entries import Run
    from pmsim.units import Bytes, Pages


class VmArea:
    """An area of the address space (``struct vm_struct``).

    Attributes
    ----------
    address
        First address.
    pages
        Mapped pages; the guard page behind them is not counted.
    range
        Where its addresses come from.
    runs
        The page frames that it maps, in order.
    allocated
        The frames are its own (``VM_ALLOC``); those that it only maps are not.
    leaf
        Pages that one entry of the page table maps: 1, or 512 in a huge area.
    page_array
        The area of its page pointers, where they need more than a page.
    flush_reset_perms
        Freeing it resets the direct map and flushes at once (``VM_FLUSH_RESET_PERMS``), on kernels
        that have it.
    freed
        It was given back; whoever uses it still is undone.
    """

    __slots__ = (
        "address",
        "allocated",
        "flush_reset_perms",
        "freed",
        "leaf",
        "page_array",
        "pages",
        "range",
        "runs",
    )

    def __init__(
        self,
        address: int,
        pages: Pages,
        range_: AddressRange,
        flush_reset_perms: bool = False,
        allocated: bool = False,
        leaf: Pages = 1,
    ) -> None:
        self.address = address
        self.pages = pages
        self.range = range_
        self.flush_reset_perms = flush_reset_perms
        self.runs: list[Run] = []
        self.allocated = allocated
        self.leaf = leaf
        self.page_array: VmArea | None = None
        self.freed = False

    @property
    def size(self) -> Bytes:
        """Mapped bytes."""
        return self.pages * self.range.page_size

    @property
    def end(self) -> int:
        """The address behind the last mapped page, where its guard begins."""
        return self.address + self.pages * self.range.page_size

    def __repr__(self) -> str:
        return f"VmArea({self.address:#x}, {self.pages} pages)"

    def mark_freed(self, task: Task, call: str) -> None:
        """Note that ``task`` gives the area back, by a call of the kernel.

        Raises
        ------
        UndefinedBehaviour
            If it was given back before.
        """
        if self.freed:
            raise UndefinedBehaviour(f"{call} of {self} for the second time", task.now, task.place)
        self.freed = True
