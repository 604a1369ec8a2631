"""The commands of ``pmsim``, as Typer makes them, but for what they say of a wrong option."""

from __future__ import annotations

import re
from typing import Any, Final

from typer.core import TyperCommand

_SAID: Final = (
    (r"Input should be a valid integer.*", "a whole number belongs here, for example 8"),
    (r"Input should be a valid number.*", "a number belongs here, for example 15"),
    (r"Input should be greater than or equal to (.*)", r"it is at least \1"),
    (r"Input should be less than or equal to (.*)", r"it is at most \1"),
    (r"(?:Value error, )?(.* is not one of .*)", r"\1"),
    (r"(?:Value error, |Input should be )(.*)", r"\1"),
    (r"Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", r"too much is given: \1"),
)
"""What Typer says since it has pydantic read options, and what is said instead."""
_ONE_OF: Final = re.compile(r"'(?P<given>.*?)' is not one of (?P<known>.*?)\.?$", re.DOTALL)


class Command(TyperCommand):
    """A command that says in plain words what is wrong with an option, and what would be right."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options; whatever is wrong with them is said anew."""
        try:
            return super().make_context(*args, **kwargs)
        except Exception as error:
            message = getattr(error, "message", None)
            if isinstance(message, str):
                error.message = plain(message)  # type: ignore[attr-defined]
            raise


def plain(message: str) -> str:
    """Return what is wrong with an option in plain words."""
    for pattern, instead in _SAID:
        if re.fullmatch(pattern, message, re.DOTALL):
            message = re.sub(pattern, instead, message, count=1, flags=re.DOTALL)
            break
    choice = _ONE_OF.fullmatch(message)
    if choice is None:
        return message
    from difflib import get_close_matches

    known = re.findall(r"'([^']*)'", choice["known"])
    near = get_close_matches(choice["given"], known, n=1)
    said = f"'{choice['given']}' is not one of {', '.join(known)}"
    return f"{said}: did you mean {near[0]}?" if near else f"{said}."
