"""Which constants a run uses: it is simulated, and asked when it is over."""

from __future__ import annotations

from pmsim.scenario.known import KnownConstant
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.simulation.answer.used import constants_asked_for
from pmsim.simulation.run.build import build


def constants_used(scenario: ResolvedScenario) -> list[KnownConstant]:
    """Return the constants that the first replication of a scenario asks for.

    Raises
    ------
    SimulationError
        If something goes wrong in simulated time.
    """
    simulation = build(scenario, 0)
    simulation.machine.run(scenario.duration)
    return constants_asked_for(scenario.machine, simulation.asked)
