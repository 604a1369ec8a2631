"""A scenario: loaded from a file, by name or from plain data; changed by dotted paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pmsim.errors import Fault, ScenarioError
from pmsim.formatting import counted
from pmsim.scenario.faults import FaultList, did_you_mean
from pmsim.scenario.meant import refuse_others
from pmsim.scenario.nodes import IN_DATA, Leaf, List, Node, Table, node_in_data, node_of, path_at
from pmsim.scenario.override import TOGETHER, overridden
from pmsim.scenario.ranges import ends_of, is_range
from pmsim.scenario.read import parse, read_file
from pmsim.scenario.resolve import ResolvedScenario, resolve
from pmsim.scenario.shipped import scenario_names, shipped_scenario

MAX_SWEEP_VALUES: Final = 10_000
"""How many values all keys of a sweep may have together."""


@dataclass(frozen=True, repr=False)
class Scenario:
    """A valid scenario, as it was written.

    Get one with `load`, `from_text` or `from_dict`.

    Attributes
    ----------
    file
        Where it comes from, for messages.
    directory
        What relative paths in it start from.
    sweep
        The grid that it asks for: values by dotted path; empty without one.
    """

    file: str
    directory: Path
    sweep: Mapping[str, tuple[Any, ...]]
    _tree: Table
    _resolved: ResolvedScenario = field(compare=False)

    @classmethod
    def from_text(
        cls, text: str, file: str = "scenario", directory: Path | None = None
    ) -> Scenario:
        """Read a scenario from YAML text; raise `ScenarioError` with all its faults."""
        return _scenario(parse(text, file), file, directory or Path())

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], file: str = "scenario", directory: Path | None = None
    ) -> Scenario:
        """Make a scenario of plain data, as it would stand in a file; raise `ScenarioError`.

        Its faults name the dotted path of what is wrong.
        """
        if not isinstance(data, Mapping):
            raise TypeError(
                f"a scenario is made of a mapping of keys, not of {type(data).__name__}"
                " (pmsim.load reads a file, Scenario.from_text the text of one)"
            )
        return _scenario(node_in_data(data), file, directory or Path())

    @classmethod
    def from_node(cls, tree: Node, file: str, directory: Path) -> Scenario:
        """Make a scenario of a part of another file; raise `ScenarioError` with its places."""
        return _scenario(tree, file, directory)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._resolved.name

    @property
    def description(self) -> str:
        """The question, in words."""
        return self._resolved.description

    def resolve(self) -> ResolvedScenario:
        """Return what is simulated: platform and profile looked up, every default filled in."""
        return self._resolved

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, as it was written."""
        return self._tree.value()

    def with_(self, values: Mapping[str, Any] | None = None, /, **others: Any) -> Scenario:
        """Return the scenario with other values for some keys.

        Parameters
        ----------
        values, **others
            By dotted path; a workload goes by its name or index. Quantities are text with a unit,
            as in a file.

        Raises
        ------
        ScenarioError
            If a path leads nowhere, or the result has faults.
        TypeError
            If ``values`` is no mapping.

        Examples
        --------
        >>> import pmsim
        >>> small = pmsim.load("policy-load").with_({"machine.cpus": 8})
        """
        if values is not None and not isinstance(values, Mapping):
            raise TypeError(
                f"other values are given by dotted path, not as {type(values).__name__}:"
                ' with_({"machine.cpus": 8})'
            )
        given = {**(values or {}), **others}
        return self.with_nodes([(path, node_of(value)) for path, value in given.items()])

    def with_nodes(self, values: Sequence[tuple[str, Node]]) -> Scenario:
        """Return the scenario with other values, as `with_`, that stand somewhere in a file."""
        tree = self._tree
        names = [one.name for one in self._resolved.workloads]
        try:
            # What several keys are changed to together does not undo what one of them is to be.
            for path, node in sorted(values, key=lambda one: one[0] != TOGETHER):
                tree = overridden(tree, path, node, names)
            return _scenario(tree, self.file, self.directory)
        except ScenarioError as error:
            given = f"with {', '.join(path for path, _ in values)}"
            faults = [_in_values(fault, given, self.file) for fault in error.faults]
            raise ScenarioError(faults) from None

    def __repr__(self) -> str:
        one = self._resolved
        kinds = ", ".join(dict.fromkeys(workload.kind for workload in one.workloads))
        where = f"{one.machine.name} ({counted(one.machine.topology.n_cpus, 'CPU')})"
        return f"<pmsim.Scenario {one.name}: {kinds} on {where}, {one.kernel.name}>"

    def without_sweep(self) -> Scenario:
        """Return the scenario alone, less the grid that it asks for."""
        tree = self._tree.without(["sweep"])
        return replace(self, sweep={}, _tree=tree)


def load(path_or_name: str | Path) -> Scenario:
    """Return the scenario of a file, or one that pmsim ships, by its name.

    Parameters
    ----------
    path_or_name
        A path; or, where no such file exists, a name as `pmsim list scenarios` shows it. A
        directory is no such file: results often bear the name of their scenario.

    Raises
    ------
    ScenarioError
        With every fault of the file; or if there is none.
    TypeError
        For anything but a path or a name.
    """
    if not isinstance(path_or_name, str | Path):
        raise TypeError(
            f"a scenario is loaded by path or name, not from {type(path_or_name).__name__}"
            " (Scenario.from_dict takes a mapping)"
        )
    path, shown = Path(path_or_name), str(path_or_name)
    if not path.is_file() and path.name == shown:
        shipped = shipped_scenario(shown)
        if shipped is None and not path.suffix and not path.exists():
            message = f"there is no scenario '{shown}', and no such file"
            hint = did_you_mean(shown, scenario_names())
            raise ScenarioError([Fault(shown, 0, 0, "no-such-file", message, hint)])
        if shipped is not None:
            path, shown = shipped, shipped.name
    tree = read_file(path, shown)
    refuse_others(tree, shown, "scenario")
    return _scenario(tree, shown, path.parent)


def _scenario(tree: Node, file: str, directory: Path) -> Scenario:
    try:
        return _checked(tree, file, directory)
    except ScenarioError as error:
        raise ScenarioError([_with_path(fault, tree) for fault in error.faults]) from None


def _with_path(fault: Fault, tree: Node) -> Fault:
    """Say of a fault in plain data which key it is about; one in a file has its line."""
    if fault.line != IN_DATA:
        return fault
    path = path_at(tree, fault.line, fault.column)
    message = f"{path}: {fault.message}" if path else fault.message
    return replace(fault, line=0, column=0, message=message)


def _checked(tree: Node, file: str, directory: Path) -> Scenario:
    resolved = resolve(tree, file, directory)
    assert isinstance(tree, Table)
    sweep = tree.get("sweep")
    if isinstance(sweep, Table):
        _check_sweep(tree.without(["sweep"]), sweep, resolved, file, directory)
    values = sweep.value() if isinstance(sweep, Table) else {}
    return Scenario(file, directory, {k: tuple(v) for k, v in values.items()}, tree, resolved)


def _check_sweep(
    tree: Table, sweep: Table, resolved: ResolvedScenario, file: str, directory: Path
) -> None:
    """Check every value of a sweep by itself, of a range its ends.

    Raises
    ------
    ScenarioError
        With all that do not fit.
    """
    faults = FaultList(file)
    names = [one.name for one in resolved.workloads]
    total = sum(len(values.items) for _, values in sweep.items if isinstance(values, List))
    if total > MAX_SWEEP_VALUES:
        faults.at(sweep, "too-many-values", f"a sweep has at most {MAX_SWEEP_VALUES:,} values")
        faults.raise_if_any()
    for key, values in sweep.items:
        assert isinstance(values, List)
        for value in values.items:
            given = f"with {key.text}: {value.value()}"
            for one in _ends(value):
                try:
                    resolve(overridden(tree, key.text, one, names), file, directory)
                except ScenarioError as error:
                    faults.extend(_in_values(fault, given, file) for fault in error.faults)
    faults.raise_if_any()


def _ends(value: Node) -> list[Node]:
    """Return the ends of a range, and of all else the value itself."""
    if isinstance(value, Leaf) and is_range(value.value()):
        return [replace(value, text=end) for end in ends_of(value.text)]
    return [value]


def _in_values(fault: Fault, given: str, file: str) -> Fault:
    """Say of a fault that it comes with other values than the file's."""
    return replace(fault, file=fault.file or file, message=f"{given}: {fault.message}")
