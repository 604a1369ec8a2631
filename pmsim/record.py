"""Facts by name: frozen dataclasses that also read like the JSON object that they become.

A record declares each of its fields once, with type and meaning::

    @dataclass(frozen=True, slots=True, eq=False)
    class Cost(Record):
        lost_ps: Annotated[int, "CPU time that shootdowns cost."]

From that follow the attribute (``cost.lost_ps``), the key of the JSON object, what a script reads
by ``cost["lost_ps"]``, and the line of the reference.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Self, Union, get_args, get_origin, get_type_hints


class Record(Mapping[str, Any]):
    """Base of frozen dataclasses whose fields are the keys of a JSON object.

    It is a mapping from the names of its fields to their values, and equal to any other mapping of
    the same; tuples in it are the JSON lists.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        if name not in _hints(type(self)):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_hints(type(self)))

    def __len__(self) -> int:
        return len(_hints(type(self)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {name: _plain(value) for name, value in self.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the record of plain data; keys of no field are passed over.

        Raises
        ------
        KeyError
            If fields without a default are missing; their names.
        ValueError
            If a value is of another shape than its field.
        """
        missing = [name for name in _needed(cls) if name not in data]
        if missing:
            raise KeyError(", ".join(missing))
        hints = _hints(cls).items()
        return cls(**{name: _read(name, hint, data[name]) for name, hint in hints if name in data})

    @classmethod
    def meanings(cls, path: str = "") -> Iterator[tuple[str, str]]:
        """Yield the dotted path and the meaning of each field, those of records inside too."""
        for name, hint in _hints(cls).items():
            yield f"{path}{name}", " ".join(hint.__metadata__)
            inner, suffix = _inner(hint.__origin__)
            if inner is not None:
                yield from inner.meanings(f"{path}{name}{suffix}.")


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    """Return the annotation of each field, with what it means."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def _needed(cls: Any) -> list[str]:
    """Return the names of the fields that have no default."""
    return [
        field.name
        for field in fields(cls)
        if field.default is MISSING and field.default_factory is MISSING
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value


def _read(name: str, hint: Any, value: Any) -> Any:
    """Return a value of JSON as its field holds it."""
    known = _known(hint)
    origin, arguments = get_origin(known), get_args(known)
    if value is None and _may_be_none(hint):
        return None
    if isinstance(known, type) and issubclass(known, Record):
        if isinstance(value, Mapping):
            return known.from_dict(value)
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_read(name, arguments[0], one) for one in value)
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {key: _read(name, arguments[1], one) for key, one in value.items()}
    elif origin is not None or isinstance(value, int | float if known in (int, float) else known):
        return value
    raise ValueError(f"{name} cannot be {value!r:.40}")


def _inner(hint: Any) -> tuple[type[Record] | None, str]:
    """Return the record that a field holds, and how its path goes on: one, many, or by a key."""
    hint = _known(hint)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint, ""
    arguments = [one for one in get_args(hint) if isinstance(one, type) and issubclass(one, Record)]
    if not arguments:
        return None, ""
    return arguments[0], "[]" if get_origin(hint) is tuple else "{}"


def _may_be_none(hint: Any) -> bool:
    """Return whether a field may hold `None`."""
    if get_origin(hint) is Annotated:
        return _may_be_none(get_args(hint)[0])
    return type(None) in get_args(hint)


def _known(hint: Any) -> Any:
    """Return a type without its meaning, and without `None` where it may be that."""
    if get_origin(hint) is Annotated:
        return _known(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        rest = [one for one in get_args(hint) if one is not type(None)]
        return _known(rest[0]) if len(rest) == 1 else hint
    return hint
