"""What an operation of the kernel needs of a shootdown, and whether a protocol promises as much.

Protocols differ less in cost than in what holds when the initiator goes on. What is gone can do no
harm. What is closed can still be used by a non-maskable interrupt: FreeBSD takes that for enough,
these needs do not (decision 21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pmsim.hardware.shootdown.protocol import Holds, Shootdown


@dataclass(frozen=True, slots=True)
class Need:
    """What one operation needs, before what.

    Attributes
    ----------
    operation, calls
        What it does, and the calls that do it.
    at_return, pages, tables
        What has to hold before it returns, before its pages are reused, before its page tables are;
        None: nothing.
    """

    operation: str
    calls: str
    at_return: Holds | None = None
    pages: Holds | None = None
    tables: Holds | None = None

    @property
    def when_it_goes_on(self) -> Holds:
        """What has to hold as soon as the initiator goes on: it may reuse the pages at once."""
        return max(self.at_return or Holds.REQUESTED, self.pages or Holds.REQUESTED)


NEEDS: Final = (
    Need("revoke", "set_memory_ro and _nx, pmalloc_protect_pool, mprotect", Holds.GONE),
    Need("free with reset", "VM_FLUSH_RESET_PERMS: modules, BPF",
         Holds.GONE, Holds.GONE, Holds.GONE),
    Need("free, user", "munmap, madvise", None, Holds.GONE, Holds.GONE),
    Need("free, kernel", "vfree: the kernel trusts itself not to touch it", None, None, Holds.GONE),
    Need("widen", "set_memory_rw"),
)  # fmt: skip
"""Every operation. Patched code is none: all CPUs serialise by a cross-call, whatever the protocol.
Page tables are given back behind a call that waits for completion, whatever the protocol."""


def unmet(shootdown: Shootdown) -> list[Need]:
    """Return the operations that need more when they go on than a protocol holds then."""
    return [one for one in NEEDS if shootdown.at_return < one.when_it_goes_on]
