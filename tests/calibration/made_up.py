"""A machine that is known: cells made by the simulator from constants that a fit has to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pmsim.calibration.cells import Cell
from pmsim.calibration.host import Host, processor_of
from pmsim.calibration.load import Load
from pmsim.calibration.measured import Measured, judged
from pmsim.calibration.measuring import Session
from pmsim.calibration.model import Model, scenario_of, setup_of
from pmsim.calibration.platform_file import base_machine
from pmsim.calibration.topology import topology_of
from pmsim.units import NS, US

LIKE: Final = "kvm-milan"
KERNEL: Final = "linux-6.18-x86_64"
CPUINFO: Final = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7763
flags\t\t: fpu hypervisor
"""
TRUTH: Final[Mapping[str, int]] = {
    "costs.kernel.user_membarrier": 300 * NS,
    "costs.kernel.user_mprotect": 2 * US,
    "costs.kernel.user_madvise": 900 * NS,
    "costs.kernel.user_munmap": 2600 * NS,
    "costs.kernel.user_mapping_page": 60 * NS,
    "costs.kernel.user_page_free": 120 * NS,
    "costs.tlb.invlpg": 45 * NS,
    "host.exit": 2400 * NS,
    "host.inject": 5 * US,
    "costs.idle.0.exit": 7 * US,
}
"""Constants, none of them as on the platform that the fit starts from."""
ONE: Final = (1,)
CELLS: Final = (
    *(Cell("mprotect", pages=pages) for pages in (1, 8, 33, 34, 256)),
    *(Cell("madvise", pages=pages) for pages in (1, 33, 64, 256)),
    *(Cell("munmap", pages=pages) for pages in (1, 33, 64)),
    Cell("membarrier", pages=0, others="asleep", cpus=ONE),
    Cell("membarrier", pages=0, others="spinning", cpus=ONE),
    Cell("membarrier", "lost", 0, "spinning", ONE),
    *(Cell("mprotect", "call", pages, "spinning", ONE) for pages in (1, 33, 34)),
    Cell("mprotect", "lost", 33, "spinning", ONE),
    Cell("munmap_tables", others="idle", cpus=ONE, idle_ns=100_000),
)


def host(cpus: int = 2, cpuinfo: str = CPUINFO) -> Host:
    """Return a machine of some cores in one package."""
    cores = {cpu: (0, "", str(cpu)) for cpu in range(cpus)}
    return Host(
        "x86_64", "6.18.1", processor_of(cpuinfo), topology_of(cores), tuple(range(cpus)), True
    )


def model(cells: Sequence[Cell] = CELLS) -> Model:
    """Return the simulator for cells, on the platform that a fit starts from."""
    here = host()
    machine = base_machine(here, LIKE)
    return Model({cell: scenario_of(cell, setup_of(here, machine, KERNEL, cell)) for cell in cells})


def cells_of(simulator: Model, truth: Mapping[str, int] = TRUTH) -> list[Measured]:
    """Return cells as they would be measured on a machine without noise."""
    return [measured(cell, simulator.predict(cell, truth)) for cell in simulator.scenarios]


def measured(cell: Cell, ns: float, *, noise: float = 0.01) -> Measured:
    """Return a cell with a median: samples spread evenly around it."""
    samples = [round(ns * (1 + noise * step / 10)) for step in range(-15, 16)]
    return judged(cell, samples, 1.0, silent=False)


def session(cells: Sequence[Measured], others: float = 0.0) -> Session:
    """Return measuring that came to some cells, while other programs took a share of the CPUs."""
    return Session(tuple(cells), 20, 10, 2.0, Load(4.0, 2.0 + 4 * others, 0.0, 2.0))
