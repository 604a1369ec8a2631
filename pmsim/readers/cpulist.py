"""The kernel's lists of CPUs: ``0-3,8``."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def read_cpulist(text: str) -> tuple[int, ...]:
    """Return the CPUs of a list such as ``2-7,16``, in its order.

    Raises
    ------
    ValueError
        If it is none.
    """
    cpus: list[int] = []
    for part in text.replace(" ", "").split(","):
        found = _PART.fullmatch(part)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"'{text}' is no list of CPUs such as 2-7,16")
        cpus += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(cpus)


def write_cpulist(cpus: tuple[int, ...] | list[int]) -> str:
    """Return CPUs as such a list, ascending."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in parts)
