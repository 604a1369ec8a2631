"""The keys of a kind of workload, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pmsim.workloads.registry import workload_kinds


@dataclass(frozen=True, slots=True)
class KeyDoc:
    """One key of a kind, for people: what it is called, holds, and means."""

    name: str
    default: str
    description: str

    REQUIRED: ClassVar[str] = "required"


def key_docs(kind: str) -> tuple[KeyDoc, ...]:
    """Return the keys of a kind, its own ones before those that many kinds have."""
    model = workload_kinds()[kind]
    common = ("arrival", "cpus", "cpu", "working_set", "name")
    names = [name for name in model.model_fields if name not in (*common, "kind")]
    names += [name for name in common if name in model.model_fields]
    blank = model.model_construct(name=kind)
    written = blank.model_dump(mode="json", warnings=False)
    docs = []
    for name in names:
        field = model.model_fields[name]
        default = KeyDoc.REQUIRED if field.is_required() else _plain(written[name])
        docs.append(KeyDoc(name, default, field.description or ""))
    return tuple(docs)


def _plain(value: object) -> str:
    """Write a default as it would stand in a file."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    return str(value)
