"""How much memory a process has taken."""

from __future__ import annotations

from pathlib import Path


def peak_kib() -> int:
    """Return the most memory that this process has had at once, in KiB.

    Linux keeps it with the address space. `getrusage` would also count the process that this one
    was forked from: a child of a large test run would seem as large itself.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0])
