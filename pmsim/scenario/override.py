"""Other values for some keys of a scenario, by dotted path: ``machine.cpus``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.scenario.faults import did_you_mean
from pmsim.scenario.model import DEFAULT_KERNEL
from pmsim.scenario.nodes import Leaf, List, Node, Table

_NAME_KEYS: Final = {"machine": "platform", "kernel": "profile"}
"""What a name alone stands for, so that keys can be laid beside it."""
TOGETHER: Final = "together"
"""What changes several keys at once: a name, and their values by dotted path."""
_EXCLUSIVE: Final = {"duration": "until", "until": "duration"}


def overridden(tree: Table, path: str, node: Node, names: Sequence[str]) -> Table:
    """Return a scenario's tree with one value replaced or added.

    Parameters
    ----------
    tree
        The scenario.
    path
        Keys joined by dots. A workload goes by its name or by its index from 0. ``together`` stands
        for several.
    node
        The value. It is checked when the tree is resolved, not here.
    names
        The names of the workloads, in order.

    Raises
    ------
    ScenarioError
        If the path leads nowhere; the fault stands at ``node``'s place and in no file.
    """
    if path == TOGETHER:
        return _all_overridden(tree, node, names)
    steps = path.split(".")
    if not all(steps):
        raise _nowhere(node, f"'{path}' is no path of keys", "for example machine.cpus")
    other = _EXCLUSIVE.get(path)
    if other is not None:
        tree = tree.without([other])
    if len(steps) > 1 and steps[0] in _NAME_KEYS:
        tree = _with_room(tree, steps[0])
    if steps[0] == "workloads" and len(steps) > 1:
        steps[1] = _index(steps[1], names, node)
    result = _replaced(tree, steps, node, path)
    assert isinstance(result, Table)
    return result


def _all_overridden(tree: Table, node: Node, names: Sequence[str]) -> Table:
    """Replace several values, in the order in which they stand behind their common name."""
    if not isinstance(node, Table) or not isinstance(node.get("name"), Leaf):
        hint = "for example {name: Arm, machine.platform: altra-max, kernel: linux-6.18-arm64}"
        message = f"a value of '{TOGETHER}' is a name, and keys of the scenario by dotted path"
        raise ScenarioError([Fault("", node.line, node.column, "bad-value", message, hint)])
    for key, value in node.items:
        if key.text == TOGETHER:
            raise _nowhere(key, f"'{TOGETHER}' stands in itself", "give its keys here")
        if key.text != "name":
            tree = overridden(tree, key.text, value, names)
    return tree


def _with_room(tree: Table, section: str) -> Table:
    """Make a mapping of a machine or kernel that is given by its name, or not at all."""
    named = tree.get(section)
    if named is None and section == "kernel":
        named = Leaf(DEFAULT_KERNEL)
    if not isinstance(named, Leaf):
        return tree
    key = Leaf(_NAME_KEYS[section], True, named.line, named.column)
    return tree.with_key(section, Table(((key, named),), named.line, named.column))


def _index(step: str, names: Sequence[str], node: Node) -> str:
    if step in names:
        return str(names.index(step))
    if step.isdecimal() and int(step) < len(names):
        return step
    raise _nowhere(node, f"there is no workload '{step}'", did_you_mean(step, names))


def _replaced(tree: Node, steps: Sequence[str], node: Node, path: str) -> Node:
    """Return a tree with the node at a path replaced; tables on the way are made where missing."""
    if not steps:
        return node
    step, rest = steps[0], steps[1:]
    if isinstance(tree, Table):
        below = tree.get(step)
        start = Table((), node.line, node.column) if below is None else below
        return tree.with_key(step, _replaced(start, rest, node, path))
    if isinstance(tree, List) and step.isdecimal() and int(step) < len(tree.items):
        items = list(tree.items)
        items[int(step)] = _replaced(items[int(step)], rest, node, path)
        return List(tuple(items), tree.line, tree.column)
    raise _nowhere(node, f"'{path}' leads nowhere: there are no keys at '{step}'", "")


def _nowhere(node: Node, message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault("", node.line, node.column, "bad-path", message, hint)])
