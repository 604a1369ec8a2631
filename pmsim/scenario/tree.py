"""A tree of nodes from YAML events: no recursion, and every budget checked on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from pmsim.errors import Fault, ScenarioError
from pmsim.scenario.nodes import Leaf, List, Node, Table

MAX_DEPTH: Final = 32
"""How deep mappings and lists may be nested; the format itself needs 8."""
MAX_NODES: Final = 100_000
"""How many values a document may have, each alias counted with all that it stands for."""
MAX_KEYS: Final = 1_000
"""How many keys one mapping may have."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRING_TAG: Final = "tag:yaml.org,2002:str"


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    is_table: bool
    line: int
    column: int
    anchor: str | None
    in_brackets: bool
    weight: int = 1
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Leaf, Node]] = field(default_factory=list)
    seen: dict[str, Leaf] = field(default_factory=dict)
    key: Leaf | None = None
    awaits_value: bool = False


class TreeBuilder:
    """Takes the events of a YAML stream and builds the tree of its only document.

    Parameters
    ----------
    file
        Name of the file in messages.

    Attributes
    ----------
    faults
        What was found so far and does not end the reading.
    """

    def __init__(self, file: str) -> None:
        self.faults: list[Fault] = []
        self._file = file
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._root: Node | None = None
        self._documents = 0
        self._total = 0
        self._handlers: dict[str, Callable[[Any, int, int], None]] = {
            "DocumentStartEvent": self._document,
            "ScalarEvent": self._scalar,
            "AliasEvent": self._alias,
            "SequenceStartEvent": self._list_start,
            "SequenceEndEvent": self._list_end,
            "MappingStartEvent": self._table_start,
            "MappingEndEvent": self._table_end,
        }

    def root(self) -> Node:
        """Return the tree; raise `ScenarioError` with all faults if there are any."""
        if self.faults:
            raise ScenarioError(self.faults)
        if self._root is None or self._root == Leaf("", True, self._root.line, self._root.column):
            self._end(1, 1, "empty-file", "the file says nothing", "`pmsim: 1` comes first")
        return self._root

    def take(self, event: Any) -> None:
        """Take the next event; raise `ScenarioError` where reading on makes no sense."""
        handler = self._handlers.get(type(event).__name__)
        if handler is not None:
            handler(event, event.start_mark.line + 1, event.start_mark.column + 1)

    def unclosed(self) -> tuple[int, int] | None:
        """Return the place of the innermost bracket or brace that is still open."""
        return next(((o.line, o.column) for o in reversed(self._open) if o.in_brackets), None)

    def _document(self, event: Any, line: int, column: int) -> None:
        self._documents += 1
        if self._documents > 1:
            self._end(line, column, "several-documents", "a second document begins here",
                      "one file, one scenario")  # fmt: skip
        if event.version not in (None, (1, 2)):
            version = ".".join(map(str, event.version))
            self._fault(line, column, "yaml-version", f"this is YAML {version}, not 1.2",
                        "leave the %YAML line out")  # fmt: skip

    def _scalar(self, event: Any, line: int, column: int) -> None:
        if _SURROGATE.search(event.value):
            self._fault(line, column, "not-text", "half of a surrogate pair is no character",
                        "write the character itself")  # fmt: skip
        tagged = event.tag is not None
        if tagged and event.tag not in (_STRING_TAG, "!"):
            self._tag_fault(event, line, column)
        parent = self._open[-1] if self._open else None
        if event.value == "" and event.style is None and parent is not None and parent.key:
            # Nothing stands behind a key: that is to be seen at the key.
            line, column = parent.key.line, parent.key.column
        leaf = Leaf(event.value, event.style is None and not tagged, line, column)
        self._count(1, line, column, "too-many-values")
        self._add(leaf, 1, event.anchor)

    def _list_start(self, event: Any, line: int, column: int) -> None:
        self._begin(event, line, column, is_table=False)

    def _table_start(self, event: Any, line: int, column: int) -> None:
        self._begin(event, line, column, is_table=True)

    def _list_end(self, event: Any, line: int, column: int) -> None:
        done = self._open.pop()
        self._add(List(tuple(done.items), done.line, done.column), done.weight, done.anchor)

    def _table_end(self, event: Any, line: int, column: int) -> None:
        done = self._open.pop()
        self._add(Table(tuple(done.pairs), done.line, done.column), done.weight, done.anchor)

    def _alias(self, event: Any, line: int, column: int) -> None:
        if event.anchor not in self._anchors:
            self._fault(line, column, "undefined-alias", f"there is no anchor '&{event.anchor}'",
                        "an anchor must stand before its aliases")  # fmt: skip
            self._add(Leaf("", True, line, column), 1, None)
            return
        target = self._anchors[event.anchor]
        if target is None:
            self._end(line, column, "recursive-alias", f"'*{event.anchor}' contains itself")
        node, weight = target
        self._count(weight, line, column, "alias-expansion")
        self._add(node, weight, None)

    def _begin(self, event: Any, line: int, column: int, *, is_table: bool) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._end(line, column, "too-deep", f"nested more than {MAX_DEPTH} deep",
                      "no scenario needs that")  # fmt: skip
        if event.tag is not None:
            self._tag_fault(event, line, column)
        self._count(1, line, column, "too-many-values")
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # until it is complete
        self._open.append(_Open(is_table, line, column, event.anchor, bool(event.flow_style)))

    def _add(self, node: Node, weight: int, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = (node, weight)
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.weight += weight
        if not parent.is_table:
            parent.items.append(node)
        elif not parent.awaits_value:
            parent.key = self._as_key(node, parent)
            parent.awaits_value = True
        else:
            if parent.key is not None:
                parent.pairs.append((parent.key, node))
            parent.awaits_value, parent.key = False, None

    def _as_key(self, node: Node, parent: _Open) -> Leaf | None:
        """Return a key, or ``None`` (with a fault) if it can be none here."""
        if not isinstance(node, Leaf):
            self._fault(node.line, node.column, "bad-key", "a key must be text")
            return None
        first = parent.seen.get(node.text)
        if first is not None:
            self._fault(node.line, node.column, "duplicate-key",
                        f"the key '{node.text}' stands here a second time",
                        f"the first is in line {first.line}")  # fmt: skip
            return None
        parent.seen[node.text] = node
        if len(parent.seen) > MAX_KEYS:
            self._end(node.line, node.column, "too-many-keys", f"more than {MAX_KEYS:,} keys")
        return node

    def _count(self, weight: int, line: int, column: int, code: str) -> None:
        self._total += weight
        if self._total > MAX_NODES:
            what = "aliases expand to" if code == "alias-expansion" else "the file has"
            self._end(line, column, code, f"{what} more than {MAX_NODES:,} values")

    def _tag_fault(self, event: Any, line: int, column: int) -> None:
        self._fault(line, column, "tag", f"the tag '{event.tag}' means nothing here",
                    "leave it out")  # fmt: skip

    def _fault(self, line: int, column: int, code: str, message: str, hint: str = "") -> None:
        self.faults.append(Fault(self._file, line, column, code, message, hint))

    def _end(self, line: int, column: int, code: str, message: str, hint: str = "") -> NoReturn:
        self._fault(line, column, code, message, hint)
        raise ScenarioError(self.faults)
