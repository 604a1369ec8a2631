"""Which constants a run asks for: groups of constants that keep account of that.

A watched group is one of its own type that is empty at first. When a constant is first asked for,
its name is noted and its value kept in the group; from then on asking costs what it costs of any
object.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast

from pmsim.constants import Constant, Declared, declarations

AnyGroup = TypeVar("AnyGroup")


def watched(group: AnyGroup, asked: set[str], path: str = "") -> AnyGroup:
    """Return a group that notes which of its constants are asked for.

    Parameters
    ----------
    group
        A frozen dataclass of constants, or of groups of them.
    asked
        Where their names go: keys joined by dots, as in ``ipi.queue``.
    path
        What stands before their names.
    """
    kind: type = type(group)
    empty: Any = object.__new__(_watched_type(kind))
    empty.__dict__.update(_given=group, _asked=asked, _path=path)
    declared = {one.field for one in declarations(kind)}
    for one in fields(cast(Any, group)):
        if one.name not in declared:  # groups that go by their own names
            groups = getattr(group, one.name)
            named = (watched(each, asked, f"{path}{type(each).__name__}.") for each in groups)
            object.__setattr__(empty, one.name, tuple(named))
    return cast(AnyGroup, empty)


class _FirstAsked:
    """A field that is filled when it is first asked for; then the instance's own value counts."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        field, asked = self._declared.field, instance._asked
        value = getattr(instance._given, field)
        path = f"{instance._path}{self._declared.key}"
        if isinstance(self._declared.note, Constant):
            asked.add(path)
        elif isinstance(value, tuple):
            value = tuple(watched(one, asked, f"{path}.{n}.") for n, one in enumerate(value))
        elif value is not None:
            value = watched(value, asked, f"{path}.")
        instance.__dict__[field] = value
        return value


@cache
def _watched_type(kind: type) -> type:
    """Return the type of watched groups of a kind."""
    return type(f"Watched{kind.__name__}", (kind,),
                {one.field: _FirstAsked(one) for one in declarations(kind)})  # fmt: skip
