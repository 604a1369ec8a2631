"""The keys of every kind of workload."""

from __future__ import annotations

import re

from docs._generate.markdown import prose, table
from docs._generate.schema import Schema, key_table, references
from pmsim.scenario.schema import schema
from pmsim.workloads.registry import workload_kinds

HEAD = """\
# Workloads

What can stand behind `kind:` in a scenario's `workloads`, with every key. Draws are random only
where a key is given a distribution; each stream is keyed by the workload's name
([randomness](../randomness.md)).

"""


def workload_page() -> str:
    """Return all kinds, and the mappings that their keys share."""
    definitions = schema()["$defs"]
    kinds = {kind: definitions[f"workload_{kind}"] for kind in workload_kinds()}
    rows = [(f"[{kind}](#{kind})", prose(one["description"]).partition("\n")[0])
            for kind, one in kinds.items()]  # fmt: skip
    parts = [HEAD, table(("kind", "what happens"), rows)]
    parts += [_section(kind, one) for kind, one in kinds.items()]
    parts += [_section(_title(name), definitions[name]) for name in _shared(kinds, definitions)]
    return "".join(parts)


def _section(title: str, definition: Schema) -> str:
    said = prose(definition.get("description", ""))
    return f"\n## {title}\n\n{said}\n\n{key_table(definition, _link)}"


def _shared(kinds: dict[str, Schema], definitions: dict[str, Schema]) -> list[str]:
    """Return the definitions that kinds refer to, and those that these refer to."""
    found: dict[str, None] = {}
    waiting = list(kinds.values())
    while waiting:
        for name in references(waiting.pop(0)):
            if name not in found:
                found[name] = None
                waiting.append(definitions[name])
    return sorted(found, key=_title)


def _title(name: str) -> str:
    """Return ``ModuleSizes`` as ``a module sizes``-like words: the mapping's name, spaced."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Keys")).lower()
    return f"The mapping {words}"


def _link(name: str) -> str:
    title = _title(name)
    return f"[{title.removeprefix('The mapping ')}](#{title.lower().replace(' ', '-')})"
