"""``pmsim list``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from pmsim.cli import completing
from pmsim.cli.options import Protocols
from pmsim.cli.status import BAD_INPUT, leave, reporting

if TYPE_CHECKING:
    from rich.console import Console


NARROW: Final = 80
"""Columns of a terminal from which on an index has room for machines."""


class What(StrEnum):
    """What can be listed."""

    PLATFORMS = "platforms"
    KERNELS = "kernels"
    WORKLOADS = "workloads"
    SCENARIOS = "scenarios"
    PROTOCOLS = "protocols"
    EXPERIMENTS = "experiments"
    METRICS = "metrics"


class Definition(NamedTuple):
    """A key with its value, what it means and where that is written."""

    key: str
    value: str
    meaning: str
    source: str


def _complete_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return names of the kind of thing that is to be listed."""
    return completing.beginning(names_of(str(ctx.params.get("what", ""))), incomplete)


@reporting
def list_(
    what: Annotated[What, typer.Argument(metavar="WHAT", help="What to list.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="These alone, with their details. Default: all.",
            autocompletion=_complete_names,
        ),
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Everything that is known of each.")
    ] = False,
    _protocols: Protocols = None,
) -> None:
    """List platforms, kernels, workloads, scenarios, and more."""
    from pmsim.cli.console import Output

    known, show = _LISTS[what]
    chosen = list(known())
    if names:
        _check_names(what, names, chosen)
        chosen = names
    console = Output()
    if what in _LINES and not names and not details:
        _index(console, [(name, *_LINES[what](name)) for name in chosen])
        console.print(f"pmsim list {what.value} NAME: all of one")
        return
    for name in chosen:
        show(console, name, details or bool(names))


def names_of(what: str) -> list[str]:
    """Return the names of one kind of thing; none where there is no such kind."""
    return list(_LISTS[What(what)][0]()) if what in list(What) else []


def _check_names(what: What, names: Sequence[str], known: Sequence[str]) -> None:
    from pmsim.scenario.faults import did_you_mean

    for name in names:
        if name not in known:
            leave(
                BAD_INPUT,
                f"there is no '{name}' among the {what.value}: {did_you_mean(name, known)}",
            )


def _platforms() -> Iterable[str]:
    from pmsim.scenario.platform import platform_names

    return platform_names()


def _platform(console: Console, name: str, details: bool) -> None:
    from pmsim.scenario.platform import load_platform, platform_constants

    machine = load_platform(name)
    _entry(console, name, f"{machine.topology.n_cpus:,} CPUs. {machine.description}")
    if details:
        between = {one.path: one.between for one in machine.constants}
        _rows(
            console,
            ("constant", "value", "range", "basis", "source"),
            [
                (c.path, c.value, between.get(c.path, ""), c.basis, c.source)
                for c in platform_constants(name)
            ],
        )


def _kernels() -> Iterable[str]:
    from pmsim.kernel.profiles import profile_names

    return profile_names()


def _kernel(console: Console, name: str, details: bool) -> None:
    from pmsim.kernel.profiles import profile_standing, profile_summary

    _entry(console, name, f"{profile_summary(name)} [{profile_standing(name)}]")
    if details:
        from pmsim.scenario.needs import platforms_for

        _note(console, f"Runs on {', '.join(platforms_for(name))}.")
        _profile(console, name)


def _profile(console: Console, name: str) -> None:
    """Print what a profile says, and what follows from changes of it."""
    from pmsim.kernel.profiles import profile_implications, profile_like

    like = profile_like(name)
    if like is not None:
        _note(console, f"As {like}, apart from:")
    _definitions(console, _keys(name) if like is None else _differences(name))
    for one in profile_implications(name):
        _note(console, f"With {one.key}: {one.value} also:")
        _definitions(
            console,
            [_definition(key, value, source) for key, (value, source) in one.sets.items()],
        )


def _keys(name: str) -> list[Definition]:
    """Return everything that a profile says, for one that stands for itself."""
    from pmsim.kernel.profiles import as_written, profile_keys, profile_sources

    sources = profile_sources(name)
    return [
        _definition(key, as_written(value), sources[key])
        for key, value in profile_keys(name).items()
        if key != "name"
    ]


def _differences(name: str) -> list[Definition]:
    """Return what a profile does differently from the one that it is like."""
    from pmsim.kernel.profiles import profile_differences

    return [
        _definition(one.key, f"{one.value} instead of {one.other}", one.source)
        for one in profile_differences(name)
    ]


def _definition(key: str, value: str, source: str) -> Definition:
    from pmsim.kernel.profile import KernelProfile

    return Definition(key, value, KernelProfile.model_fields[key].description or "", source)


def _workloads() -> Iterable[str]:
    from pmsim.workloads.registry import workload_kinds

    return workload_kinds()


def _workload(console: Console, kind: str, details: bool) -> None:
    from pmsim.scenario.needs import kernels_with
    from pmsim.workloads.describe import key_docs
    from pmsim.workloads.registry import workload_kinds

    text = " ".join((workload_kinds()[kind].__doc__ or "").replace("``", "").split())
    _entry(console, kind, text)
    having = kernels_with(kind)
    if having is not None:
        _note(console, f"Kernels that have it: {', '.join(having)}.")
    keys = [(doc.name, doc.default, doc.description) for doc in key_docs(kind)]
    _rows(console, ("key", "default", "what it is"), keys)


def _scenarios() -> Iterable[str]:
    from pmsim.scenario.shipped import scenario_names

    return scenario_names()


def _scenario(console: Console, name: str, details: bool) -> None:
    from pmsim.scenario.scenario import load

    scenario = load(name)
    _entry(console, name, " ".join(scenario.description.split()))
    if details:
        kinds = [(one.name, one.kind) for one in scenario.resolve().workloads]
        _rows(console, ("workload", "kind"), kinds)


def _protocols() -> Iterable[str]:
    from pmsim.simulation.tables.protocols import PROTOCOLS

    return PROTOCOLS


def _protocol(console: Console, name: str, details: bool) -> None:
    from pmsim.scenario.needs import platforms_with
    from pmsim.simulation.tables.protocols import PROTOCOLS, Count, protocol_costs

    protocol = PROTOCOLS[name]
    _entry(console, name, protocol.text)
    _note(console, _where(platforms_with(name)))
    if details:
        facts = [
            ("who pays", protocol.pays),
            ("when the initiator goes on", protocol.at_return.words),
            *([("freed memory of user space", protocol.frees)] if protocol.frees else []),
            ("its costs", f"costs: {name} of the machine"),
            ("stands for", protocol.source),
            *protocol_costs(protocol),
        ]
        for option in protocol.options:
            if isinstance(option, Count):
                facts.append((option.name, f"{option.text} (default: {option.default})"))
                continue
            facts += [
                (f"{option.name}: {value.name}", f"{value.text}: {value.at_return.words}")
                for value in option.values
            ]
        _rows(console, ("what", "is"), facts)


def _where(platforms: Sequence[str]) -> str:
    """Say which machines know a protocol."""
    if len(platforms) == len(list(_platforms())):
        return "On every machine."
    if not platforms:
        return "On none of the shipped machines: a machine needs costs for it."
    return f"On {', '.join(platforms)}."


def _experiments() -> Iterable[str]:
    from pmsim.reproduction.experiment import experiment_names

    return experiment_names()


def _experiment(console: Console, name: str, details: bool) -> None:
    from pmsim.reproduction.experiment import load_experiment

    experiment = load_experiment(name)
    _entry(console, name, experiment.title)
    if details:
        from pmsim.report.truth import experiment_facts  # draws, and takes longer than all else

        _rows(console, ("what", "is"), list(experiment_facts(experiment).items()))
        figures = [
            (one.name, "" if one.at is None else str(one.at), one.use) for one in experiment.points
        ]
        _rows(console, ("point", experiment.axis, "may be used to"), figures)


def _metrics() -> Iterable[str]:
    from pmsim.simulation.answer.metrics import METRICS

    return METRICS


def _metric(console: Console, name: str, details: bool) -> None:
    from pmsim.simulation.answer.metrics import METRICS, column

    metric = METRICS[name]
    _entry(console, name, metric.sentence)
    if details:
        of_each = f"one {metric.dimension}, as {column(name, 'NAME')}"
        facts = [
            ("unit", metric.unit),
            ("kind", metric.kind),
            ("axis of a figure", metric.label),
            *([("is that of", of_each)] if metric.dimension else []),
        ]
        _rows(console, ("what", "is"), facts)


def _metric_line(name: str) -> tuple[str, str]:
    """Return the unit of a metric, and what it means."""
    from pmsim.simulation.answer.metrics import METRICS

    return METRICS[name].unit, METRICS[name].sentence


def _scenario_line(name: str) -> tuple[str, str]:
    """Return the machine that a scenario is about, and what it asks."""
    from pmsim.scenario.scenario import load

    scenario = load(name)
    return scenario.resolve().machine.name or "own machine", _first(scenario.description)


def _workload_line(kind: str) -> tuple[str, str]:
    """Return the architectures that have what a workload calls, if not all, and what it does."""
    from pmsim.scenario.needs import archs_with
    from pmsim.workloads.registry import workload_kinds

    return ", ".join(archs_with(kind)), _first(workload_kinds()[kind].__doc__ or "")


def _first(text: str) -> str:
    """Return the first sentence of a text."""
    return " ".join(text.replace("``", "").split()).partition(". ")[0].rstrip(".") + "."


_LINES: Mapping[What, Callable[[str], tuple[str, str]]] = {
    What.SCENARIOS: _scenario_line,
    What.WORKLOADS: _workload_line,
    What.METRICS: _metric_line,
}
"""Of long lists, what an index says of each on one line: what it needs, and a sentence."""

_LISTS: Mapping[What, tuple[Callable[[], Iterable[str]], Callable[[Console, str, bool], None]]] = {
    What.PLATFORMS: (_platforms, _platform),
    What.KERNELS: (_kernels, _kernel),
    What.WORKLOADS: (_workloads, _workload),
    What.SCENARIOS: (_scenarios, _scenario),
    What.PROTOCOLS: (_protocols, _protocol),
    What.EXPERIMENTS: (_experiments, _experiment),
    What.METRICS: (_metrics, _metric),
}
"""Of each kind of thing its names, and how one is printed."""


def _index(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """Print a line for each row, its end left out where it is too long."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    narrow = console.width < NARROW
    kept = [place for place in range(len(rows[0]))
            if any(row[place] for row in rows) and not (narrow and place == 1)]  # fmt: skip
    for place in kept:
        whole = max(len(row[place]) for row in rows) if place < len(rows[0]) - 1 else None
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=whole)
    for row in rows:
        table.add_row(*(Text(row[place], "" if place else "bold") for place in kept))
    console.print(table)


def _entry(console: Console, name: str, text: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(name, style="bold"))
    console.print(Padding(Text(text), (0, 0, 0, 4)))


def _note(console: Console, text: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style="italic"), (0, 0, 0, 4)))


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


def _definitions(console: Console, definitions: Sequence[Definition]) -> None:
    """Print each key with its value beside it, and below that what it means and its source."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in definitions:
        parts = [(one.value, "bold"), (one.meaning, ""), (f"source: {one.source}", "dim")]
        lines = [Text(" ".join(text.split()), style) for text, style in parts]
        table.add_row(Text(one.key), Text("\n").join(lines))
    console.print(Padding(table, (0, 0, 1, 4)))
