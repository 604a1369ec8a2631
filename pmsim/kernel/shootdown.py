"""The key ``shootdown`` of a kernel: which protocol is to be used, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pmsim.constants import declarations
from pmsim.hardware.shootdown.protocol import Count, Option, Protocol, Shootdown, with_options
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.quantities import refused

NATIVE: Final = "native"
"""The word for what the kernel does by itself."""

_SWITCHES: Final = {"true": True, "false": False}
"""What stands in a file for options that can be on and off."""


class _Key:
    """Reads ``NAME``, ``{NAME: {option: value}}`` or ``native`` for pydantic."""

    def validate(self, value: Any) -> Shootdown | str:
        """Return the protocol with its options."""
        if value == NATIVE:
            return NATIVE
        if isinstance(value, Shootdown):
            return value
        if isinstance(value, str):
            return Shootdown(_protocol(value))
        if isinstance(value, dict) and len(value) == 1:
            ((name, options),) = value.items()
            return _with_options(_protocol(str(name)), options)
        raise refused("wrong-type", "a shootdown is a protocol's name, or a mapping of one",
                      "for example {ipi: {ack: entry}}")  # fmt: skip

    def write(self, value: Shootdown | str) -> Any:
        """Return what stands in a file for it."""
        if isinstance(value, str):
            return value
        options = {one.name: one for one in value.protocol.options}
        chosen = {
            name: int(word) if isinstance(options[name], Count) else _SWITCHES.get(word, word)
            for name, word in value.chosen
        }
        return {value.protocol.name: chosen} if chosen else value.protocol.name

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the validator and the serialiser."""
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe what can stand in a file."""
        chosen = {
            "type": "object",
            "properties": {name: _options_schema(one) for name, one in PROTOCOLS.items()},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"anyOf": [{"enum": [NATIVE, *PROTOCOLS]}, chosen]}


ShootdownKey = Annotated[Shootdown | Literal["native"], _Key()]
"""A protocol by name, ``{NAME: {option: value}}``, or ``native``."""


def _options_schema(protocol: Protocol) -> JsonSchemaValue:
    values = {one.name: _option_schema(one) for one in protocol.options}
    return {"type": "object", "properties": values, "additionalProperties": False}


def _option_schema(option: Option | Count) -> JsonSchemaValue:
    if isinstance(option, Count):
        what: JsonSchemaValue = {
            "type": "integer", "minimum": option.least, "maximum": option.most,
            "default": option.default_number,
        }  # fmt: skip
    else:
        what = {"enum": [_SWITCHES.get(value.name, value.name) for value in option.values]}
    return {**what, "description": option.text}


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        hint = _as_a_mapping(name) or _near(name, PROTOCOLS)
        if hint.startswith("known"):
            hint = f"{hint}; your own: --protocols FILE, or @pmsim.protocol"
        raise refused("bad-value", f"there is no protocol '{name}'", hint)
    return PROTOCOLS[name]


def _as_a_mapping(name: str) -> str:
    """Say how options are given, where a name is as tables call a protocol: ``ipi,ack=entry``."""
    protocol, *options = name.split(",")
    pairs = [one.split("=", 1) for one in options if "=" in one]
    if protocol in PROTOCOLS and pairs and len(pairs) == len(options):
        written = ", ".join(": ".join(pair) for pair in pairs)
        return f"options stand in a mapping: {{{protocol}: {{{written}}}}}"
    option, equals, value = name.partition("=")
    having = [one.name for one in PROTOCOLS.values() if option in {of.name for of in one.options}]
    if equals and having:
        return f"options stand in a mapping: {{{having[0]}: {{{option}: {value}}}}}"
    return ""


def _with_options(protocol: Protocol, options: Any) -> Shootdown:
    if not isinstance(options, dict):
        hint = f"for example {protocol.name}: {{}}"
        raise refused("wrong-type", f"the options of {protocol.name} are no mapping", hint)
    known = {one.name: one for one in protocol.options}
    words = {}
    for name, value in options.items():
        if name not in known:
            message = f"{protocol.name} has no option '{name}'"
            raise refused("unknown-key", message, _elsewhere(protocol, str(name), known))
        words[name] = _word(protocol, known[name], value)
    return with_options(protocol, words)


def _elsewhere(protocol: Protocol, name: str, known: Mapping[str, Any]) -> str:
    """Say where a word belongs that is no option, or which option is near."""
    declared: type = protocol.costs
    if name in {one.key for one in declarations(declared)}:
        return f"it is a cost of the machine: costs: {{{protocol.name}: {{{name}: ...}}}}"
    if name == "order":
        return "it is a key of the kernel: crosscall_order: serial"
    return _near(name, known)


def _word(protocol: Protocol, option: Option | Count, value: Any) -> str:
    """Return a value as it is kept; of a switch ``true`` or ``false``."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    word = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    if isinstance(option, Count):
        if is_number and option.least <= value <= option.most:
            return word
        hint = f"a whole number from {option.least} to {option.most}"
    else:
        known = [one.name for one in option.values]
        if word in known and not is_number:
            return word
        hint = _near(word, known)
    raise refused("bad-value", f"{option.name} of {protocol.name} is not '{value}'", hint)


def _near(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if known else "it has none"
