"""A YAML document as a tree of nodes, each with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

Step = str | int
"""One step down the tree: a key of a mapping or an index of a list."""

_NULL: Final = re.compile(r"|~|null|Null|NULL")
_TRUE: Final = re.compile(r"true|True|TRUE")
_FALSE: Final = re.compile(r"false|False|FALSE")
# Longer rows of digits are no number that a scenario could mean; they stay text.
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,40}")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]{1,40}")
_FLOAT: Final = re.compile(
    r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
)
_NO_NUMBER: Final = re.compile(r"([-+]?)\.(?:(inf|Inf|INF)|(nan|NaN|NAN))")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: its text, and whether it stood without quotes.

    Attributes
    ----------
    line, column
        Place of the first character, both counted from 1; 0 for what stands in no file.
    """

    text: str
    plain: bool = True
    line: int = 0
    column: int = 0

    def value(self) -> Any:
        """Return what the text means: null, bool, int, float or str by YAML 1.2's core schema.

        So ``yes``, ``on`` and ``12:30`` are text, as they look.
        """
        if not self.plain:
            return self.text
        for pattern, meaning in ((_NULL, None), (_TRUE, True), (_FALSE, False)):
            if pattern.fullmatch(self.text):
                return meaning
        for pattern, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
            if pattern.fullmatch(self.text):
                return int(self.text, base)
        if _FLOAT.fullmatch(self.text):
            return float(self.text)
        if match := _NO_NUMBER.fullmatch(self.text):
            sign, infinite, _ = match.groups()
            return float(f"{sign}inf" if infinite else "nan")
        return self.text


@dataclass(frozen=True, slots=True)
class List:
    """A list of nodes."""

    items: tuple[Node, ...]
    line: int = 0
    column: int = 0

    def value(self) -> list[Any]:
        """Return it as plain data."""
        return [item.value() for item in self.items]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; its keys are text, each with a place of its own, and differ from each other."""

    items: tuple[tuple[Leaf, Node], ...]
    line: int = 0
    column: int = 0

    def value(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {key.text: node.value() for key, node in self.items}

    def get(self, name: str) -> Node | None:
        """Return the node behind a key, ``None`` where it is absent."""
        return next((node for key, node in self.items if key.text == name), None)

    def key(self, name: str) -> Leaf | None:
        """Return a key itself, ``None`` where it is absent."""
        return next((key for key, _ in self.items if key.text == name), None)

    def without(self, names: Iterable[str]) -> Table:
        """Return the table less some keys."""
        unwanted = set(names)
        return replace(self, items=tuple(kv for kv in self.items if kv[0].text not in unwanted))

    def with_key(self, name: str, node: Node) -> Table:
        """Return the table with a key replaced in its place, or added at the end."""
        if self.get(name) is None:
            key = Leaf(name, True, node.line, node.column)
            return replace(self, items=(*self.items, (key, node)))
        items = tuple((key, node if key.text == name else old) for key, old in self.items)
        return replace(self, items=items)


Node = Leaf | List | Table


def child(node: Node, step: Step) -> Node | None:
    """Return the node one step down, ``None`` where there is none."""
    if isinstance(node, Table):
        return node.get(str(step))
    if isinstance(node, List) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def find(node: Node, path: Iterable[Step]) -> Node:
    """Return the node at a path, or the last one on the way that exists."""
    for step in path:
        below = child(node, step)
        if below is None:
            return node
        node = below
    return node


def node_of(data: Any, line: int = 0, column: int = 0) -> Node:
    """Make a node of plain data, all of it at one place.

    Text becomes quoted text, so that it stays text.
    """
    if isinstance(data, Mapping):
        items = tuple((Leaf(str(k), True, line, column), node_of(v, line, column))
                      for k, v in data.items())  # fmt: skip
        return Table(items, line, column)
    if isinstance(data, list | tuple):
        return List(tuple(node_of(item, line, column) for item in data), line, column)
    if isinstance(data, str):
        return Leaf(data, False, line, column)
    if data is None or isinstance(data, bool):
        return Leaf({None: "null", True: "true", False: "false"}[data], True, line, column)
    return Leaf(_number(data), True, line, column)


IN_DATA: Final = -1
"""The line of nodes that stand in no file, but each at a place of its own, its column."""


def node_in_data(data: Any, columns: Iterator[int] | None = None) -> Node:
    """Make a node of plain data, each node below it at a place of its own; see `path_at`."""
    columns = count(1) if columns is None else columns
    column = next(columns)
    if isinstance(data, Mapping):
        items = tuple(
            (Leaf(str(key), True, IN_DATA, next(columns)), node_in_data(value, columns))
            for key, value in data.items()
        )
        return Table(items, IN_DATA, column)
    if isinstance(data, list | tuple):
        return List(tuple(node_in_data(item, columns) for item in data), IN_DATA, column)
    return node_of(data, IN_DATA, column)


def path_at(tree: Node, line: int, column: int) -> str | None:
    """Return the dotted path of what stands at a place; None where nothing below does."""
    if (tree.line, tree.column) == (line, column):
        return ""
    below: Iterable[tuple[str, tuple[Node, ...]]] = ()
    if isinstance(tree, Table):
        below = ((key.text, (key, node)) for key, node in tree.items)
    elif isinstance(tree, List):
        below = ((str(place), (item,)) for place, item in enumerate(tree.items))
    for name, nodes in below:
        for node in nodes:
            found = path_at(node, line, column)
            if found is not None:
                return f"{name}.{found}" if found else name
    return None


def _number(data: Any) -> str:
    text = str(data)
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)


def merged(base: Node, over: Node) -> Node:
    """Lay one tree over another: tables key by key, everything else replaced whole.

    A table whose keys are places in a list, from 0, is laid over those of its items.
    """
    if isinstance(base, List) and isinstance(over, Table) and _places(over, len(base.items)):
        items = list(base.items)
        for key, node in over.items:
            items[int(key.text)] = merged(items[int(key.text)], node)
        return replace(base, items=tuple(items))
    if not (isinstance(base, Table) and isinstance(over, Table)):
        return over
    result = base
    for key, node in over.items:
        old = base.get(key.text)
        result = result.with_key(key.text, node if old is None else merged(old, node))
    return result


def _places(table: Table, length: int) -> bool:
    """Return whether the keys of a table are places in a list of some length."""
    names = [key.text for key, _ in table.items]
    return bool(names) and all(name.isdecimal() and int(name) < length for name in names)
