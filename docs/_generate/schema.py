"""Keys of scenario files in words, from their JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from docs._generate.markdown import code, prose, table
from pmsim import units
from pmsim.kernel.profiles import profile_names
from pmsim.scenario.platform import platform_names

Schema = Mapping[str, Any]
Link = Callable[[str], str]
"""Returns the link to the section of a definition, by the definition's name."""

HEAD = ("key", "holds", "default", "meaning")
QUANTITIES = {
    "a time": units.TIME,
    "a size": units.SIZE,
    "a number of pages": units.PAGES,
    "a rate": units.RATE,
}

ENDLESS = 1 << 40
"""A limit that nobody reaches is not told."""


def key_table(definition: Schema, link: Link) -> str:
    """Return the keys of a mapping: what each holds, its default and its meaning."""
    required = definition.get("required", ())
    rows = [
        (code(key), holds(value, link), _default(key, value, required), prose(_meaning(value)))
        for key, value in definition["properties"].items()
        if "const" not in value or key == "pmsim"
    ]
    return table(HEAD, rows)


def references(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def holds(schema: Schema, link: Link) -> str:
    """Return in words what may stand there."""
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            parts = [holds(one, link) for one in schema[choice] if not _is_aside(one)]
            return " or ".join(dict.fromkeys(part for part in parts if part))
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if schema.get("enum") == profile_names():
        return "the name of [a kernel](../kernels.md)"
    if schema.get("examples") == platform_names():
        return "the name of [a platform](platforms.md), a path"
    if "then" in schema:
        return f"{holds(schema['then'], link)} or {holds(schema['else'], link)}"
    if "enum" in schema:
        return ", ".join(code(str(one)) for one in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    if "allOf" in schema:
        return "[a kind of workload](workloads.md)"
    return _plain(schema, link)


def _is_aside(schema: Schema) -> bool:
    """Return whether it says no more than that a key may be left out, or bear its source."""
    return schema.get("type") == "null" or "basis" in schema.get("properties", ())


def _plain(schema: Schema, link: Link) -> str:
    kind = schema.get("type")
    if schema.get("format") == "address":
        return f"an address, from {schema['minimum']:#x}"
    if kind == "array":
        return f"a list, each {holds(schema['items'], link)}" if "items" in schema else "a list"
    if kind == "string":
        return _text(schema)
    words = {"integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}
    return words.get(str(kind), "a mapping" if kind == "object" else "") + _limits(schema)


def _text(schema: Schema) -> str:
    """Return the quantity that a text stands for, found by the units which its pattern allows."""
    if schema.get("format") == "cpulist":
        return "CPUs as the kernel lists them"
    pattern = schema.get("pattern", "")
    for words, quantity in QUANTITIES.items():
        spelled = "|".join(unit.replace("/", r"/\s*") for unit in quantity.units)
        if f"({spelled}" in pattern:
            word = " or `auto`" if "|auto" in pattern else ""
            memory = " or memory" if quantity is units.PAGES and "KiB" in pattern else ""
            return words + _ends(schema) + word + memory
    return "text"


def _ends(schema: Schema) -> str:
    """Return the ends of a quantity that a key has of its own."""
    ends = (("from", "x-smallest"), ("to", "x-largest"))
    parts = [f"{word} {schema[name]}" for word, name in ends if name in schema]
    return f", {' '.join(parts)}" if parts else ""


def _limits(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = []
    if least:
        parts.append(f"from {least:,}")
    if above is not None:
        parts.append(f"above {above:,}")
    if most is not None and most < ENDLESS:
        parts.append(f"to {most:,}")
    if below is not None and below < ENDLESS:
        parts.append(f"below {below:,}")
    return f", {' '.join(parts)}" if parts else ""


def _default(key: str, schema: Schema, required: Any) -> str:
    if key in required:
        return "**required**"
    if "default" not in schema:
        return ""
    return as_yaml(schema["default"]) if schema["default"] not in (None, "", []) else "none"


def as_yaml(value: Any) -> str:
    """Return a value as it would stand in a file, as code; a long mapping is left out."""
    text = _yaml(value)
    return code(text) if len(text) <= 60 else "see below"


def _yaml(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value)


def _meaning(schema: Schema) -> str:
    return str(schema.get("description", ""))
