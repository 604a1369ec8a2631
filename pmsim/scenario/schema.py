"""The JSON Schema of scenario files, for editors: completion, and most faults as one types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import profile_names
from pmsim.scenario.costs import own_protocols, protocol_keys
from pmsim.scenario.machine import MachineKeys
from pmsim.scenario.model import ScenarioKeys
from pmsim.scenario.platform import platform_names
from pmsim.scenario.sources import BASES
from pmsim.workloads.registry import workload_kinds

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES: Final = "#/$defs/{model}"
_SOURCED_MODELS: Final = ("TopologyKeys", "DistanceKeys", "IpiKeys", "TlbKeys", "TlbiKeys",
                          "SbiKeys", "CoherentKeys", "DirectoryKeys", "RarKeys", "DeferredKeys",
                          "LatrKeys",
                          "SchedKeys", "IdleKeys", "JitterKeys", "HostKeys",
                          "MemoryKeys", "KernelKeys")  # fmt: skip


class _SchemaOfFiles(GenerateJsonSchema):
    """Defaults of quantities as they would stand in a file, with their units."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        write = _writer(schema["schema"])
        default = schema.get("default")
        if write is not None and isinstance(default, int | Fraction):
            described["default"] = write(default)
        return described


def _writer(schema: Any) -> Callable[[Any], str] | None:
    """Return what writes a quantity as text, ``None`` where the schema holds no quantity."""
    if schema["type"] == "nullable":
        return _writer(schema["schema"])
    if schema["type"] == "tagged-union":
        writers = (_writer(choice) for choice in schema["choices"].values())
        return next((write for write in writers if write is not None), None)
    write: Callable[[Any], str] | None = schema.get("serialization", {}).get("function")
    return write


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of scenario files.

    It covers every key and value that can be judged alone. What depends on several keys together,
    a CPU that the machine does not have for one, is left to `pmsim check`.
    """
    definitions: dict[str, Any] = {}
    scenario = _of(ScenarioKeys, definitions)
    _of(MachineKeys, definitions)
    own = _own_costs(definitions)
    scenario["properties"]["machine"] |= _machine(definitions)
    scenario["properties"]["kernel"] |= _kernel(definitions)
    scenario["properties"]["workloads"]["items"] = _workload(definitions)
    _allow_sources(definitions, (*_SOURCED_MODELS, *own))
    title = {"$schema": _DIALECT, "title": "pmsim scenario"}
    return {**title, **{k: v for k, v in scenario.items() if k != "title"}, "$defs": definitions}


def _of(model: type[BaseModel], definitions: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Return the schema of a model; those it refers to, and its own, go to ``definitions``."""
    found = model.model_json_schema(ref_template=_REFERENCES, schema_generator=_SchemaOfFiles)
    definitions.update(found.pop("$defs", {}))
    if model is not ScenarioKeys:
        definitions[name or model.__name__] = found
    return found


def _machine(definitions: dict[str, Any]) -> dict[str, Any]:
    full = definitions["MachineKeys"]
    changes = {
        key: value for key, value in full["properties"].items() if key not in ("topology", "costs")
    }
    definitions["PlatformKeys"] = {
        "type": "object",
        "description": "A platform, and other values for some of its keys.",
        "properties": {
            "platform": {"type": "string", "description": "Its name, or a path to its file."},
            **changes,
            "topology": {"type": "object", "description": "Other values for some keys."},
            "costs": {"type": "object", "description": "Other values for some keys."},
        },
        "required": ["platform"],
        "additionalProperties": False,
    }
    name = {"type": "string", "examples": platform_names()}
    mapping = {
        "type": "object",
        "if": {"required": ["platform"]},
        "then": {"$ref": "#/$defs/PlatformKeys"},
        "else": {"$ref": "#/$defs/MachineKeys"},
    }
    return {"anyOf": [name, mapping]}


def _kernel(definitions: dict[str, Any]) -> dict[str, Any]:
    profile = _of(KernelProfile, definitions)
    names = {"type": "string", "enum": profile_names(), "description": "The profile's name."}
    keys = {key: value for key, value in profile["properties"].items() if key != "name"}
    definitions["KernelProfile"] = {
        "type": "object",
        "description": "A kernel profile, and other values for some of its keys.",
        "properties": {"profile": names, **{k: _without_default(v) for k, v in keys.items()}},
        "required": ["profile"],
        "additionalProperties": False,
    }
    return {"anyOf": [names, {"$ref": "#/$defs/KernelProfile"}]}


def _without_default(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key != "default"}


def _workload(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a choice by kind, so that an editor speaks of the kind that is meant."""
    kinds = workload_kinds()
    choices = []
    for kind, model in kinds.items():
        name = f"workload {kind}".replace(" ", "_")
        described = _of(model, definitions, name)
        described["required"] = ["kind", *described.get("required", [])]
        when = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        choices.append({"if": when, "then": {"$ref": f"#/$defs/{name}"}})
    return {
        "type": "object",
        "properties": {"kind": {"enum": list(kinds), "description": "The kind of workload."}},
        "required": ["kind"],
        "allOf": choices,
    }


def _own_costs(definitions: dict[str, Any]) -> list[str]:
    """Add the costs of protocols that are not pmsim's own; return their names."""
    added = []
    for name, protocol in own_protocols().items():
        model = f"protocol_{name}"
        _of(protocol_keys(protocol), definitions, model)
        definitions["CostKeys"]["properties"][name] = {"$ref": f"#/$defs/{model}"}
        added.append(model)
    return added


def _allow_sources(definitions: dict[str, Any], models: Iterable[str]) -> None:
    """Let every constant of a machine carry its basis and source."""
    for name in models:
        for key, value in definitions[name]["properties"].items():
            if key == "name":
                continue
            sourced = {
                "type": "object",
                "properties": {
                    "value": _without_default(value),
                    "basis": {"enum": list(BASES)},
                    "source": {"type": "string"},
                    "range": {"type": "array", "minItems": 2, "maxItems": 2},
                },
                "required": ["value"],
                "additionalProperties": False,
            }
            kept = {k: v for k, v in value.items() if k in ("default", "description", "title")}
            definitions[name]["properties"][key] = {"anyOf": [value, sourced], **kept}
