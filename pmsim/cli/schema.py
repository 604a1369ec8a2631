"""``pmsim schema``."""

from __future__ import annotations

import json

import typer

from pmsim.cli.options import Protocols
from pmsim.cli.status import reporting


@reporting
def schema(_protocols: Protocols = None) -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from pmsim.scenario.schema import schema as scenario_schema

    typer.echo(json.dumps(scenario_schema(), indent=2))
