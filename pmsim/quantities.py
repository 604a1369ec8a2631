"""Quantities as pydantic types: what the keys of a scenario file are annotated with.

A key annotated ``Time`` reads ``"250ns"`` and holds 250,000 (picoseconds). In Python an ``int``
in the base unit is accepted as it stands; in a file it is an error, because a reader of the file
could not know the unit. A reader of files says so by validating with the context `FROM_FILE`.
Dumped as JSON, a quantity is text again, exact, so that it can be read back. `Keys` is the base of
the models that hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pmsim import units
from pmsim.errors import UnitError

FROM_FILE: Final[dict[str, Any]] = {"from_file": True}
"""Validation context of what stands in a file: numbers there need their unit."""

_READ: Final[dict[str, Callable[[Any], Any]]] = {
    units.TIME.name: units.as_time,
    units.SIZE.name: units.as_size,
    units.PAGES.name: units.as_pages,
    units.RATE.name: units.as_rate,
}
_WRITE: Final[dict[str, Callable[[Any], str]]] = {
    units.TIME.name: units.format_time,
    units.SIZE.name: units.format_size,
    units.PAGES.name: units.format_pages,
    units.RATE.name: units.format_rate,
}


class Keys(BaseModel):
    """Base of every mapping of keys in a file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, eq=False)  # hashed by identity: `Time | None` needs a hash
class QuantityKey:
    """Reads one kind of quantity for pydantic.

    Parameters
    ----------
    kind
        Which kind: `units.TIME`, `units.SIZE`, `units.PAGES` or `units.RATE`.
    positive
        Whether zero is refused.
    words
        Words that may stand in the quantity's place; they are returned as they are.
    bare
        Whether a whole number may stand without its unit, in a file too: where the key's name says
        what is counted.
    smallest, largest
        The ends of what can mean anything here, in the base unit, where they are narrower than the
        kind's own.
    memory
        Of pages: whether memory may stand for them (``64MiB``), which is rounded up to whole pages
        of the kernel, whose size the validation context has as ``page_size``.
    """

    kind: units.Quantity
    positive: bool = False
    words: tuple[str, ...] = ()
    bare: bool = False
    smallest: int = 0
    largest: int | None = None
    memory: bool = False

    def validate(self, value: Any, info: ValidationInfo) -> int | Fraction | str:
        """Return the value in its base unit; a bare number in a file is a fault."""
        if value in self.words:
            return str(value)
        from_file = bool(info.context and info.context.get("from_file"))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if from_file and number and not (self.bare and isinstance(value, int)):
            value = str(value)
        try:
            read: int | Fraction = self._read(value, info)
        except UnitError as error:
            words = "".join(f", or {word}" for word in self.words)
            words += ", or memory, for example 64MiB" if self.memory else ""
            raise refused(error.code, error.message, error.hint + words) from None
        if self.positive and read == 0:
            raise refused("not-positive", f"{self.kind.name} of zero cannot stand here",
                         f"for example {self.kind.example}")  # fmt: skip
        self._check_ends(read)
        return read

    def _read(self, value: Any, info: ValidationInfo) -> int | Fraction:
        if self.memory and isinstance(value, str):
            try:
                size = units.parse_size(value)
            except UnitError:
                pass  # pages then, or nothing
            else:
                page_size = (info.context or {}).get("page_size", units.PAGE_SIZE)
                return int(-(-size // page_size))
        read: int | Fraction = _READ[self.kind.name](value)
        return read

    def _check_ends(self, read: int | Fraction) -> None:
        if read < self.smallest:
            raise refused("out-of-range", f"{self.write(read)} is too little here",
                         f"the smallest is {self.write(self.smallest)}")  # fmt: skip
        if self.largest is not None and read > self.largest:
            raise refused("out-of-range", f"{self.write(read)} is too much here",
                         f"the largest is {self.write(self.largest)}")  # fmt: skip

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the validator, and the serialiser that JSON output uses."""
        return core_schema.with_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.write, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def write(self, value: Any) -> str:
        """Return the value as text that `validate` reads back."""
        return value if isinstance(value, str) else _WRITE[self.kind.name](value)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the text that can stand in a file."""
        known = (*self.kind.units, *(units.SIZE.units if self.memory else ()))
        others = [text for text, unit in units.SPELLINGS.items() if unit in known]
        spelled = "|".join(unit.replace("/", r"/\s*") for unit in (*known, *others))
        number = rf"\+?({units.DECIMAL})\s*({spelled})"
        text = {
            "type": "string",
            "pattern": rf"^\s*({'|'.join((number, *self.words))})\s*$",
            "description": f"{self._called}: a number with a unit ({self.kind.fits})",
            **self._ends(),
        }
        if not self.bare:
            return text
        most = {} if self.largest is None else {"maximum": self.largest}
        return {"anyOf": [text, {"type": "integer", "minimum": self.smallest, **most}]}

    @property
    def _called(self) -> str:
        return f"{self.kind.name}, or memory" if self.memory else self.kind.name

    def _ends(self) -> dict[str, str]:
        """Return the key's own ends as text: JSON Schema compares numbers only."""
        ends = {
            "x-smallest": self.smallest if self.smallest > 1 else None,
            "x-largest": self.largest,
        }
        return {name: self.write(end) for name, end in ends.items() if end is not None}


def refused(code: str, message: str, hint: str = "", key: str = "") -> PydanticCustomError:
    """Return what a validator raises to refuse a key, for reasons of its own.

    Parameters
    ----------
    code, message, hint
        As in `pmsim.errors.Fault`, which it becomes when its line is known.
    key
        Of a validator of several keys, which of them is at fault.
    """
    context = {"code": code, "message": message, "hint": hint, "key": key}
    return PydanticCustomError("refused", "{message}", context)


def without_quotes(kind: str, given: Any) -> str:
    """Return a hint where text was given that says a number or a truth value; else nothing.

    Parameters
    ----------
    kind
        Why pydantic refused it (``"int_type"``, ``"bool_type"``).
    given
        What was given.
    """
    if not isinstance(given, str):
        return ""
    if kind.startswith("bool_"):
        meant = _TRUTHS.get(given.casefold(), "")
    else:
        is_number = kind.startswith(("int_", "float_")) and given.isascii() and given.isdecimal()
        meant = given if is_number else ""
    return f"write {meant}, without quotes" if meant else ""


_TRUTHS: Final = {"true": "true", "yes": "true", "on": "true"} | dict.fromkeys(
    ("false", "no", "off"), "false"
)
"""What YAML 1.1, or quotes, make of truth values."""


def _mapping_or_other(value: object) -> str:
    return "mapping" if isinstance(value, dict | BaseModel) else "other"


def _list_or_other(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "other"


def _number_or_other(value: object) -> str:
    return "number" if isinstance(value, int) else "other"


# By these only the faults of what was meant come up, not those of all that might have been.
MAPPING_OR_OTHER: Final = Discriminator(_mapping_or_other)
"""Tells a mapping (``Tag("mapping")``) from what may stand in its place (``Tag("other")``)."""
LIST_OR_OTHER: Final = Discriminator(_list_or_other)
"""Tells a list (``Tag("list")``) from what may stand in its place (``Tag("other")``)."""
NUMBER_OR_OTHER: Final = Discriminator(_number_or_other)
"""Tells a number (``Tag("number")``) from what may stand in its place (``Tag("other")``)."""


Time = Annotated[int, QuantityKey(units.TIME)]
"""Picoseconds, zero included."""
PositiveTime = Annotated[int, QuantityKey(units.TIME, positive=True)]
"""Picoseconds, at least one."""
RunLength = Annotated[int, QuantityKey(units.TIME, positive=True, largest=units.LONGEST_RUN)]
"""Picoseconds of simulated time, at least one, `pmsim.units.LONGEST_RUN` at most."""
TimeOrAuto = Annotated[int | Literal["auto"], QuantityKey(units.TIME, words=("auto",))]
"""Picoseconds, or ``auto``: found while running."""
PositiveTimeOrAuto = Annotated[
    int | Literal["auto"], QuantityKey(units.TIME, positive=True, words=("auto",))
]
"""Picoseconds, at least one, or ``auto``."""
Rate = Annotated[Fraction, QuantityKey(units.RATE)]
"""Events per second, zero included."""
Size = Annotated[int, QuantityKey(units.SIZE)]
"""Bytes, zero included."""
PositiveSize = Annotated[int, QuantityKey(units.SIZE, positive=True)]
"""Bytes, at least one."""
PageCount = Annotated[int, QuantityKey(units.PAGES)]
"""Pages, zero included."""
PositivePages = Annotated[int, QuantityKey(units.PAGES, positive=True, bare=True)]
"""Pages, at least one; the unit may be left out."""
