"""``pmsim check``."""

from __future__ import annotations

from typing import Annotated

import typer

from pmsim.cli import completing
from pmsim.cli.options import Protocols
from pmsim.cli.status import reporting, say
from pmsim.errors import Fault, ScenarioError
from pmsim.escaping import visible
from pmsim.formatting import counted


@reporting
def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Scenario files, or shipped scenarios.",
            autocompletion=completing.scenarios,
        ),
    ],
    _protocols: Protocols = None,
) -> None:
    """Say whether scenarios are valid, or everything that is wrong.

    Each fault comes with file, line, column and a hint.
    """
    from pmsim.scenario.scenario import load

    faults: list[Fault] = []
    for file in files:
        try:
            scenario = load(file).resolve()
        except ScenarioError as error:
            faults += error.faults
        else:
            cpus = counted(scenario.machine.topology.n_cpus, "CPU")
            kinds = visible(", ".join(one.name for one in scenario.workloads))
            say(f"{file}: valid: {cpus}, {scenario.kernel.name}, {kinds}")
    if faults:
        raise ScenarioError(faults)
