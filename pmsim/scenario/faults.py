"""From what a model refuses to faults with a place, a code and a hint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pmsim.errors import Fault, ScenarioError, UnitError
from pmsim.quantities import FROM_FILE, without_quotes
from pmsim.scenario.nodes import Leaf, Node, Step, Table, child, find
from pmsim.units import parse_time

_Model = TypeVar("_Model", bound=BaseModel)

MAX_FAULTS: Final = 100
"""How many faults of a file are reported; nobody reads more."""

DIRECTORY_NAME: Final = r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,99}$"
"""What a name must match that becomes a directory's."""

NO_MERGE_KEYS: Final = "YAML 1.2 has no merge keys: write the keys out"

MOST_LONGER: Final = 3
"""How many names are offered that begin as a wrong one does."""


class FaultList:
    """The faults of one file, as they are found.

    Parameters
    ----------
    file
        Name of the file in messages.

    Attributes
    ----------
    faults
        What was found so far.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self.faults)

    def at(self, node: Node, code: str, message: str, hint: str = "") -> None:
        """Add a fault at the place of a node."""
        self.faults.append(Fault(self.file, node.line, node.column, code, message, hint))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Add faults that have their places, maybe in other files."""
        self.faults += faults

    def take(self, error: ValidationError, node: Node, model: type[BaseModel]) -> None:
        """Add everything that a model refused, ``node`` being what it was given."""
        errors = [dict(found) for found in error.errors(include_url=False)]
        for found in errors:
            if not _only_lacks_refused(found, errors):
                self.faults.append(_fault_of(found, node, model, self.file))

    def raise_if_any(self) -> None:
        """Raise `ScenarioError` if there are faults, by file and place, each place once."""
        if not self.faults:
            return
        ordered = sorted(self.faults, key=lambda f: (f.file != self.file, f.file, f.line, f.column))
        unique = {(f.file, f.line, f.column, f.code, f.message): f for f in ordered}
        faults = list(unique.values())
        if len(faults) > MAX_FAULTS:
            more = f"{len(faults) - MAX_FAULTS} more faults are not shown"
            faults = [*faults[:MAX_FAULTS], Fault(self.file, 0, 0, "more-faults", more)]
        raise ScenarioError(faults)


def validated(
    model: type[_Model], node: Node, faults: FaultList, context: Mapping[str, Any] | None = None
) -> _Model | None:
    """Return what a model makes of a node of a file; its faults go to ``faults``.

    Parameters
    ----------
    context
        What the model's validators may know besides that they read a file.
    """
    # As JSON, whose lists may become tuples while everything else is taken strictly.
    data = json.dumps(node.value())
    try:
        return model.model_validate_json(
            data, strict=True, context={**FROM_FILE, **(context or {})}
        )
    except ValidationError as error:
        faults.take(error, node, model)
        return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the names that begin so, the nearest one, or all where none is near.

    Names with other versions are not near: 6.2 is not 6.12.
    """
    names = sorted(known)
    longer = [one for one in names if len(name) > 2 and one.startswith(name)][:MOST_LONGER]
    alike = [one for one in names if _VERSION.findall(one) == _VERSION.findall(name)]
    near = longer or get_close_matches(name, alike, n=1, cutoff=0.6)
    if not near:
        # Names that differ in case, dashes or length alone are near, too.
        bare = {_bare(known_name): known_name for known_name in alike}
        near = [bare[key] for key in get_close_matches(_bare(name), list(bare), n=1, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}" if names else ""


_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")


def _bare(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")


def _only_lacks_refused(found: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a list is refused as too short because entries of it were refused."""
    place = found["loc"]
    return found["type"] == "too_short" and any(
        len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in errors
    )


def _fault_of(found: Mapping[str, Any], node: Node, model: type[BaseModel], file: str) -> Fault:
    path = _path(node, found["loc"])
    place = find(node, path)
    kind = found["type"]
    if kind == "extra_forbidden":
        name = str(found["loc"][-1])
        owner = find(node, path[:-1])
        key = (owner.key(name) if isinstance(owner, Table) else None) or place
        hint = _unknown_key_hint(name, model, found["loc"][:-1])
        return Fault(file, key.line, key.column, "unknown-key", f"unknown key '{name}'", hint)
    if kind == "missing":
        name = str(found["loc"][-1])
        return Fault(file, place.line, place.column, "missing-key", f"the key '{name}' is missing")
    code, message, hint = _said(kind, found, place)
    if _TYPES.get(kind) == _MAPPING and not hint:
        known = sorted(_keys_at(model, found["loc"]))
        hint = f"keys: {', '.join(known)}" if known else ""
    return Fault(file, place.line, place.column, code, message, hint)


def _is_time(text: str) -> bool:
    try:
        return parse_time(text) > 0
    except UnitError:
        return False


def _path(node: Node, location: Sequence[Step]) -> list[Step]:
    """Return the steps of a location that exist in the tree.

    What is left out are the tags by which pydantic names the branches of a union, and a key that
    is missing.
    """
    path: list[Step] = []
    for step in location:
        below = child(node, step)
        if below is not None:
            path.append(step)
            node = below
    return path


def _said(kind: str, found: Mapping[str, Any], place: Node) -> tuple[str, str, str]:
    """Return code, message and hint for a value that was refused."""
    context = found.get("ctx", {})
    if "code" in context:
        message, given = context["message"], found["input"]
        if isinstance(given, bool | list | dict | None):
            message = message.replace(repr(given), shown(place), 1)  # in words, not in Python's
        return context["code"], message, context.get("hint", "")
    if kind in _LIMITS:
        side, key = _LIMITS[kind]
        limit = context[key]
        limit = int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        return "out-of-range", f"{shown(place)} must be {side} {limit}", ""
    if kind in ("literal_error", "enum"):
        words = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        near = did_you_mean(str(found["input"]), words)
        hint = near if near.endswith("?") else ""  # the message names all
        if found["loc"] == ("until",) and _is_time(str(found["input"])):
            hint = f"duration: {found['input']} ends a run after a time"
        return "bad-value", f"{shown(place)} is not one of: {', '.join(words)}", hint
    if kind in _LENGTHS:
        side, limit = _LENGTHS[kind]
        entries = "entry" if context[limit] == 1 else "entries"
        return "bad-value", f"{shown(place)} must have {side} {context[limit]} {entries}", ""
    if kind == "string_pattern_mismatch":
        hint = _PATTERNS.get(context["pattern"], f"pattern: {context['pattern']}")
        return "bad-value", f"{shown(place)} cannot stand here", hint
    if kind in _TYPES:
        hint = without_quotes(kind, found["input"])
        return "wrong-type", f"{shown(place)} is {_TYPES[kind]}", hint
    if kind == "string_too_short":
        return "bad-value", f"{shown(place)} is too short to be a name", ""
    said = found["msg"].removeprefix("Value error, ")
    return "bad-value", f"{shown(place)}: {said[:1].lower()}{said[1:]}", ""


_LIMITS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}

_LENGTHS: Final = {
    "too_short": ("at least", "min_length"),
    "too_long": ("at most", "max_length"),
}

_PATTERNS: Final = {
    DIRECTORY_NAME: "it names a directory: 1 to 100 characters, no slash or control, no dot first",
}

_MAPPING: Final = "no mapping of keys"
_TYPES: Final = {
    "int_type": "no whole number",
    "int_from_float": "no whole number",
    "int_parsing": "no whole number",
    "float_type": "no number",
    "float_parsing": "no number",
    "finite_number": "no finite number",
    "string_type": "no text",
    "bool_type": "neither true nor false",
    "bool_parsing": "neither true nor false",
    "list_type": "no list",
    "tuple_type": "no list",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
}


def shown(node: Node) -> str:
    """Say what stands somewhere, in few words."""
    if isinstance(node, Table):
        return "a mapping"
    if not isinstance(node, Leaf):
        return "a list"
    if node.value() is None:
        return "nothing"
    text = node.text if len(node.text) <= 40 else node.text[:40] + "..."
    return f"'{text}'"


def _unknown_key_hint(name: str, model: type[BaseModel], location: Sequence[Step]) -> str:
    if name == "<<":
        return NO_MERGE_KEYS
    known = _keys_at(model, location)
    elsewhere = _ELSEWHERE.get(_bare(name))
    if elsewhere is not None and _bare(name) not in {_bare(one) for one in known}:
        return elsewhere
    return did_you_mean(name, known)


_SHOOTDOWN: Final = "how CPUs are told belongs to the kernel: kernel: {shootdown: NAME}"
_ISOLATED: Final = "isolated CPUs belong to the machine: machine: {isolated: 2-7}"
_ELSEWHERE: Final = {
    "protocol": _SHOOTDOWN,
    "shootdown": _SHOOTDOWN,
    "isolated": _ISOLATED,
    "isolcpus": _ISOLATED,
    "nohzfull": _ISOLATED,
    "seed": "it stands at the top of the file: seed: 1",
    "duration": "it stands at the top of the file: duration: 1s",
    "until": "it stands at the top of the file: until: done",
    "budget": "it belongs to measure: measure: {budget: {isolated: {interrupts: 0/s}}}",
    "warmup": "it belongs to measure: measure: {warmup: 10ms}",
    "numcpus": "CPUs belong to the machine: machine: {platform: NAME, cpus: 8}",
    "ncpus": "CPUs belong to the machine: machine: {platform: NAME, cpus: 8}",
}
"""Keys that people write in another place than theirs, and where they belong."""


def _keys_at(model: type[BaseModel], location: Sequence[Step]) -> set[str]:
    """Return the keys that are known where a location leads."""
    models = {model}
    for step in location:
        fields = [m.model_fields[step] for m in models if step in m.model_fields]
        if fields:
            models = {m for one in fields for m in _models_in(one.annotation)}
        else:  # an index, or the tag of one branch of a union
            models = {m for m in models if m.__name__ == step} or models
    return {field.alias or name for m in models for name, field in m.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
