"""A process whose pages the kernel moves to the nodes that use them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pmsim.errors import Fault
from pmsim.kernel.numa_balancing import SCAN_LOOKS, scan_pages
from pmsim.steps import Steps
from pmsim.units import PAGE_SIZE
from pmsim.workloads.keys import Count, UserPages
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.user_process import UserProcess
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

MOST_MAPPINGS = 65_530
"""Mappings that a process may have (include/linux/mm.h, ``DEFAULT_MAX_MAP_COUNT``)."""


@workload("numa_balancing")
class NumaBalancing(UserProcess):
    """A thread scans its process for the kernel, and pages fault.

    Stands for what ``kernel.numa_balancing``, which is on by default, does to a process that nobody
    has bound to nodes: a thread on its way back to user space takes the right to access from up to
    256 MiB, which is a flush for each mapping; each page then faults at its first use, and may be
    moved, which is none. The kernel scans once a second at first, down to once a minute. Left out:
    faults of the other threads; scans by them, which take turns.
    """

    changed: UserPages | None = Field(
        default=None,
        description="Pages that a scan makes fault; none: the kernel's most, which is 256 MiB:"
        " 65,536 of 4 KiB.",
    )
    scanned: UserPages | None = Field(
        default=None,
        description="Pages whose entries it looks at, at least those; none: the kernel's most, 2"
        " GiB. It looks at so many where most of them are not there, or fault already.",
    )
    mappings: Annotated[int, Field(ge=1, le=MOST_MAPPINGS, strict=True)] = Field(
        default=1, description="Mappings in which they lie."
    )
    used: Count = Field(default=0, description="Pages that the thread uses then, a fault for each.")
    moved: Count = Field(default=0, description="How many of these move to its node.")

    def change(self, kernel: KernelHandle) -> Steps:
        """Scan, and use some pages."""
        most = scan_pages(kernel.profile.page_size)
        scanned = SCAN_LOOKS * most if self.scanned is None else self.scanned
        changed = most if self.changed is None else self.changed
        yield from kernel.task_numa_work(changed, scanned=scanned, mappings=self.mappings)
        yield from kernel.do_numa_page(self.used, moved=self.moved)
        yield from kernel.task.user_compute(0)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault where the kernel has no NUMA balancing, and for more than it does."""
        yield from super().check(machine)
        kernel = machine.kernel
        if kernel is not None and not kernel.numa_balancing:
            message = f"{kernel.name} has no NUMA balancing"
            hint = "kernels of x86-64, arm64 and RISC-V have it"
            yield KeyFault(("kind",), "no-such-call", message, hint)
        most = scan_pages(PAGE_SIZE if kernel is None else kernel.page_size)
        changed = most if self.changed is None else self.changed
        if self.mappings > changed:
            message = f"{changed:,} pages cannot lie in {self.mappings:,} mappings"
            yield KeyFault(
                ("mappings",), "out-of-range", message, "at most a mapping for each page"
            )
        if self.used > most:
            message = f"{self.used:,} pages are more than a scan makes fault"
            yield KeyFault(("used",), "out-of-range", message, f"the largest is {most:,}")
