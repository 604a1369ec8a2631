"""Devices mapped and unmapped, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.workloads.area_churn import AreaChurn
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.registry import workload
from pmsim.workloads.task import Steps

if TYPE_CHECKING:
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.addresses.vmalloc import Allocation
    from pmsim.kernel.handle import KernelHandle


@workload("ioremap_churn")
class IoremapChurn(AreaChurn):
    """Device registers are mapped with ioremap and unmapped with iounmap, over and over.

    Stands for firmware tables that are mapped for each access (ACPI, EFI variables, hardware error
    records) and for drivers that are bound and unbound. Unmapped addresses gather with those of
    vfree. Left out: cache attributes, and the accesses themselves, which only take time (`use`).
    """

    counted = "mappings"
    call = "ioremap"

    mappings: PositiveCount | None = Field(
        default=None, description="Devices that each task maps; none: without end."
    )

    def allocate(self, kernel: KernelHandle, size: int) -> Allocation:
        """Map a device."""
        return kernel.ioremap(size)

    def free(self, kernel: KernelHandle, area: VmArea) -> Steps:
        """Unmap it."""
        return kernel.iounmap(area)
