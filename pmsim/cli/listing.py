"""``pmsim list``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.status import reporting

if TYPE_CHECKING:
    from rich.console import Console


class What(StrEnum):
    """What can be listed."""

    PLATFORMS = "platforms"
    KERNELS = "kernels"
    WORKLOADS = "workloads"
    SCENARIOS = "scenarios"
    PROTOCOLS = "protocols"


@reporting
def list_(
    what: Annotated[What, typer.Argument(help="What to list.")],
    details: Annotated[
        bool, typer.Option("--details", help="Everything that is known of each.")
    ] = False,
) -> None:
    """List platforms, kernels, workloads, scenarios or protocols."""
    from pmsim.cli.console import Output

    _LISTS[what](Output(), details)


def _platforms(console: Console, details: bool) -> None:
    from pmsim.scenario.platform import load_platform, platform_constants, platform_names

    for name in platform_names():
        machine = load_platform(name)
        _entry(console, name, f"{machine.topology.n_cpus:,} CPUs. {machine.description}")
        if details:
            _rows(
                console,
                ("constant", "value", "basis", "source"),
                [(c.path, c.value, c.basis, c.source) for c in platform_constants(name)],
            )


def _kernels(console: Console, details: bool) -> None:
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.profiles import (
        profile_keys,
        profile_names,
        profile_sources,
        profile_summary,
    )

    for name in profile_names():
        _entry(console, name, profile_summary(name))
        if details:
            values, sources = profile_keys(name), profile_sources(name)
            _rows(
                console,
                ("key", "value", "what it is", "source"),
                [
                    (key, str(values[key]), field.description or "", sources.get(key, ""))
                    for key, field in KernelProfile.model_fields.items()
                    if key != "name"
                ],
            )


def _workloads(console: Console, details: bool) -> None:
    from pmsim.workloads.describe import key_docs
    from pmsim.workloads.registry import workload_kinds

    for kind, model in workload_kinds().items():
        text = " ".join((model.__doc__ or "").split())
        _entry(console, kind, text if details else text.partition(". ")[0].rstrip(".") + ".")
        keys = [(doc.name, doc.default, doc.description) for doc in key_docs(kind)]
        _rows(console, ("key", "default", "what it is"), keys)


def _scenarios(console: Console, details: bool) -> None:
    from pmsim.scenario.scenario import load
    from pmsim.scenario.shipped import scenario_names

    for name in scenario_names():
        scenario = load(name)
        _entry(console, name, " ".join(scenario.description.split()))
        if details:
            kinds = [(one.name, one.kind) for one in scenario.resolve().workloads]
            _rows(console, ("workload", "kind"), kinds)


def _protocols(console: Console, _details: bool) -> None:
    from pmsim.simulation.tables import PROTOCOLS

    for name, sentence in PROTOCOLS.items():
        _entry(console, name, sentence)


_LISTS = {
    What.PLATFORMS: _platforms,
    What.KERNELS: _kernels,
    What.WORKLOADS: _workloads,
    What.SCENARIOS: _scenarios,
    What.PROTOCOLS: _protocols,
}


def _entry(console: Console, name: str, text: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(name, style="bold"))
    console.print(Padding(Text(text), (0, 0, 0, 4)))


def _rows(console: Console, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(Padding(table, (0, 0, 1, 4)))
