"""Machines by name, by file, or written into a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from pmsim.errors import CpuListError, Fault, ScenarioError
from pmsim.inputs import is_file
from pmsim.scenario.costs import OwnKeys, own_protocols, protocol_keys
from pmsim.scenario.faults import FaultList, did_you_mean, validated
from pmsim.scenario.known import known_constants
from pmsim.scenario.machine import (
    MachineDescription,
    MachineKeys,
    PhasesError,
    TooManyCpusError,
    describe,
)
from pmsim.scenario.meant import refuse_others
from pmsim.scenario.nodes import Leaf, Node, Table, find, merged, node_of
from pmsim.scenario.read import parse, read_file
from pmsim.scenario.sources import GivenConstant, Unsourcing

MOST_SHOWN: Final = 60
"""Letters of a name that messages show."""
_SOURCED: Final = ("topology", "costs", "host")


def platform_names() -> list[str]:
    """Return the names of the platforms that pmsim ships."""
    names = [file.name for file in _folder().iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_platform(name_or_path: str, directory: Path | None = None) -> MachineDescription:
    """Return a machine by name, or from a file of its own.

    Parameters
    ----------
    name_or_path
        The name of a platform that pmsim ships, or (with a ``/``, or ending in ``.yaml``) a path.
    directory
        What a relative path starts from; the working directory if omitted.

    Raises
    ------
    ScenarioError
        If there is no such platform, or its file has faults.

    Examples
    --------
    >>> from pmsim.scenario.platform import load_platform
    >>> load_platform("skylake-sp-2s").topology.n_cpus
    56
    """
    tree, file = _platform_tree(name_or_path, directory or Path())
    faults = FaultList(file)
    machine = _machine(tree, faults)
    faults.raise_if_any()
    assert machine is not None
    return machine


def platform_constants(name_or_path: str) -> list[GivenConstant]:
    """Return every constant of a platform with what it rests on, in the order of its file."""
    tree, file = _platform_tree(name_or_path, Path())
    unsourcing = Unsourcing(FaultList(file))
    for section in _SOURCED:
        below = tree.get(section) if isinstance(tree, Table) else None
        if below is not None:
            unsourcing.bare(below, (section,))
    return unsourcing.constants


def platform_data(name_or_path: str) -> dict[str, Any]:
    """Return a platform as plain data, as its file has it, sources and ranges included.

    Raises
    ------
    ScenarioError
        If there is no such platform, or its file has faults.
    """
    load_platform(name_or_path)
    tree, _ = _platform_tree(name_or_path, Path())
    assert isinstance(tree, Table)
    return tree.value()


def machine_of(node: Node, faults: FaultList, directory: Path) -> MachineDescription | None:
    """Return the machine that stands behind ``machine:`` in a scenario.

    Parameters
    ----------
    node
        A name, a path, ``{platform: NAME, ...}`` with keys that replace the platform's, or a
        machine described in full.
    faults
        Where faults go; ``None`` is returned if there are any.
    directory
        What relative paths start from.
    """
    if isinstance(node, Leaf) and isinstance(node.value(), str):
        return _machine_by_name(node, faults, directory)
    if not isinstance(node, Table):
        faults.at(node, "wrong-type", "a machine is a name, a path or a mapping",
                  "for example: machine: skylake-sp-2s")  # fmt: skip
        return None
    platform = node.get("platform")
    if platform is None:
        return None if _misspelt(node, faults) else _machine(node, faults)
    if not isinstance(platform, Leaf):
        faults.at(platform, "wrong-type", "a platform is a name or a path")
        return None
    return _overridden(node, platform, faults, directory)


def _misspelt(node: Table, faults: FaultList) -> bool:
    """Report a key that is almost ``platform``, rather than all that a full machine would need."""
    names = [key.text for key, _ in node.items]
    near = get_close_matches("platform", names, n=1, cutoff=0.75)
    if not near:
        return False
    key = node.key(near[0])
    assert key is not None
    faults.at(key, "unknown-key", f"unknown key '{key.text}'", "did you mean platform?")
    return True


def _machine_by_name(node: Leaf, faults: FaultList, directory: Path) -> MachineDescription | None:
    try:
        return load_platform(node.text, directory)
    except ScenarioError as error:
        _report(error, node, faults)
        return None


def _overridden(
    node: Table, platform: Leaf, faults: FaultList, directory: Path
) -> MachineDescription | None:
    """Lay the keys of a scenario over those of a platform."""
    try:
        base, file = _platform_tree(platform.text, directory)
        base, given = _bare(base, FaultList(file))
    except ScenarioError as error:
        _report(error, platform, faults)
        return None
    # What comes from the platform's file stands, for messages, where the scenario names it.
    placed = node_of(base.value(), platform.line, platform.column)
    before = FaultList(faults.file)
    over, own = _bare(node.without(["platform"]), before)
    kept = [one for one in given if not any(other.covers(one.path) for other in own)]
    return _described(merged(placed, over), [*kept, *own], before, faults)


def _machine(node: Node, faults: FaultList) -> MachineDescription | None:
    before = FaultList(faults.file)
    return _described(*_bare(node, before), before, faults)


def _described(
    tree: Node, given: Sequence[GivenConstant], before: FaultList, faults: FaultList
) -> MachineDescription | None:
    """Return the machine of a tree without sources; its faults join those found before."""
    tree, own = _own_costs(tree, before)
    keys = validated(MachineKeys, tree, before)
    machine = None
    if keys is not None:
        try:
            known = known_constants(keys.costs, keys.host, own, given, before)
            machine = describe(keys, known, own)
        except CpuListError as error:
            before.at(find(tree, ("isolated",)), error.code, error.message, error.hint)
        except TooManyCpusError as error:
            where = find(tree, ("cpus",) if keys.cpus is not None else ("topology",))
            before.at(where, error.code, str(error), error.hint)
        except PhasesError as error:
            before.at(find(tree, ("host", "phases")), "bad-value", str(error), error.hint)
        except ValueError as error:
            where = find(tree, ("topology", "hops") if "hops" in str(error) else ("topology",))
            before.at(where, "bad-topology", str(error))
    faults.extend(before.faults)
    return None if before else machine


def _own_costs(tree: Node, faults: FaultList) -> tuple[Node, list[OwnKeys]]:
    """Return a machine's tree without the costs of protocols that are not pmsim's own, and these.

    Which there are is known only now, so that the model of a machine's keys cannot have them.
    """
    costs = tree.get("costs") if isinstance(tree, Table) else None
    if not isinstance(costs, Table):
        return tree, []
    named = {name: one for name, one in own_protocols().items() if costs.get(name) is not None}
    own = []
    for name, protocol in named.items():
        node = costs.get(name)
        assert node is not None
        keys = validated(protocol_keys(protocol), node, faults)
        own += [OwnKeys(protocol, keys)] if keys is not None else []
    assert isinstance(tree, Table)
    return (tree.with_key("costs", costs.without(list(named))) if named else tree), own


def _bare(node: Node, faults: FaultList) -> tuple[Node, list[GivenConstant]]:
    """Return a machine's tree without sources, and what these said of each constant."""
    unsourcing = Unsourcing(faults)
    if isinstance(node, Table):
        for section in _SOURCED:
            below = node.get(section)
            if below is not None:
                node = node.with_key(section, unsourcing.bare(below, (section,)))
    return node, unsourcing.constants


def _report(error: ScenarioError, node: Node, faults: FaultList) -> None:
    """Report the faults of a platform: those without a place where the scenario names it."""
    placed = [
        fault if fault.line else replace(fault, file=faults.file, line=node.line,
                                         column=node.column, message=_named(fault))
        for fault in error.faults
    ]  # fmt: skip
    faults.extend(placed)


def _named(fault: Fault) -> str:
    if fault.code == "unknown-platform":
        return fault.message
    return f"{fault.file}: {fault.message}"


def _folder() -> Traversable:
    return resources.files("pmsim") / "data" / "platforms"


def is_path(text: str) -> bool:
    """Return whether what stands for a machine is a file's path, not a platform's name."""
    return "/" in text or text.endswith((".yaml", ".yml"))


def _platform_tree(name_or_path: str, directory: Path) -> tuple[Node, str]:
    """Return the tree of a platform's file, and the file's name in messages."""
    if is_path(name_or_path):
        path = directory / name_or_path
        tree = read_file(path)
        refuse_others(tree, str(path), "machine")
        return tree, str(path)
    return _shipped(name_or_path)


@cache
def _shipped(name: str) -> tuple[Node, str]:
    names = platform_names()
    if name not in names:
        hint = did_you_mean(name, names)
        if is_file(Path(name)):
            hint = f"for the file of this name: ./{name}"
        shown = name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..."
        message = f"there is no platform '{shown}'"
        raise ScenarioError([Fault("machine", 0, 0, "unknown-platform", message, hint)])
    file = f"{name}.yaml"
    return parse((_folder() / file).read_text(encoding="utf-8"), file), file
