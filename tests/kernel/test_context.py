"""What parts of a kernel stand on, and how they find each other."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from importlib import import_module

import pytest

import pmsim.kernel
from pmsim.kernel.context import KernelContext
from pmsim.kernel.kernel import Kernel
from tests.kernel.booted import Booted


@pytest.fixture(scope="module")
def context() -> KernelContext:
    return Booted().kernel.context


class Below:
    def __init__(self, context: KernelContext) -> None:
        self.context = context


class Above:
    def __init__(self, context: KernelContext) -> None:
        self.below = context.part(Below)


class Chicken:
    def __init__(self, context: KernelContext) -> None:
        context.part(Egg)


class Egg:
    def __init__(self, context: KernelContext) -> None:
        context.part(Chicken)


def test_a_part_is_made_once_for_all_that_stand_on_it(context: KernelContext) -> None:
    above = context.part(Above)
    assert context.part(Above) is above
    assert context.part(Below) is above.below
    assert above.below.context is context


def test_every_kernel_has_parts_of_its_own(context: KernelContext) -> None:
    assert Booted().kernel.context.part(Below) is not context.part(Below)


def test_a_function_may_choose_the_part(context: KernelContext) -> None:
    def chosen(context: KernelContext) -> Above | Below:
        return Below(context)

    assert isinstance(context.part(chosen), Below)
    assert context.part(chosen) is context.part(chosen)


def test_parts_that_stand_on_each_other_are_refused(context: KernelContext) -> None:
    with pytest.raises(RuntimeError, match="Chicken'> stands on a part that stands on it"):
        context.part(Chicken)


def test_nobody_can_exchange_what_a_kernel_stands_on(context: KernelContext) -> None:
    for name in ("machine", "profile", "costs", "operations", "tlbflush", "workqueue"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(context, name, None)


def test_a_part_of_the_kernel_is_told_the_context_first_and_at_most_three_things() -> None:
    modules = pkgutil.walk_packages(pmsim.kernel.__path__, "pmsim.kernel.")
    told = [
        list(inspect.signature(one).parameters)
        for module in modules
        for one in vars(import_module(module.name)).values()
        if inspect.isclass(one) and one.__module__ == module.name and one is not Kernel
        if "context" in inspect.signature(one).parameters
    ]
    assert len(told) > 40
    assert all(names[0] == "context" and len(names) <= 3 for names in told)
