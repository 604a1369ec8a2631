"""Duplicate loads: who asks for a module that is loaded, or is being loaded."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.names import EBUSY, EEXIST
from pmsim.units import MS, S
from tests.kernel.booted import Booted
from tests.kernel.module_lives import CANONICAL

Calls = Generator[Any, Any, Any]

EARLY = ("linux-4.16-x86_64", "linux-5.15-x86_64", "linux-6.1-x86_64")
LATER = ("linux-6.6-x86_64", "linux-6.12-x86_64", "linux-6.18-x86_64")
COSTS = KernelCosts(module_load=MS, module_link=MS, module_init=MS, rcu_grace_period=10 * MS)


class Askers:
    """Tasks that ask for one module, each on a CPU of its own, and what they were told."""

    def __init__(self, profile: str, segments: Any = CANONICAL) -> None:
        self.booted = Booted(profile=profile, costs=COSTS)
        self.segments = segments
        self.told: dict[int, Any] = {}

    def ask(self, cpu: int, after: int) -> None:
        def program(kernel: KernelHandle) -> Calls:
            yield from kernel.task.sleep(after)
            module = yield from kernel.load_module(self.segments, "loop")
            refusal = kernel.load_refusal()
            self.told[cpu] = module if refusal is None else refusal.error

        self.booted.spawn(program, cpu)

    def run(self) -> Booted:
        return self.booted.run()

    def rows(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.booted.of_kind(kind) if row["workload"].startswith("program")]


@pytest.mark.parametrize("profile", EARLY)
def test_an_early_kernel_reads_and_allocates_all_of_a_duplicate_before_it_refuses_it(
    profile: str,
) -> None:
    askers = Askers(profile)
    askers.ask(0, 0)
    askers.ask(1, S)
    booted = askers.run()
    assert askers.told[1] == -EEXIST
    second = [row["pages"] for row in askers.rows("vmalloc") if row["cpu"] == 1]
    assert second == [CANONICAL.file_pages, CANONICAL.core, CANONICAL.init]
    # All of it goes back lazily: areas first, the file's buffer last.
    freed = [(row["pages"], row["crosscalls"]) for row in askers.rows("vfree") if row["cpu"] == 1]
    assert freed == [(CANONICAL.init, 0), (CANONICAL.core, 0), (CANONICAL.file_pages, 0)]
    assert len(booted.of_kind("load_duplicate")) == 1
    assert len(booted.kernel.modules.loaded) == 1


@pytest.mark.parametrize("profile", LATER)
def test_a_later_kernel_reads_the_file_of_a_loaded_module_and_allocates_nothing_else(
    profile: str,
) -> None:
    askers = Askers(profile)
    askers.ask(0, 0)
    askers.ask(1, S)
    askers.run()
    assert askers.told[1] == -EEXIST
    second = [row["pages"] for row in askers.rows("vmalloc") if row["cpu"] == 1]
    assert second == [CANONICAL.file_pages]


@pytest.mark.parametrize("profile", EARLY)
def test_an_early_kernel_lets_a_duplicate_wait_for_the_load_that_is_under_way(profile: str) -> None:
    askers = Askers(profile)
    for cpu in range(3):
        askers.ask(cpu, cpu * 100)
    booted = askers.run()
    assert {askers.told[1], askers.told[2]} == {-EEXIST}
    (load,) = booted.of_kind("load_module")
    for duplicate in booted.of_kind("load_duplicate"):
        assert duplicate["end_ps"] > load["end_ps"] - MS // 10
        assert duplicate["crosscalls"] == 0


@pytest.mark.parametrize("profile", LATER)
def test_a_later_kernel_lets_duplicates_wait_and_gives_all_of_them_the_module(profile: str) -> None:
    askers = Askers(profile)
    for cpu in range(4):
        askers.ask(cpu, cpu * 100)
    booted = askers.run()
    (module,) = booted.kernel.modules.loaded
    assert set(askers.told.values()) == {module}
    assert len(booted.of_kind("load_duplicate")) == 3
    # The file is read once: the waiting ones have not even begun.
    assert {row["cpu"] for row in askers.rows("vmalloc")} == {0}


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        # 4.16 tries again, and fails by itself; later kernels do not.
        ("linux-4.16-x86_64", -22),
        ("linux-6.1-x86_64", -EBUSY),
        # Both have waited for one and the same load.
        ("linux-6.6-x86_64", -22),
    ],
)
@pytest.mark.parametrize("fails", ["init", "formation"])
def test_a_duplicate_that_waited_for_a_load_that_failed(
    profile: str, told: int, fails: str
) -> None:
    segments = replace(CANONICAL, init_fails=fails == "init", formation_fails=fails == "formation")
    askers = Askers(profile, segments)
    askers.ask(0, 0)
    askers.ask(1, 100)
    booted = askers.run()
    assert (askers.told[0], askers.told[1]) == (-22, told)
    assert len(booted.kernel.vmalloc.areas) == 0


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-6.1-x86_64", "linux-6.18-x86_64"])
def test_an_unloaded_module_can_be_loaded_again(profile: str) -> None:
    booted = Booted(profile=profile, costs=COSTS)

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(2):
            module = yield from kernel.load_module(CANONICAL, "loop")
            assert module is not None
            yield from kernel.task.sleep(S)
            assert (yield from kernel.unload_module(module))

    booted.run(program)
    assert len(booted.of_kind("load_module")) == 2


def test_modules_of_other_names_or_of_none_are_no_duplicates() -> None:
    booted = Booted(costs=COSTS)

    def program(kernel: KernelHandle) -> Calls:
        for name in ("loop", "brd", None, None):
            assert (yield from kernel.load_module(CANONICAL, name)) is not None

    booted.run(program)
    assert len(booted.kernel.modules.loaded) == 4
    assert booted.of_kind("load_duplicate") == []
