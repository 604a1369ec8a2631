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

EXAMPLE: Final = '@pmsim.protocol("my-protocol") above a class'

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
    sys.modules[shown] = module
    try:
        code = compile(path.read_bytes(), shown, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _refused(shown, 0, "unreadable", f"the file cannot be read: {reason}") from None
    except SyntaxError as error:
        fault = Fault(shown, error.lineno or 0, error.offset or 0, "python-syntax", str(error.msg))
        raise ScenarioError([fault]) from None
    except Exception as error:
        raise _failed(shown, error) from None
    finally:
        del sys.modules[shown]
    names = [name for name in PROTOCOLS if PROTOCOLS.of(name) is not before.get(name)]
    if not names:
        raise _refused(shown, 0, "no-protocol", "the file registers no protocol", EXAMPLE)
    return names


def _refused(file: str, line: int, code: str, message: str, hint: str = "") -> ScenarioError:
    return ScenarioError([Fault(file, line, 1 if line else 0, code, message, hint)])


def _failed(shown: str, error: Exception) -> ScenarioError:
    """Return what was raised while the file was run, at the line of the file that led to it."""
    placed = _PLACED.match(str(error))
    if placed is not None and placed["file"] == shown:
        return _refused(shown, int(placed["line"]), "bad-protocol", placed["message"])
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if frame.filename == shown]
    said = str(error) if isinstance(error, TypeError | ValueError) else ""
    message = said or f"{type(error).__name__}: {error}"
    return _refused(shown, lines[-1] if lines else 0, "bad-protocol", message)
