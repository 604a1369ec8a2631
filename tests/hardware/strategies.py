"""Hypothesis strategies for machines and the programs that run on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tests.reference.generate import random_cut, random_program
from tests.reference.program import Program, Result

T = TypeVar("T")


class Drawn:
    """Choices that Hypothesis makes, and makes smaller when it finds a difference."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choice(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 - percent


@st.composite
def programs(draw: st.DrawFn, max_cpus: int = 5) -> Program:
    """Random programs on random machines, most of them of 2 to 5 CPUs."""
    return random_program(Drawn(draw), max_cpus)


def cuts(data: st.DataObject, program: Program, result: Result) -> Program:
    """Draw a duration at which something happens, and return the program cut by it."""
    return data.draw(_cuts(program, result))


@st.composite
def _cuts(draw: st.DrawFn, program: Program, result: Result) -> Program:
    return random_cut(Drawn(draw), program, result)
