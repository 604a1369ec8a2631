"""What is wrong with YAML, in words for those who write it: not those of its parser."""

from __future__ import annotations

import re
from typing import Final

_CLOSES: Final = {"[": "]", "{": "}"}
_INDENTED: Final = "check the indentation against the lines above"

_SAID: Final = (
    (
        r"mapping values are not allowed here",
        "': ' cannot stand here",
        "check the indentation, and quote text with ': ' in it",
    ),
    (
        r"could not find expected ':'",
        "a key without its colon",
        "a key needs a colon and a blank behind it",
    ),
    (
        r"found unexpected end of stream",
        "a quote that is never closed",
        "the same quote belongs at the end of the text",
    ),
    (
        r"expected ',' or '([\]}])', but got '(.*)'",
        r"'\2' cannot stand here, where ',' or '\1' would",
        "",
    ),
    (
        r"expected the node content, but found '(.*)'",
        r"a value is missing before '\1'",
        "",
    ),
    (
        r"expected <block end>, but found '-'|block sequence entries are not allowed here",
        "a list's '- ' cannot stand here",
        _INDENTED,
    ),
    (
        r"expected <block end>, but found .*",
        "this does not belong to what stands above it",
        _INDENTED,
    ),
    (
        r"found character '(.*)' that cannot start any token",
        r"'\1' cannot begin a value",
        "quote the text",
    ),
)
"""What ruamel.yaml calls a problem, what is said instead, and what would be right."""


def in_words(problem: str, context: str, opened: str | None) -> tuple[str, str]:
    """Return what is wrong, and what would be right.

    Parameters
    ----------
    problem, context
        What the parser says of it.
    opened
        The bracket or brace that is open where the file ends; None where it goes on.
    """
    if opened in _CLOSES and "<stream end>" in problem:
        return f"'{opened}' is never closed", f"'{_CLOSES[opened]}' belongs at its end"
    for pattern, message, hint in _SAID:
        found = re.fullmatch(pattern, problem)
        if found is not None:
            return found.expand(message), hint
    return f"this is not YAML: {f'{context}: ' if context else ''}{problem}", ""
