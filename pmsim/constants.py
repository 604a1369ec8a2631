"""Constants of the simulated world, each declared once: in the annotation of its field.

A group of constants is a frozen dataclass, a `Group`, whose fields are ``Annotated`` with a
`Constant`: what it is in words, how it stands in a file, its bounds, and what its default rests on.
Everything else is derived from that: the keys of a machine's file with their faults, the JSON
Schema, the reference, and the way back into a file (`pmsim.scenario.costs`). A new constant is its
declaration and its use.

How far a number may be off is its range. The first of these that there is counts: what a machine's
file says beside the value; what the field declares, `Constant.range` for its default and
`Constant.factors` for any value; and else what its basis is worth, `FACTORS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum, auto
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from pmsim.units import S, format_time

PPM: Final = 1_000_000
"""Millionths in a whole."""

LONGEST_ACT: Final = 1 * S
"""The longest time that one act of the hardware may take. It keeps all sums over the most CPUs far
from what 64 bits can hold."""

Basis = Literal["measured", "quoted", "derived", "memory", "estimate"]
"""What a number rests on, best first."""

Ends: TypeAlias = tuple[int, int]
"""The lower and the upper end of a range, both of them in it."""

FACTORS: Final[Mapping[str, Fraction]] = MappingProxyType(
    {
        "measured": Fraction(1),
        "quoted": Fraction(1),
        "derived": Fraction(3, 2),
        "memory": Fraction(3, 2),
        "estimate": Fraction(2),
        "": Fraction(2),
    }
)
"""By how much a time or a share may be off, each way, by its basis; the last: none is given.

A measured number has the range that its measurement gives it, and a quoted one stands as its source
has it. What was derived was measured on another machine or
under another load, mostly; what comes from memory was not looked up; and of an estimate nothing is
known but its order. Counts and switches are facts of a machine: without a range of their own they
have none.
"""


class Kind(Enum):
    """What a constant counts, and with it how it stands in a file."""

    TIME = auto()
    """Picoseconds; in a file a number with its unit."""
    TIME_BY_DISTANCE = auto()
    """A time for each `Distance`; in a file one for all of them, or a mapping."""
    JITTER = auto()
    """A distribution of times; in a file the scale of a half-normal one, or a mapping."""
    COUNT = auto()
    """A whole number."""
    SHARE = auto()
    """Millionths; in a file a number from 0 to 1."""
    SWITCH = auto()
    """Yes or no."""
    NAME = auto()
    """A few words."""
    PHASES = auto()
    """Picoseconds, one time for each CPU, or none; in a file a list, or ``random``."""
    CHOICE = auto()
    """One of the words that the field's type lists."""

    @property
    def gradual(self) -> bool:
        """Whether a value may be somewhat off: whether its basis gives it a range."""
        return self in (Kind.TIME, Kind.TIME_BY_DISTANCE, Kind.JITTER, Kind.SHARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """How one constant is declared.

    Parameters
    ----------
    text
        What it is: one sentence for the reference.
    kind
        What it counts.
    least, most
        Its bounds, in the field's unit; of a table by distance those of each entry.
    key
        What it is called in a file, where that is not the field's name.
    basis, note
        What its default rests on, where it has one that is not simply nothing; and what more there
        is to say about that, behind the basis in the same sentence.
    range
        In which the default lies for all that is known, where that is not what its basis says.
    factors
        How many times smaller and how many times larger than any value of it the truth may be,
        likewise.
    needed_with, example
        Another field that makes no sense without this one if it is not 0, and what could stand
        here, for messages.
    """

    text: str
    kind: Kind = Kind.TIME
    least: int = 0
    most: int = LONGEST_ACT
    key: str = ""
    basis: Basis | None = None
    note: str = ""
    range: Ends | None = None
    factors: tuple[Fraction, Fraction] | None = None
    needed_with: str = ""
    example: str = ""

    @property
    def description(self) -> str:
        """What the reference says of it: the text, and what the default rests on."""
        if self.basis is None:
            return self.text
        between = "" if self.range is None else f", {' to '.join(map(format_time, self.range))}"
        return f"{self.text} {self.basis.capitalize()}{between}{self.note}."

    def ends(self, value: int, basis: str) -> Ends:
        """Return the range of a value that gives none of its own.

        Parameters
        ----------
        value
            In the field's unit.
        basis
            What it rests on; empty where that is not said.
        """
        if not self.kind.gradual:
            return value, value
        below, above = self.factors or 2 * (FACTORS.get(basis, FACTORS[""]),)
        low = value if below == 1 else _short(value / below)
        high = value if above == 1 else _short(value * above)
        return max(self.least, low), min(self.most, high)


def _short(end: Fraction) -> int:
    """Return an end of a range to three digits: more would say that it is known."""
    return round(float(f"{float(end):.3g}"))


@dataclass(frozen=True, slots=True)
class Section:
    """How a group is declared, where it is a field of a larger one: what it is in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Declared:
    """A constant or a section, and the field that holds it.

    Attributes
    ----------
    field, key
        The field's name, and what it is called in a file.
    type
        The field's type.
    note
        How it is declared.
    default
        Its default, `dataclasses.MISSING` where it must be given.
    """

    field: str
    key: str
    type: Any
    note: Constant | Section
    default: Any

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING


@dataclass(frozen=True, slots=True)
class Group:
    """Base of every group of constants: a value outside its bounds is refused, whoever gives it.

    Raises
    ------
    ValueError
        If a constant is outside its bounds.
    """

    def __post_init__(self) -> None:
        kind: type = type(self)
        for declared in declarations(kind):
            if isinstance(declared.note, Constant):
                for value in _numbers(declared.note.kind, getattr(self, declared.field)):
                    _check(declared.field, declared.note, value)


@cache
def declarations(group: type) -> tuple[Declared, ...]:
    """Return what a group declares, in the order of its fields; a field without a note does not."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        _declared(field, *get_args(hints[field.name]))
        for field in fields(group)
        if get_origin(hints[field.name]) is Annotated
    )


def _declared(field: Field[Any], plain: Any, note: Constant | Section) -> Declared:
    key = note.key if isinstance(note, Constant) else ""
    return Declared(field.name, key or field.name, plain, note, field.default)


def _numbers(kind: Kind, value: Any) -> tuple[int, ...]:
    if kind is Kind.TIME_BY_DISTANCE:
        return tuple(value)
    return (value,) if kind in (Kind.TIME, Kind.COUNT, Kind.SHARE) else ()


def _check(name: str, constant: Constant, value: int) -> None:
    is_time = constant.kind in (Kind.TIME, Kind.TIME_BY_DISTANCE)
    written = format_time if is_time else str
    if value < constant.least:
        raise ValueError(f"{name} must be at least {constant.least}, not {value}")
    if value > constant.most:
        raise ValueError(f"{name} must be at most {written(constant.most)}, not {written(value)}")
