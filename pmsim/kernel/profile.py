"""Kernel profiles: one generation of Linux on one architecture is one frozen record.

A profile is data (``pmsim/data/kernels/*.yaml``, read by `pmsim.kernel.profiles`): what generations
do differently is a value of a key here, or names a small strategy class; no code asks for a version
number.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.shootdown.ipi import SHORTHAND
from pmsim.hardware.shootdown.protocol import Protocol, Shootdown, with_options
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.shootdown.tlbi import REPEAT_SYNC, TLBI
from pmsim.kernel.keys.areas import AreaKeys
from pmsim.kernel.keys.code import CodeKeys
from pmsim.kernel.keys.permissions import PermissionKeys
from pmsim.kernel.keys.places import PlaceKeys
from pmsim.kernel.keys.telling import TellingKeys
from pmsim.quantities import PositiveSize, refused


class MissingCostsError(ValueError):
    """A kernel tells other CPUs in a way for which a machine gives no costs.

    Attributes
    ----------
    kernel, protocol
        Which kernel, and which way.
    """

    def __init__(self, kernel: str, protocol: Protocol) -> None:
        super().__init__(f"{kernel} needs a machine with costs for {protocol.name}")
        self.kernel = kernel
        self.protocol = protocol


class KernelProfile(CodeKeys, PermissionKeys, AreaKeys, PlaceKeys, TellingKeys):
    """One generation of the kernel on one architecture.

    Every key may be overridden in a scenario, as far as its profile allows. Sizes are in bytes,
    addresses are those of first bytes. The keys are those of its bases, from the last one on, in
    which order they are also validated.
    """

    pmalloc: Literal["v21", "v23", "prmem", "modern"] = Field(
        description="Which pmalloc stands in the kernel: v21; v23 or prmem, which followed it; or"
        " modern, v21 brought to a kernel that has VM_FLUSH_RESET_PERMS."
    )
    kmalloc_minalign: PositiveSize = Field(
        description="Alignment of what kmalloc returns, and of a pool that asks for none."
    )

    @model_validator(mode="after")
    def _has_what_pmalloc_needs(self) -> KernelProfile:
        if self.pmalloc == "modern" and not self.reset_perms:
            raise refused(
                "impossible",
                "pmalloc modern needs reset_perms: its areas are freed with VM_FLUSH_RESET_PERMS",
                "leave reset_perms true, or take v21, v23 or prmem",
                "pmalloc",
            )
        return self

    def shootdown_on(self, costs: MachineCosts) -> Shootdown:
        """Return how this kernel has other CPUs told on a machine of these costs.

        Raises
        ------
        MissingCostsError
            If the machine gives no costs for it.
        """
        if isinstance(self.shootdown, Shootdown):
            wanted = [self.shootdown]
        else:
            wanted = [Shootdown(PROTOCOLS[name]) for name in self.invalidate_by.split("_or_")]
        for one in wanted:
            if one.protocol.costs_on(costs) is not None:
                return self._with_errata(self._without_shorthand(one, costs), costs)
        raise MissingCostsError(self.name, wanted[-1].protocol)

    def _with_errata(self, shootdown: Shootdown, costs: MachineCosts) -> Shootdown:
        """Have a kernel repeat broadcasts on a machine that needs it, if it knows of that."""
        needed = costs.tlbi is not None and costs.tlbi.erratum_4118414
        if shootdown.protocol is not TLBI or not needed:
            return shootdown
        if shootdown.value(REPEAT_SYNC.name) != "native":
            return shootdown
        repeats = {**dict(shootdown.chosen), REPEAT_SYNC.name: self.repeat_tlbi}
        return with_options(TLBI, repeats)

    def _without_shorthand(self, shootdown: Shootdown, costs: MachineCosts) -> Shootdown:
        """Have a kernel leave alone what the machine's interrupt controller could do."""
        may = self.ipi_shorthand or not costs.ipi.shorthand
        if may or shootdown.value(SHORTHAND.name) != "native":
            return shootdown
        return with_options(shootdown.protocol, {**dict(shootdown.chosen), SHORTHAND.name: "false"})
