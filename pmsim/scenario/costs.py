"""The keys of a machine's costs, derived from what the groups of constants declare.

A group (`pmsim.constants.Group`) says once what its constants are. From that follow the model of
its keys, and with it the JSON Schema, the faults and the reference (`keys_of`); the group that
stands for what a file gives (`group_of`); and what stands in a file for a group (`as_written`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import GenericAlias, NoneType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import Field, Tag, create_model, model_validator

from pmsim.constants import PPM, Constant, Declared, Kind, Section, declarations
from pmsim.hardware.costs import Jitter, MachineCosts, by_distance
from pmsim.hardware.shootdown.protocol import Protocol
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.topology import MAX_CPUS, ByDistance, Distance
from pmsim.kernel.costs import KernelCosts
from pmsim.quantities import LIST_OR_OTHER, MAPPING_OR_OTHER, Keys, QuantityKey, refused
from pmsim.units import TIME

AnyGroup = TypeVar("AnyGroup")

Count = Annotated[int, Field(ge=1, le=MAX_CPUS, strict=True)]

MOST_LETTERS: Final = 32
"""The longest name of an idle state."""
MOST_IN_LIST: Final = 32
"""The most idle states of a machine."""


def cost_tables(keys: Keys, own: Sequence[OwnKeys] = ()) -> tuple[MachineCosts, KernelCosts]:
    """Return the costs of the hardware and of kernel work that some `CostKeys` give.

    And those of protocols that are not pmsim's own.
    """
    costs = _values(keys, MachineCosts)
    costs["own"] = tuple(group_of(one.keys, one.protocol.costs) for one in own)
    # A stable order: states of the same residency keep theirs.
    costs["idle"] = tuple(sorted(costs["idle"], key=lambda state: state.residency))
    return MachineCosts(**costs), group_of(dict(keys)["kernel"], KernelCosts)


def costs_as_dict(costs: MachineCosts, kernel: KernelCosts) -> dict[str, Any]:
    """Return all costs as an inline machine has them, times as text."""
    own = {type(one).__name__: as_written(one) for one in costs.own}
    return {**as_written(costs), **own, "kernel": as_written(kernel)}


class OwnKeys(NamedTuple):
    """What a machine gives for a protocol that is not pmsim's own."""

    protocol: Protocol
    keys: Keys


def protocol_keys(protocol: Protocol) -> type[Keys]:
    """Return the model of a protocol's costs."""
    group: type = protocol.costs
    return keys_of(group)


def own_protocols() -> dict[str, Protocol]:
    """Return the protocols that are not pmsim's own, by name."""
    return {name: one for name, one in PROTOCOLS.items() if one.own is not None}


# --- groups ---------------------------------------------------------------------------------------


@cache
def keys_of(group: type, name: str = "") -> type[Keys]:
    """Return the model of a group's keys, by default ``IpiKeys`` for ``IpiCosts``."""
    keys: dict[str, Any] = {one.key: _key(one) for one in declarations(group)}
    name = name or group.__name__.removesuffix("Costs").removesuffix("State") + "Keys"
    checks: dict[str, Any] = {"_complete": model_validator(mode="after")(_needed(group))}
    return create_model(name, __base__=Keys, __doc__=group.__doc__, __validators__=checks, **keys)


def group_of(keys: Keys, group: type[AnyGroup]) -> AnyGroup:
    """Return the group that some keys give, everything filled in."""
    return group(**_values(keys, group))


def as_written(group: Any) -> dict[str, Any]:
    """Return what stands in a file for a group: every key, quantities as text."""
    kind: type = type(group)
    return keys_of(kind).model_validate(_held(group)).model_dump(mode="json", exclude_none=True)


def _key(declared: Declared) -> tuple[Any, Any]:
    """Return the type of a key and its field."""
    if isinstance(declared.note, Section):
        return _section_key(declared, declared.note)
    constant = declared.note
    conversion = _KINDS[constant.kind]
    given = conversion.type(constant, declared.type)
    if constant.needed_with:
        return given | None, Field(default=None, description=constant.description)
    if declared.required:
        return given, Field(description=constant.description)
    default = conversion.default(declared.default)
    return given, Field(default=default, description=constant.description)


def _section_key(declared: Declared, section: Section) -> tuple[Any, Any]:
    """Return the same for a group in a group, or for a list of groups."""
    inside = get_args(declared.type)
    if get_origin(declared.type) is tuple:
        described = Field(default=(), max_length=MOST_IN_LIST, description=section.text)
        return GenericAlias(tuple, (keys_of(inside[0]), ...)), described
    if NoneType in inside:
        return keys_of(inside[0]) | None, Field(default=None, description=section.text)
    keys = keys_of(declared.type)
    if declared.required:
        return keys, Field(description=section.text)
    return keys, Field(default=keys(), description=section.text)


def _needed(group: type) -> Callable[[Keys], Keys]:
    """Return the check that no constant is missing which another one needs."""
    needed = [one for one in declarations(group) if getattr(one.note, "needed_with", "")]

    def complete(keys: Keys) -> Keys:
        for one in needed:
            assert isinstance(one.note, Constant)
            other = one.note.needed_with
            if getattr(keys, other) and getattr(keys, one.key) is None:
                message = f"the key '{one.key}' is missing, as '{other}' is given"
                raise refused("missing-key", message, one.note.example)
        return keys

    return complete


def _values(keys: Keys, group: type) -> dict[str, Any]:
    """Return the values of a group's fields."""
    return {one.field: _value(one, getattr(keys, one.key)) for one in declarations(group)}


def _value(declared: Declared, held: Any) -> Any:
    """Return what a field holds where its key holds ``held``."""
    if held is None:
        return declared.default
    if isinstance(declared.note, Constant):
        return _KINDS[declared.note.kind].inward(held)
    inside = get_args(declared.type)
    if isinstance(held, tuple):
        return tuple(group_of(one, inside[0]) for one in held)
    return group_of(held, inside[0] if inside else declared.type)


def _held(group: Any) -> dict[str, Any]:
    """Return what the keys of a group hold, in plain numbers."""
    kind: type = type(group)
    return {one.key: _outward(one, getattr(group, one.field)) for one in declarations(kind)}


def _outward(declared: Declared, value: Any) -> Any:
    if isinstance(declared.note, Constant):
        return _KINDS[declared.note.kind].outward(value)
    if isinstance(value, tuple):
        return tuple(_held(one) for one in value)
    return None if value is None else _held(value)


# --- how each kind of constant stands in a file ---------------------------------------------------


class _Distances(Keys):
    """A cost for each distance of two CPUs.

    A class that is missing takes the next nearer one's value or, where there is none, the nearest
    present one's.
    """

    @model_validator(mode="after")
    def _not_empty(self) -> _Distances:
        if not self.given():
            raise refused("missing-key", "no distance is given", "for example {core: 600ns}")
        return self

    def given(self) -> dict[Distance, int]:
        """Return the classes that are present."""
        values = {distance: getattr(self, distance.name.lower()) for distance in Distance}
        return {distance: value for distance, value in values.items() if value is not None}


_BETWEEN: Final[Mapping[Distance, str]] = {
    Distance.SELF: "A CPU to itself.",
    Distance.THREAD: "Threads of one core.",
    Distance.CORE: "Cores of one die.",
    Distance.DIE: "Dies of one package.",
    Distance.PACKAGE: "Different packages, for each hop.",
}


def _time(constant: Constant) -> Any:
    return Annotated[int, QuantityKey(TIME, positive=constant.least > 0, largest=constant.most)]


@cache
def _distance_keys(constant: Constant) -> type[_Distances]:
    """Return the model with a key for every distance."""
    time = _time(constant)
    keys: dict[str, Any] = {
        distance.name.lower(): (time | None, Field(default=None, description=_BETWEEN[distance]))
        for distance in Distance
    }
    return create_model("DistanceKeys", __base__=_Distances, __doc__=_Distances.__doc__, **keys)


def _or_mapping(constant: Constant, keys: type[Keys]) -> Any:
    """Return the type of a time, or of a mapping in its place."""
    return Annotated[
        Annotated[_time(constant), Tag("other")] | Annotated[keys, Tag("mapping")], MAPPING_OR_OTHER
    ]


def _phases(constant: Constant) -> Any:
    """Return the type of a time for each CPU, or the word for drawing them."""
    times: Any = GenericAlias(tuple, (_time(constant), ...))
    listed = Annotated[times, Field(min_length=1, max_length=MAX_CPUS), Tag("list")]
    return Annotated[Annotated[Literal["random"], Tag("other")] | listed, LIST_OR_OTHER]


def _table(keys: int | _Distances) -> ByDistance:
    return by_distance(keys.given() if isinstance(keys, _Distances) else {Distance.SELF: keys})


def _jitter(keys: int | Keys) -> Jitter | None:
    """Return a distribution, given its scale if it is half-normal; of no size it is none."""
    jitter = group_of(keys, Jitter) if isinstance(keys, Keys) else Jitter("half-normal", keys)
    return jitter if jitter.scale else None


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class _Conversion:
    """How one kind of constant stands in a file.

    Attributes
    ----------
    type
        Returns the type of its key; the field's own is given, too.
    inward, outward
        What the key holds, to what the group holds, and back.
    default
        What the group holds by default, to the key's default.
    """

    type: Callable[[Constant, Any], Any]
    inward: Callable[[Any], Any] = _same
    outward: Callable[[Any], Any] = _same
    default: Callable[[Any], Any] = _same


_KINDS: Final[Mapping[Kind, _Conversion]] = {
    Kind.TIME: _Conversion(lambda constant, _: _time(constant)),
    Kind.TIME_BY_DISTANCE: _Conversion(
        lambda constant, _: _or_mapping(constant, _distance_keys(Constant(text=""))),
        inward=_table,
        outward=lambda table: {one.name.lower(): table[one] for one in Distance},
        default=lambda table: table[Distance.SELF],
    ),
    Kind.JITTER: _Conversion(
        lambda constant, _: _or_mapping(constant, keys_of(Jitter)),
        inward=_jitter,
        outward=lambda jitter: _held(jitter) if jitter is not None else 0,
        default=lambda _: 0,
    ),
    Kind.COUNT: _Conversion(
        lambda constant, _: Annotated[int, Field(ge=constant.least, le=constant.most, strict=True)]
    ),
    Kind.SHARE: _Conversion(
        lambda *_: Annotated[float, Field(ge=0, le=1)],
        inward=lambda share: round(share * PPM),
        outward=lambda ppm: ppm / PPM,
    ),
    Kind.SWITCH: _Conversion(lambda *_: Annotated[bool, Field(strict=True)]),
    Kind.NAME: _Conversion(lambda *_: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]),
    Kind.PHASES: _Conversion(
        lambda constant, _: _phases(constant),
        inward=lambda held: () if held == "random" else tuple(held),
        outward=lambda times: times or "random",
        default=lambda times: times or "random",
    ),
    Kind.CHOICE: _Conversion(lambda _, plain: plain),
}


def _cost_keys() -> type[Keys]:
    """Return the model of all costs of a machine, those of kernel work among them."""
    kernel = keys_of(KernelCosts)
    described = Field(default=kernel(), description="CPU time of kernel work.")
    return create_model(
        "CostKeys",
        __base__=keys_of(MachineCosts, "CostKeys"),
        __doc__="All costs of a machine; a group that is absent costs nothing.",
        kernel=(kernel, described),
    )


CostKeys: Final = _cost_keys()
"""The keys below ``costs``."""
