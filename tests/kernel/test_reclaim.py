"""Watermarks, kswapd and direct reclaim: who takes pages away, when, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.watermarks import Watermarks
from pmsim.units import GIB, KIB, MIB, MS
from tests.kernel.booted import Booted
from tests.kernel.pool_programs import Calls
from tests.machines import scenario

SMALL = 16 * MIB


@pytest.mark.parametrize(
    ("memory", "kbytes"),
    # The table in mm/page_alloc.c at init_per_zone_wmark_min, and the cap of 256 MiB.
    [(16 * MIB, 512), (64 * MIB, 1024), (GIB, 4096), (16 * GIB, 16384), (1 << 44, 262_144)],
)
def test_the_least_mark_grows_with_the_root_of_memory(memory: int, kbytes: int) -> None:
    assert Watermarks.of(memory, 4 * KIB).least == kbytes // 4


def test_marks_are_a_quarter_of_the_least_apart_or_a_share_of_memory() -> None:
    assert Watermarks.of(SMALL, 4 * KIB) == Watermarks(128, 160, 192)
    # 16 GiB are 4,194,304 pages, of which a thousandth is 4,194: more than a quarter of 4,096.
    assert Watermarks.of(16 * GIB, 4 * KIB) == Watermarks(4096, 4096 + 4194, 4096 + 2 * 4194)
    assert Watermarks.of(16 * GIB, 4 * KIB, 100).low == 4096 + 41943
    # 65,536 pages of 64 KiB are 4 GiB, whose root is 8 MiB.
    assert Watermarks.of(4 * GIB, 64 * KIB) == Watermarks(128, 193, 258)


def short(pages: int, *, kswapd: bool, others: int = 1, profile: str = "") -> Booted:
    """Let a process on CPU 0, and ``others`` threads of it, be short of memory."""
    booted = Booted(6, **({"profile": profile} if profile else {}))
    mm = booted.kernel.user.process("server")

    def daemon(task: Task) -> Calls:
        kernel = KernelHandle(booted.kernel, task)
        yield from kernel.kswapd(kernel.node("node", SMALL))

    def spin(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.user_compute(10 * MS)

    def act(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.touch_on(kernel.node("node", SMALL), pages)
        yield from kernel.task.user_compute(MS)

    for cpu in range(1, 1 + others):
        booted.spawn(spin, cpu)
    if kswapd:
        booted.machine.spawn(5, daemon, role="daemon")
    return booted.run(act)


def test_kswapd_begins_below_the_low_mark_and_ends_above_the_high_one() -> None:
    # 193 are free; the 33rd page leaves 160, and the next one wakes kswapd.
    assert short(33, kswapd=True).of_kind("balance_pgdat") == []
    booted = short(34, kswapd=True)
    (row,) = booted.of_kind("balance_pgdat")
    assert (row["cpu"], row["pages"]) == (5, 64)
    assert [call["targets"] for call in booted.calls] == [2, 2]
    assert booted.of_kind("try_to_free_pages") == []


def test_without_kswapd_a_thread_takes_32_pages_each_time_that_the_least_are_free() -> None:
    booted = short(193 - 128 + 33, kswapd=False)
    rows = booted.of_kind("try_to_free_pages")
    assert [row["pages"] for row in rows] == [32, 32]
    assert [call["targets"] for call in booted.calls] == [1, 1]  # the process's other thread


def test_what_direct_reclaim_flushes_on_its_own_cpu_kswapd_tells_another_one() -> None:
    """``arch_tlbbatch_should_defer`` asks for CPUs other than the caller's in the mask."""
    assert short(193 - 128 + 1, kswapd=False, others=0).calls == []
    booted = short(34, kswapd=True, others=0)
    assert [call["targets"] for call in booted.calls] == [1, 1]


def test_a_batch_of_several_processes_is_one_call_of_all_their_cpus() -> None:
    keys: dict[str, Any] = {"kind": "reclaim", "copies": 3, "pages": 50, "changes": 8}
    keys["kswapd"] = {"cpu": 5, "memory": "16MiB"}
    result = pmsim.run(scenario(keys, cpus=6))
    calls = result.crosscalls
    assert len(calls) == len(result.operations.query("kind == 'shrink_page_list'")) > 0
    # Three processes of one thread, each on its own CPU: kswapd tells all three at once.
    assert calls.loc[calls["cpu"] == 5, "targets"].max() == 3


def test_on_arm_kswapd_sends_an_operation_for_each_page_and_waits_once_for_a_batch() -> None:
    booted = short(34, kswapd=True, profile="linux-6.12-arm64")
    assert [call["invalidations"] for call in booted.calls] == [32, 32]


def test_kswapd_is_on_a_cpu_of_the_machine() -> None:
    with pytest.raises(pmsim.ScenarioError, match="CPU 9 is not on this machine"):
        kswapd = {"cpu": 9, "memory": "16MiB"}
        pmsim.run(scenario({"kind": "reclaim", "kswapd": kswapd, "changes": 1}, cpus=6))
