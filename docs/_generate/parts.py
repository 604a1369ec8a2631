"""The reference of the parts of the simulation: a page for each package, by autodoc."""

from __future__ import annotations

import pkgutil
from importlib import import_module

ROOMS = ("hardware", "kernel")
"""The packages that models of real things live in."""

PART = """
## `{module}`

```{{eval-rst}}
.. automodule:: {module}
   :members:
```
"""


def part_pages() -> dict[str, str]:
    """Return a page for each of these packages, and for each package in them."""
    pages = {}
    for room in ROOMS:
        package = f"pmsim.{room}"
        path = import_module(package).__path__
        inside = [one for one in pkgutil.iter_modules(path) if not one.name.startswith("_")]
        pages[f"{room}.md"] = _page(package, [one.name for one in inside if not one.ispkg])
        for one in inside:
            if one.ispkg:
                pages[f"{room}-{one.name}.md"] = _package(f"{package}.{one.name}")
    return pages


def _package(package: str) -> str:
    inside = pkgutil.iter_modules(import_module(package).__path__)
    return _page(package, [one.name for one in inside if not one.name.startswith("_")])


def _page(package: str, names: list[str]) -> str:
    said = f"```{{eval-rst}}\n.. automodule:: {package}\n```\n"
    modules = [PART.format(module=f"{package}.{name}") for name in sorted(names)]
    return f"# `{package}`\n\n{said}" + "".join(modules)
