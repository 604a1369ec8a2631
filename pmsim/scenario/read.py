"""From a file to a tree of nodes with places, within budgets.

Only what YAML itself says is looked at here: text, syntax, keys that stand twice, aliases. What
the keys mean is the models' business (`pmsim.scenario.model`). A syntax error ends the reading, so
it is reported alone; all other faults of a file come together.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NoReturn

from pmsim.errors import Fault, ScenarioError
from pmsim.inputs import kind_of, read_whole
from pmsim.readers.formats import LOOKED_AT, trace_hint
from pmsim.readers.stream import TextStream
from pmsim.scenario.nodes import Node
from pmsim.scenario.syntax import in_words
from pmsim.scenario.tree import TreeBuilder

MAX_BYTES: Final = 1 << 20
"""The largest file that is read, in bytes. A long program belongs in a trace file beside it."""

_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BINARY: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def read_file(path: Path, shown: str | None = None) -> Node:
    """Read a YAML file.

    Parameters
    ----------
    path
        The file.
    shown
        Its name in messages; ``path`` as given if omitted.

    Raises
    ------
    ScenarioError
        If it cannot be read, is no text, or not one YAML document within the budgets.
    """
    name = str(path) if shown is None else shown
    _refuse_traces(path, name)
    return parse(_text(_bytes(path, name), name), name)


def parse(text: str, file: str) -> Node:
    """Parse YAML text, ``file`` being its name in messages; raise `ScenarioError`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    _check_characters(text, file)
    builder = TreeBuilder(file)
    try:
        # Event by event: nothing is built that a budget has not seen.
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        _refuse(*builder.faults, _syntax_fault(error, text, file, builder.unclosed()))
    except YAMLError as error:
        _refuse(Fault(file, 1, 1, "yaml-syntax", f"this is not YAML: {error}"))
    return builder.root()


def _refuse_traces(path: Path, name: str) -> None:
    """Say where to go with a trace, or another file of the kernel, whatever its size."""
    try:
        if kind_of(path):
            return
        hint = trace_hint(TextStream(path).head(LOOKED_AT))
    except (OSError, ScenarioError):
        return  # what is wrong with it, its reader says
    if hint:
        _refuse(Fault(name, 0, 0, "no-scenario", "this is no scenario", hint))


def _refuse(*faults: Fault) -> NoReturn:
    raise ScenarioError(faults) from None


def _bytes(path: Path, name: str) -> bytes:
    try:
        return read_whole(path, name, MAX_BYTES, "put programs into trace files beside it")
    except FileNotFoundError:
        _refuse(Fault(name, 0, 0, "no-such-file", "there is no such file"))
    except OSError as error:
        reason = error.strerror or str(error)
        _refuse(Fault(name, 0, 0, "unreadable", f"the file cannot be read: {reason}"))


def _text(content: bytes, name: str) -> str:
    if b"\x00" in content:
        _refuse(_at(content[: content.index(b"\x00")].decode("utf-8", "replace"), name, "not-text",
                    "this is a binary file, not text", "a scenario is a YAML file"))  # fmt: skip
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        bad = content[error.start]
        _refuse(_at(before, name, "not-utf8", f"byte 0x{bad:02x} is not UTF-8",
                    "save the file as UTF-8"))  # fmt: skip


def _check_characters(text: str, file: str) -> None:
    if match := _BINARY.search(text):
        message = f"character U+{ord(match.group()):04X} cannot stand in YAML"
        _refuse(_at(text[: match.start()], file, "not-text", message, "is this a text file?"))


def _at(before: str, file: str, code: str, message: str, hint: str) -> Fault:
    """Return a fault at the place behind some text."""
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Fault(file, line, column, code, message, hint)


def _syntax_fault(error: Any, text: str, file: str, unclosed: tuple[int, int] | None) -> Fault:
    """Return the fault of a syntax error, at the place where a reader would look for it."""
    problem = str(error.problem or "this is not YAML")
    line, column = _syntax_place(error, problem, unclosed)
    if "'\\t'" in problem:
        message, hint = "a tab stands where YAML wants spaces", "indent with spaces"
        return Fault(file, line, column, "tab", message, hint)
    opened = None if unclosed is None else _character(text, *unclosed)
    message, hint = in_words(problem, str(error.context or ""), opened)
    return Fault(file, line, column, "yaml-syntax", message, hint)


def _character(text: str, line: int, column: int) -> str:
    """Return what stands at a place, lines being those of YAML."""
    lines = _LINE_BREAK.split(text)
    return lines[line - 1][column - 1 : column] if line <= len(lines) else ""


def _syntax_place(error: Any, problem: str, unclosed: tuple[int, int] | None) -> tuple[int, int]:
    """Return line and column; what never ends is reported where it begins."""
    mark = error.problem_mark or error.context_mark
    if "<stream end>" in problem and unclosed is not None:
        return unclosed
    begins_earlier = "end of stream" in problem or "could not find expected" in problem
    if begins_earlier and error.context_mark is not None:
        mark = error.context_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
