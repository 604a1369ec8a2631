"""``pmsim.calibrate``: this machine, measured and fitted."""

from __future__ import annotations

from typing import Final

from pmsim.calibration.calibration import Calibration
from pmsim.calibration.cells import plan
from pmsim.calibration.fit import fit
from pmsim.calibration.host import read_host
from pmsim.calibration.measuring import Report, measure
from pmsim.calibration.model import Model, scenario_of, setup_of
from pmsim.calibration.platform_file import base_machine
from pmsim.errors import CalibrationError
from pmsim.kernel.profiles import load_profile
from pmsim.scenario.platform import load_platform
from pmsim.units import NS

SECONDS: Final = 15.0
"""How long is measured where nothing else is asked for."""
LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 3600.0
SHALLOW_NS: Final = 100_000
"""How long a sleeper's CPU has been idle in cells of the first idle state."""
DEEPEST_NS: Final = 5_000_000
"""The longest that is waited for a sample: deeper states than that allows are left out."""


def calibrate(
    seconds: float = SECONDS,
    like: str | None = None,
    kernel: str | None = None,
    report: Report | None = None,
) -> Calibration:
    """Measure this machine, and fit a platform to it.

    Parameters
    ----------
    seconds
        How long is measured, about; compiling and fitting come on top.
    like
        The platform from which it takes what cells do not tell; the nearest one where not given.
    kernel
        The profile that cells are simulated with; that of this machine's kernel where not given.
    report
        Called with the tenths of a second that were measured, and of how many.

    Returns
    -------
    Calibration
        Cells, fitted constants, and how well held-out cells are met; ``save`` writes files.

    Raises
    ------
    CalibrationError
        If this machine cannot be measured, or too few cells count.
    ScenarioError
        If there is no such platform or kernel, or they do not fit together.
    """
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise CalibrationError(f"measuring takes {LEAST_SECONDS} to {MOST_SECONDS:,.0f} seconds")
    host = read_host()
    like, kernel = like or host.like, kernel or host.kernel
    profile = load_profile(kernel)
    cells = plan(profile.user_ceiling, host.nearest, host.farther, idle_times(like))
    machine = base_machine(host, like)
    scenarios = {cell: scenario_of(cell, setup_of(host, machine, kernel, cell)) for cell in cells}
    silent = profile.invalidate_by == "tlbi"
    session = measure(cells, host.cpu, seconds, silent=silent, report=report)
    found = fit(Model(scenarios), session.cells)
    return Calibration(host, like, kernel, session, found)


def idle_times(like: str) -> list[int]:
    """Return how long a sleeper's CPU is to have been idle, for each idle state of a platform.

    A bit longer than the state's residency, and not so long as the next one's.
    """
    residencies = [state.residency // NS for state in load_platform(like).costs.idle]
    times = []
    for place, residency in enumerate(residencies):
        wanted = max(4 * residency, SHALLOW_NS)
        later = residencies[place + 1 : place + 2]
        if later and wanted * 5 // 4 >= later[0]:
            wanted = (max(residency, 1) + later[0]) // 2
        if wanted <= DEEPEST_NS:
            times.append(wanted)
    return times
