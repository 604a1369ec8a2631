"""Text that users, or somebody else's files, bring along, made harmless where it is shown."""

from __future__ import annotations

import html
import re
from typing import Final

_ACTS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that are not seen but do something: control a terminal, turn the direction of text."""
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def visible(text: str, lines: bool = False) -> str:
    r"""Return text with what is not seen but acts written out: ESC as ``\x1b``.

    Parameters
    ----------
    text
        What is to be shown.
    lines
        Whether line breaks are left, as in a message of several lines.
    """
    return _ACTS.sub(lambda found: _written_out(found.group(), lines), text)


def escape(text: str) -> str:
    """Return text for an HTML page: seen as it is, line breaks kept."""
    return html.escape(visible(text, lines=True))


def inert(text: str) -> str:
    """Return text for a CSV file: a spreadsheet takes none of it for a formula.

    What begins as a formula does, ``=HYPERLINK(...)`` for one, gets an apostrophe in front, which
    spreadsheets take for *this is text*. Numbers stay as they are.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _written_out(character: str, lines: bool) -> str:
    if lines and character == "\n":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
