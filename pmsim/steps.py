"""What takes simulated time: the steps of a task, on every floor."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Generator
from typing import Any, Literal, TypeAlias

Steps: TypeAlias = Generator[Any, Any, None]
"""The body of a task, or a call in it, used with ``yield from``: it waits through the machine's and
the kernel's calls only."""

Role: TypeAlias = Literal["foreground", "background", "daemon"]
"""Whether a run ``until: done`` waits for a task: always (foreground), never (background), or while
it does not wait for a completion itself (daemon)."""


def forgotten_wait(method: Callable[..., Any], owners: slice, plain: Collection[str]) -> str | None:
    """Return where a method makes a call and does not wait for it, which would do nothing.

    Parameters
    ----------
    method
        A generator. What is not known by its source, such as what was typed into Python, cannot be
        looked at.
    owners
        Which of its parameters have calls that take time.
    plain
        Their calls that take no time, and may stand alone.

    Returns
    -------
    str or None
        File and line with the call; None where no such call is seen.
    """
    try:
        lines, first = inspect.getsourcelines(method)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    parameters = set(list(inspect.signature(method).parameters)[owners])
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and _takes_time(node.value, parameters, plain):
            place = f"{inspect.getsourcefile(method)}:{first + node.lineno - 1}"
            return f"{place}: {ast.unparse(node)} does nothing without `yield from` before it"
    return None


def _takes_time(node: ast.expr, owners: Collection[str], plain: Collection[str]) -> bool:
    """Return whether an expression is a bare call of an owner's."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    owner = node.func.value
    return isinstance(owner, ast.Name) and owner.id in owners and node.func.attr not in plain
