"""The commands, from the functions behind them: their parameters and what is annotated there."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, NamedTuple, get_args, get_type_hints

from typer.models import ArgumentInfo

from docs._generate.markdown import code, prose, table
from pmsim.cli.app import app

HEAD = """\
# Commands

The exit status is 0 when all is done, 1 when a run failed in simulated time, 2 for bad usage or a
bad scenario, and 130 for an interrupt. `-h` or `--help` behind a command prints the same as this
page.
"""


class Parameter(NamedTuple):
    """One parameter of a command: its name and default, its type, and what typer is told of it."""

    name: str
    default: Any
    types: tuple[Any, ...]
    info: Any

    @property
    def is_argument(self) -> bool:
        """Whether it stands in the command by its place."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def shown(self) -> str:
        """Return what stands in its place: ``FILE...``, ``--out DIR``."""
        if self.is_argument:
            return self.info.metavar or self.name.upper()
        takes = "" if bool in self.types else f" {self.info.metavar or self._kind}"
        return ", ".join(sorted(self._spelled, key=len)) + takes

    @property
    def _spelled(self) -> list[str]:
        # In an annotation the first spelling stands where the default would otherwise.
        first = [self.info.default] if isinstance(self.info.default, str) else []
        given = [*first, *(self.info.param_decls or ())]
        return given or [f"--{self.name.replace('_', '-')}"]

    @property
    def _kind(self) -> str:
        return "N" if int in self.types else "VALUE" if self.choices else "TEXT"

    @property
    def choices(self) -> list[str]:
        """Return the words that it may be, where there are only some."""
        kinds = [one for one in self.types if isinstance(one, type) and issubclass(one, Enum)]
        return [str(word.value) for kind in kinds for word in kind]


def command_page() -> str:
    """Return every command with its arguments and options."""
    return HEAD + "".join(map(_section, app.registered_commands))


def _section(command: Any) -> str:
    function = command.callback
    name = command.name or function.__name__
    parameters = _parameters(function)
    arguments = [one.shown for one in parameters if one.is_argument]
    usage = " ".join(["pmsim", name, *arguments, *["[OPTIONS]"][: len(parameters)]])
    rows = [(code(one.shown), _meaning(one)) for one in parameters]
    options = f"\n{table(('', 'meaning'), rows)}" if rows else ""
    return f"\n## `pmsim {name}`\n\n{prose(function.__doc__)}\n\n```text\n{usage}\n```\n{options}"


def _parameters(function: Any) -> list[Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = get_args(hints[name])[:2]
        found.append(Parameter(name, parameter.default, (kind, *get_args(kind)), info))
    return sorted(found, key=lambda one: not one.is_argument)


def _meaning(parameter: Parameter) -> str:
    said = parameter.info.help or ""
    if parameter.choices:
        said += f" One of {', '.join(map(code, parameter.choices))}."
    default = parameter.default
    if default in (None, False, inspect.Parameter.empty):
        return said
    return f"{said} Default: {getattr(default, 'value', default)}."
