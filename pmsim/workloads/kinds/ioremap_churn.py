"""Devices mapped and unmapped, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.workloads.area_churn import Allocate, AreaChurn, Free
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.registry import workload

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("ioremap_churn")
class IoremapChurn(AreaChurn):
    """Device registers are mapped with ioremap and unmapped with iounmap, over and over.

    Stands for firmware tables that are mapped for each access (ACPI, EFI variables, hardware error
    records) and for drivers that are bound and unbound. Unmapped addresses gather with those of
    vfree. Left out: cache attributes, and the accesses themselves, which only take time (`use`).
    """

    revokes = False
    counted = "mappings"
    call = "ioremap"

    mappings: PositiveCount | None = Field(
        default=None, description="Devices that each task maps; none: without end."
    )

    def calls(self, kernel: KernelHandle) -> tuple[Allocate, Free]:
        """Return the kernel's calls that allocate and free an area."""
        return kernel.ioremap, kernel.iounmap
