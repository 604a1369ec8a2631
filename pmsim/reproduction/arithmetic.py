"""Sums that a description may ask for: ``M0531 - M0533``, ``256 * one - batch``."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Final

_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
LONGEST: Final = 200
"""Characters of the longest sum that is read."""


def names_in(text: str) -> list[str]:
    """Return the names that a sum reads, each once, in the order of their first use.

    Raises
    ------
    ValueError
        If the text is no sum of names and numbers.
    """
    found: dict[str, None] = {}
    _check(_parsed(text), found)
    return list(found)


def evaluate(text: str, values: Mapping[str, float]) -> float:
    """Return what a sum comes to.

    Raises
    ------
    ValueError
        If it is none, or comes to nothing finite.
    KeyError
        If it reads a name that has no value.
    """
    tree = _parsed(text)
    try:
        result = _value(tree, values)
    except ZeroDivisionError:
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"'{text}' comes to no finite number")
    return result


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ValueError(f"a sum has at most {LONGEST} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' is no sum of names and numbers") from None


def _check(node: ast.expr, found: dict[str, None]) -> None:
    match node:
        case ast.Name(id=name):
            found[name] = None
        case ast.Constant(value=bool()):
            raise ValueError("true and false are no numbers")
        case ast.Constant(value=int() | float()):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            _check(left, found)
            _check(right, found)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, found)
        case _:
            raise ValueError("only names, numbers, + - * / and brackets can stand in a sum")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
    raise ValueError("only names, numbers, + - * / and brackets can stand in a sum")
