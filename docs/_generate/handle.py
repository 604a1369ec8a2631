"""The handle that workloads get: `pmsim.kernel.handle`, written from the marks of the calls.

``python -m docs._generate.handle`` writes it alone, which ``make docs`` does too.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import pmsim.kernel
from pmsim.kernel.calls import calls_of

HANDLE = Path(pmsim.kernel.__path__[0]) / "handle.py"

HEAD: Final = '''\
"""The kernel as a workload sees it: every call under the kernel's own name, made by one task.

Sizes are bytes, or text with a unit (``"4KiB"``). Calls are generators, used with ``yield from``;
the few that take no time are plain and say so.

Written by ``make docs`` from the calls that parts define (`pmsim.kernel.calls`): change them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

{parts}
from pmsim.units import as_size

if TYPE_CHECKING:
{types}

Size = int | str
"""Bytes, or text with a unit."""


class KernelHandle:
    """All calls of a kernel, made as one task.

    Parameters
    ----------
    kernel
        The kernel; its parts offer more than these calls.
    task
        Who calls.
    """

    __slots__ = ({slots})

    def __init__(self, kernel: Kernel, task: Task) -> None:
        self.kernel = kernel
        self.task = task
        part = kernel.context.part
{attributes}

    @property
    def profile(self) -> KernelProfile:
        """Which kernel it is, key by key."""
        return self.kernel.profile

    @property
    def costs(self) -> KernelCosts:
        """CPU time of the kernel's work."""
        return self.kernel.costs
'''

CONVERSIONS: Final = {
    "Bytes": ("Size", "{0} if type({0}) is int else as_size({0})"),
    "Address": ("int | None", "{0} or 0"),
}
"""What a workload may give for an argument of a part, and what the part gets."""

OF_THE_HANDLE: Final = {
    "Kernel": "pmsim.kernel.kernel",
    "Task": "pmsim.hardware.task",
    "KernelCosts": "pmsim.kernel.costs",
    "KernelProfile": "pmsim.kernel.profile",
}
"""The names that the handle needs whatever its calls."""


class Part(NamedTuple):
    """A part that defines calls."""

    module: str
    name: str
    calls: dict[str, Callable[..., Any]]

    @property
    def attribute(self) -> str:
        """Where the handle keeps it."""
        return "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()


def parts() -> Iterator[Part]:
    """Yield every part of the kernel that defines calls, module by module."""
    for module in pkgutil.walk_packages(pmsim.kernel.__path__, "pmsim.kernel."):
        for name, one in vars(import_module(module.name)).items():
            if inspect.isclass(one) and one.__module__ == module.name and calls_of(one):
                yield Part(module.name, name, calls_of(one))


def handle() -> str:
    """Return the text of the module."""
    found = list(parts())
    bodies, used = [], dict(OF_THE_HANDLE)
    for part in found:
        known = _names(part.module)
        bodies.append(f"    # {part.module.removeprefix('pmsim.kernel.')}\n")
        for name, one in part.calls.items():
            body, names = method_text(part.attribute, name, one)
            bodies.append(body)
            used |= {word: known[word] for word in names if word in known}
    for part in found:
        used.pop(part.name, None)
    slots = [*(part.attribute for part in found), "kernel", "task"]
    head = HEAD.format(
        parts="\n".join(f"from {part.module} import {part.name}" for part in found),
        types="\n".join(f"    from {module} import {name}" for name, module in used.items()),
        slots=", ".join(f'"{one}"' for one in sorted(slots)),
        attributes="\n".join(f"        self.{p.attribute} = part({p.name})" for p in found),
    )
    return _formatted(head + "\n" + "\n".join(bodies))


def method_text(part: str, name: str, one: Callable[..., Any]) -> tuple[str, set[str]]:
    """Return the text of a method of the handle, and the words of its annotations.

    Parameters
    ----------
    part
        The handle's attribute that has the call.
    name, one
        The call, and the part's method.
    """
    signature = inspect.signature(one)
    _, *parameters = signature.parameters.values()
    passed, declared, words = [], [], set(re.findall(r"\w+", signature.return_annotation))
    for parameter in parameters:
        if parameter.name == "task":
            passed.append("self.task")
            continue
        kind, conversion = CONVERSIONS.get(parameter.annotation, (parameter.annotation, "{0}"))
        value = conversion.format(parameter.name)
        words |= set(re.findall(r"\w+", kind))
        only_named = parameter.kind is parameter.KEYWORD_ONLY
        if only_named and "*" not in declared:
            declared.append("*")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        declared.append(f"{parameter.name}: {kind}{default}")
        passed.append(f"{parameter.name}={value}" if only_named else value)
    returns = signature.return_annotation
    made = f"self.{part}.{name}({', '.join(passed)})"
    lines = [
        f"def {name}({', '.join(['self', *declared])}) -> {returns}:",
        textwrap.indent(f'"""{_docstring(one)}"""', "    "),
        f"    {made}" if returns == "Never" else f"    return {made}",
        "",
    ]
    return textwrap.indent("\n".join(lines), "    "), words


def _docstring(one: Callable[..., Any]) -> str:
    """Return a docstring without the task, which the handle knows."""
    text = inspect.cleandoc(one.__doc__ or "")
    text = text.replace("task\n    Who calls.\n", "").replace("task\n    Who writes.\n", "")
    text = re.sub(r"Parameters\n-+\n(?=\n)", "", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text + "\n" if "\n" in text else text


def _names(module: str) -> dict[str, str]:
    """Return the home of each name that a module defines or imports, be it for types only."""
    source = inspect.getsource(import_module(module))
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {one.asname or one.name: node.module for one in node.names}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = module
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = module
    return found


def _formatted(text: str) -> str:
    """Return a module's text as the repository's formatter and import sorter leave it."""
    for arguments in (["check", "--select", "I", "--fix", "-q"], ["format", "-q"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(HANDLE), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        text = done.stdout
    return text


if __name__ == "__main__":
    HANDLE.write_text(handle(), encoding="utf-8")
