"""Protocols in a file of somebody's own: Python, with classes under ``@pmsim.protocol``."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.inputs import read_whole
from pmsim.scenario.faults import did_you_mean

EXAMPLE: Final = '@pmsim.protocol("my-protocol") above a class'
MOST_BYTES: Final = 1 << 24
"""Of a file that is read: no code that people write is larger (a limit of pmsim's own)."""

_THE_PAGE: Final = "docs/own-protocol.md builds one"

_PLACED: Final = re.compile(r"^(?P<file>.+?):(?P<line>\d+): (?P<message>.*)$", re.DOTALL)


def load_protocols(path: Path) -> list[str]:
    """Run a Python file that registers protocols, and return their names.

    Its classes go to worker processes as they are, so that these need not have the file.

    Raises
    ------
    ScenarioError
        If it cannot be read or run, or registers nothing.
    """
    shown = str(path)
    before = {name: PROTOCOLS.of(name) for name in PROTOCOLS}
    module = ModuleType(shown)
    module.__file__ = shown
    # Not importable by its name, so that what is sent elsewhere is sent whole.
    text = _text(path)
    sys.modules[shown] = module
    try:
        exec(compile(text, shown, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise _unwritten(shown, error) from None
    except (Exception, SystemExit) as error:
        raise _failed(shown, error) from None
    finally:
        del sys.modules[shown]
    names = [name for name in PROTOCOLS if PROTOCOLS.of(name) is not before.get(name)]
    if not names:
        raise _refused(shown, 0, "no-protocol", "the file registers no protocol", EXAMPLE)
    return names


def _text(path: Path) -> bytes:
    """Return what is in a file; say which other one may be meant where it is not there."""
    shown = str(path)
    try:
        return read_whole(path, shown, MOST_BYTES, f"a file with {EXAMPLE}")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = f"a Python file with {EXAMPLE}"
        if isinstance(error, FileNotFoundError):
            near = did_you_mean(path.name, _beside(path))
            hint = near if near.endswith("?") else f"{hint}; {_THE_PAGE}"
        message = f"the file cannot be read: {reason}"
        raise _refused(shown, 0, "unreadable", message, hint) from None


def _beside(path: Path) -> list[str]:
    """Return the names of Python files where a file was looked for."""
    try:
        return sorted(one.name for one in path.parent.glob("*.py"))
    except OSError:
        return []


def _unwritten(shown: str, error: SyntaxError) -> ScenarioError:
    """Return that Python does not read a file, or one that it imports."""
    where = shown if error.filename in (None, shown) else str(error.filename)
    line = "" if "unicode" in error.msg else (error.text or "").strip()
    hint = f"mend `{line}`" if line else "it has to be text in UTF-8"
    message = f"this is no Python: {error.msg}"
    place = (error.lineno or 0, error.offset or 0)
    checks = f"`python -m py_compile {where}` checks it without running it"
    return ScenarioError([Fault(where, *place, "python-syntax", message, f"{hint}; {checks}")])


def _refused(file: str, line: int, code: str, message: str, hint: str = "") -> ScenarioError:
    return ScenarioError([Fault(file, line, 1 if line else 0, code, message, hint)])


def _failed(shown: str, error: BaseException) -> ScenarioError:
    """Return what was raised while the file was run, at the line of the file that led to it."""
    placed = _PLACED.match(str(error))
    if placed is not None and placed["file"] == shown:
        return _refused(shown, int(placed["line"]), "bad-protocol", placed["message"])
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if frame.filename == shown]
    said = str(error) if isinstance(error, TypeError | ValueError) else ""
    message = said or f"{type(error).__name__}: {error}"
    hint = ""
    if isinstance(error, ImportError):
        hint = "install it, or set PYTHONPATH to where it is"
    elif isinstance(error, SystemExit):
        message = "the file ends the program (sys.exit)"
        hint = "what it does as a program of its own goes under if __name__ == '__main__'"
    return _refused(shown, lines[-1] if lines else 0, "bad-protocol", message, hint)
