"""Lists of CPUs as the kernel writes and reads them: ``2-63,96-127``, ``0-63:2/4``, ``all``.

The grammar is that of ``bitmap_parselist`` (lib/bitmap.c; since 6.6 lib/bitmap-str.c), which reads
``isolcpus=``, ``nohz_full=``, cpusets and ``taskset -c``: regions with commas or blanks between
them; ``N`` stands for the last CPU (5.13); ``0-63:2/4`` takes the first 2 of each 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pmsim.errors import CpuListError

_NUMBER: Final = "(?:N|[0-9]+)"
_REGION: Final = re.compile(
    f"(?:(?i:(?P<all>all))|(?P<start>{_NUMBER})(?:-(?P<end>{_NUMBER}))?)"
    f"(?::(?P<used>{_NUMBER})/(?P<group>{_NUMBER}))?"
)
_LARGEST: Final = 2**32 - 1
"""What a number of such a list may be: an ``unsigned int``."""

EXAMPLE: Final = "for example 2-63,96-127, or 0-63:2/4 for the first 2 of each 4"


def checked_cpulist(text: str) -> str:
    """Return a list of CPUs as it is written.

    Raises
    ------
    CpuListError
        If it is none on any machine.
    """
    for region in _regions(text):
        numbers = [match for match in region.groups()[1:] if match and match != "N"]
        too_large = next((one for one in numbers if int(one) > _LARGEST), None)
        if too_large is not None:
            raise CpuListError(
                f"{too_large} is no number of a CPU", code="out-of-range", hint=EXAMPLE
            )
        _check_order(region, None)
    return text


def cpus_of(written: str | int | tuple[int | str, ...], n_cpus: int) -> tuple[int, ...]:
    """Return the CPUs that a list names on a machine: of text ascending, each once.

    Parameters
    ----------
    written
        A list as the kernel writes them, a CPU's number, or several of both, which keep their
        order.
    n_cpus
        CPUs of the machine.

    Raises
    ------
    CpuListError
        If the text is no list there, or a CPU is not there.

    Examples
    --------
    >>> cpus_of("0-7:2/4,N", 12)
    (0, 1, 4, 5, 11)
    """
    if isinstance(written, tuple):
        return tuple(cpu for one in written for cpu in cpus_of(one, n_cpus))
    if isinstance(written, int):
        return (_there(written, n_cpus),)
    named: set[int] = set()
    for region in _regions(written):
        start, end, used, group = _check_order(region, n_cpus)
        _there(end, n_cpus)
        for first in range(start, end + 1, group):
            named.update(range(first, min(first + used, end + 1)))
    return tuple(sorted(named))


def format_cpulist(cpus: Iterable[int]) -> str:
    """Return the shortest list of plain ranges, as the kernel prints a mask (``%*pbl``)."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def _regions(text: str) -> list[re.Match[str]]:
    regions = []
    for part in re.split(r"[,\s]+", text.strip(", \t\r\n")):
        match = _REGION.fullmatch(part)
        # A single CPU has no pattern: the kernel wants a range before it.
        if part and (match is None or (match["group"] and not match["end"] and not match["all"])):
            raise CpuListError(f"'{part}' names no CPUs", hint=EXAMPLE)
        if match is not None:
            regions.append(match)
    return regions


def _check_order(region: re.Match[str], n_cpus: int | None) -> tuple[int, int, int, int]:
    """Return start, end, used and group of a region, as ``bitmap_check_region`` lets them pass.

    Where the machine is not known, ``N`` is larger than everything.
    """
    last = _LARGEST if n_cpus is None else n_cpus - 1

    def number(name: str, default: int) -> int:
        text = region[name]
        return default if text is None else last if text == "N" else int(text)

    start = number("start", 0)
    end = last if region["all"] else number("end", start)
    used, group = number("used", end + 1), number("group", end + 1)
    if start > end:
        raise CpuListError(f"'{region[0]}' ends before it begins", hint=EXAMPLE)
    if group == 0:
        raise CpuListError(f"'{region[0]}' has groups of no CPUs", hint=EXAMPLE)
    if used > group:
        raise CpuListError(f"'{region[0]}' takes more of a group than it has", hint=EXAMPLE)
    return start, end, used, group


def _there(cpu: int, n_cpus: int) -> int:
    if cpu >= n_cpus:
        raise CpuListError(
            f"CPU {cpu} is not on this machine",
            code="cpu-out-of-range",
            hint=f"it has {n_cpus}, numbered 0 to {n_cpus - 1}",
        )
    return cpu
