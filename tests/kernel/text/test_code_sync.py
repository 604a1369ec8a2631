"""Telling other CPUs that code has changed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, US
from tests.kernel.booted import Booted, Flush
from tests.kernel.text.test_text_poke import FENCE, KICK, SYNC


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("linux-6.1-x86_64", []),
        ("linux-4.16-arm64", []),  # the hardware does it; nobody was kicked before 4.19
        ("linux-6.1-arm64", [KICK]),
        ("linux-6.1-arm32", []),
        ("linux-6.1-riscv64", [FENCE]),
    ],
)
def test_new_code_is_announced_where_the_hardware_does_not(profile: str, told: list[Flush]) -> None:
    def program(kernel: KernelHandle) -> Generator[Any, Any, Any]:
        yield from kernel.kernel.code_sync.flush_icache_range(kernel.task)

    assert Booted(profile=profile).run(program).flushes == told


@pytest.mark.parametrize(
    ("profile", "sync"),
    [("linux-6.1-x86_64", SYNC), ("linux-6.1-arm64", KICK), ("linux-6.1-riscv64", FENCE)],
)
def test_changed_code_is_a_call_of_each_architectures_own(profile: str, sync: Flush) -> None:
    booted = Booted(profile=profile)
    assert booted.run(lambda k: k.kernel.code_sync.text_poke_sync(k.task)).flushes == [sync]


def test_stopping_the_machine_takes_from_each_cpu_two_switches_and_the_work() -> None:
    booted = Booted(cpus=3)
    booted.run(lambda k: k.kernel.code_sync.stop_machine(k.task, MS))
    stolen = booted.machine.accounts()["stolen_ps"].tolist()
    # Entry and exit of the interrupt are 250 and 150 ns, a context switch 1 us.
    assert stolen[1:] == [MS + 2 * US + 400_000] * 2
    (call,) = booted.calls
    assert call["end_ps"] - call["start_ps"] > MS
