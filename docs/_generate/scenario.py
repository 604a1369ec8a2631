"""The keys of scenario files and of platform files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs._generate.markdown import prose, table
from docs._generate.schema import key_table, references
from pmsim.constants import FACTORS
from pmsim.scenario.schema import schema
from pmsim.scenario.sources import BASES

HEAD = """\
# Scenario files

Every key of a scenario, from the same models that `pmsim check` uses. `pmsim schema` prints them
as a JSON Schema for editors; the keys of each kind of workload have
[a page of their own](workloads.md).

A scenario is YAML 1.2. A quantity is a number with its unit: a time (`250ns`, `2s`), a size
(`4KiB`, `1MB`), a number of pages (`4 pages`), a rate (`2/s`). A bare number where a unit is needed
is a fault.
"""

SOURCES = """\

## Constants with their sources

Every value below `topology` and `costs` may be written with what it rests on:
`{value: 100ns, basis: derived, source: "where that is written", range: [80ns, 150ns]}`. The basis
is one of these, and says how far a time or a share may be off that gives no `range`.

"""

RANGES = """
The range of a cost is what the file says; where that says nothing, what the cost itself declares
(`walk` may take five times as long from cold caches; some [kernel work](#machinecostskernel) has
ends of its own); and else the basis' factor, each way. Counts and switches are facts of a machine
and have no range but their own. Ranges change no run: they are for
[how sure a time is](../uncertainty.md).
"""


def scenario_page() -> str:
    """Return all keys but those of workloads, a section for each mapping."""
    whole = schema()
    definitions = whole["$defs"]
    places = dict(_places(whole, definitions))
    titles = {name: f"`{path}`" for name, path in places.items()}

    def link(name: str) -> str:
        return f"[{titles[name]}](#{_anchor(places[name])})"

    parts = [HEAD, "\n## The scenario\n\n", key_table(whole, link)]
    for name in places:
        said = prose(definitions[name].get("description", "").partition("\n\nNotes\n")[0])
        parts.append(f"\n## {titles[name]}\n\n{said}\n\n{key_table(definitions[name], link)}")
    bases = [(f"`{basis}`", means, _factor(basis)) for basis, means in BASES.items()]
    bases.append(("none", "nobody says", _factor("")))
    return "".join(parts) + SOURCES + table(("basis", "means", "may be off by"), bases) + RANGES


def _factor(basis: str) -> str:
    """Return how far a number of a basis may be off."""
    factor = FACTORS[basis]
    return f"a factor of {float(factor):g} each way" if factor > 1 else "nothing"


def _places(
    part: Mapping[str, Any], definitions: Mapping[str, Any], path: str = "", seen: Any = None
) -> Iterator[tuple[str, str]]:
    """Yield every definition once, with the dotted path of the key that it stands behind."""
    seen = set() if seen is None else seen
    for key, value in part["properties"].items():
        if not path and key == "workloads":
            continue
        for name in references(value):
            # A platform's keys are those of a machine.
            if name not in seen:
                seen.add(name)
                below = f"{path}.{key}" if path else key
                yield name, _heading(name, below)
                yield from _places(definitions[name], definitions, below, seen)


def _heading(name: str, path: str) -> str:
    return f"{path}.platform" if name == "PlatformKeys" else path


def _anchor(heading: str) -> str:
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
