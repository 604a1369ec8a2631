"""What ``/proc/interrupts`` counts of calls between CPUs: the proof that a flush interrupted.

x86 counts flushes in the row ``TLB`` and calls in ``CAL`` (arch/x86/kernel/irq.c,
``arch_show_interrupts``). One of them alone may count a flush: kernels before 4.13 took flushes out
of ``CAL``, and a CPU that polls while it is idle is not interrupted, and counts ``TLB``. Other
architectures have a row *Function call interrupts*, whatever its number (arch/arm64/kernel/smp.c,
arch/riscv/kernel/smp.c, ``show_ipi_list``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.errors import ScenarioError
from pmsim.readers.interrupts import read_interrupts

PROC: Final = Path("/proc/interrupts")
_X86_ROWS: Final = ("TLB", "CAL")
_CALLS: Final = "function call interrupts"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted at an instant.

    Attributes
    ----------
    rows
        Of each row that counts calls between CPUs: the number of each CPU.
    """

    rows: Mapping[str, Mapping[int, int]]

    def since(self, before: Counts) -> dict[int, int]:
        """Return how many interrupts each CPU got since then, by the row that counted most."""
        cpus = {cpu for row in self.rows.values() for cpu in row}
        return {
            cpu: max(
                now.get(cpu, 0) - before.rows.get(name, {}).get(cpu, 0)
                for name, now in self.rows.items()
            )
            for cpu in cpus
        }


def read_counts(path: Path = PROC) -> Counts | None:
    """Return what is counted now, `None` where the counters are hidden or not there."""
    try:
        seen = read_interrupts(path)
    except ScenarioError:
        return None
    rows = {
        one.name: dict(zip(seen.cpus, one.counts, strict=True))
        for one in seen.lines
        if one.name in _X86_ROWS or one.words.lower().startswith(_CALLS)
    }
    return Counts(rows) if rows else None
