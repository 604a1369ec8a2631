"""How much code of BPF programs there may be: ``net.core.bpf_jit_limit``.

Stands for ``bpf_jit_charge_modmem`` and ``bpf_jit_uncharge_modmem`` (kernel/bpf/core.c, since 4.20,
ede95a63b5e8): the images of all programs are counted, and whoever may not load any program
(``bpf_capable``; before 5.8 ``CAP_SYS_ADMIN``) is refused beyond the limit. Those who may are
counted, too, and never refused for it.
"""

from __future__ import annotations

from pmsim.units import Bytes


class JitLimit:
    """The code of all programs, counted against a limit.

    Parameters
    ----------
    limit
        Bytes; 0: none.

    Attributes
    ----------
    limit, current
        Bytes that there may be, and are.
    """

    def __init__(self, limit: Bytes) -> None:
        self.limit = limit
        self.current = 0

    def charge(self, size: Bytes, *, capable: bool) -> bool:
        """Count an image; return whether it may be, and count it not where it may not."""
        if self.limit and not capable and self.current + size > self.limit:
            return False
        self.current += size
        return True

    def uncharge(self, size: Bytes) -> None:
        """Count an image no more."""
        self.current -= size
