"""Where a constant comes from.

It is written ``{value: 100ns, basis: derived, source: "...", range: [80ns, 1us]}``. Any value below
``topology`` and ``costs`` may be written so. The value takes the mapping's place before the
models see it; basis, source and range are kept aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pmsim.constants import Basis
from pmsim.scenario.faults import FaultList, did_you_mean
from pmsim.scenario.nodes import Leaf, List, Node, Step, Table

BASES: Final[Mapping[Basis, str]] = {
    "measured": "measured on that very machine",
    "quoted": "read in a publication, a commit message or a mail",
    "derived": "arithmetic on quoted values",
    "memory": "from vendors' documents, not checked against them",
    "estimate": "a guess",
}
"""What a constant may rest on, best first."""

_KEYS: Final = ("value", "basis", "source", "range")


@dataclass(frozen=True, slots=True)
class GivenConstant:
    """One constant as a machine's file gives it, and what it rests on.

    Attributes
    ----------
    path
        Its keys, as in ``costs.ipi.queue``.
    value
        As written; for a table, its entries.
    basis
        One of `BASES`; empty where the file does not say.
    source
        In words; empty where the file does not say.
    range
        The ends of the range in which it may lie, as written; `None` where the file does not say.
    """

    path: str
    value: str
    basis: str
    source: str
    range: tuple[Leaf, Leaf] | None = None

    def covers(self, path: str) -> bool:
        """Return whether it is what stands at a path, or above or below it."""
        here, there = f"{self.path}.", f"{path}."
        return here.startswith(there) or there.startswith(here)


class Unsourcing:
    """Takes bases and sources out of a tree.

    Parameters
    ----------
    faults
        Where faults go.

    Attributes
    ----------
    constants
        Every constant met, in the order of the file.
    """

    def __init__(self, faults: FaultList) -> None:
        self.constants: list[GivenConstant] = []
        self._faults = faults

    def bare(self, node: Node, path: tuple[Step, ...] = ()) -> Node:
        """Return the tree with each ``{value, basis, source}`` replaced by its value."""
        if isinstance(node, Table) and node.get("value") is not None:
            return self._value_of(node, path)
        if isinstance(node, Table):
            items = tuple((key, self.bare(below, (*path, key.text))) for key, below in node.items)
            return replace(node, items=items)
        if isinstance(node, List):
            items_ = tuple(self.bare(below, (*path, i)) for i, below in enumerate(node.items))
            return replace(node, items=items_)
        if path and path[-1] != "name":  # a state's name is no constant
            self._note(node, path)
        return node

    def _value_of(self, node: Table, path: tuple[Step, ...]) -> Node:
        for key, _ in node.items:
            if key.text not in _KEYS:
                hint = did_you_mean(key.text, _KEYS)
                self._faults.at(key, "unknown-key", f"unknown key '{key.text}'", hint)
        basis, source = self._text(node, "basis"), self._text(node, "source")
        if basis and basis not in BASES:
            place = node.get("basis") or node
            message = f"'{basis}' is no basis of a constant"
            self._faults.at(place, "bad-value", message, did_you_mean(basis, BASES))
        value = node.get("value")
        assert value is not None
        self._note(value, path, basis, source, self._range(node))
        return value

    def _range(self, node: Table) -> tuple[Leaf, Leaf] | None:
        given = node.get("range")
        if given is None:
            return None
        items = given.items if isinstance(given, List) else ()
        leaves = [item for item in items if isinstance(item, Leaf)]
        if len(leaves) != 2 or len(items) != 2:
            self._faults.at(given, "wrong-type", "a range is a list of two values",
                            "the lower end first, for example [50ns, 200ns]")  # fmt: skip
            return None
        return leaves[0], leaves[1]

    def _text(self, node: Table, name: str) -> str:
        leaf = node.get(name)
        if leaf is None:
            return ""
        if isinstance(leaf, Leaf) and isinstance(leaf.value(), str):
            return " ".join(leaf.text.split())
        self._faults.at(leaf, "wrong-type", f"'{name}' is no text")
        return ""

    def _note(
        self,
        value: Node,
        path: tuple[Step, ...],
        basis: str = "",
        source: str = "",
        ends: tuple[Leaf, Leaf] | None = None,
    ) -> None:
        dotted = ".".join(map(str, path))
        self.constants.append(GivenConstant(dotted, _shown(value), basis, source, ends))


def _shown(node: Node) -> str:
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, List):
        return ", ".join(_shown(item) for item in node.items)
    return ", ".join(f"{key.text} {_shown(below)}" for key, below in node.items)
