"""Patra 2019: remote fences by the firmware against the kernel's own interrupts, through it.

Atish Patra measured both on a HiFive Unleashed, four application harts of 1 GHz, in which threads
of one process touch a mapping at random (github.com/riscv-software-src/opensbi, pull request 111,
2019-04-05): 97.7589 s with interrupts and 92.859 s with fences, "in both cases around ~1M remote
tlb flushes". So that the firmware wins by 4.9 us a flush, of the initiator and of all whom it
disturbs together. No platform is that board; the nearest, an estimate, has faster cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.scenario.faults import FaultList
from pmsim.scenario.nodes import node_of
from pmsim.scenario.platform import machine_of
from pmsim.simulation.run.build import boot
from pmsim.units import US

SECONDS_BY_INTERRUPTS, SECONDS_BY_FIRMWARE, FLUSHES = 97.7589, 92.859, 1e6
HARTS = 4


class Cost(NamedTuple):
    """What a full flush costs, in microseconds."""

    latency: float
    stolen: float


def flush(kernel: str, shootdown: str, harts: int) -> Cost:
    """Flush everything once, while all other harts compute."""
    description = machine_of(node_of({"platform": "sg2042", "cpus": harts}), FaultList("f"), Path())
    assert description is not None
    profile = load_profile(kernel, {"shootdown": shootdown})
    machine, booted = boot(description, profile, np.random.default_rng(0))
    rows: list[np.ndarray] = []
    machine.on_crosscalls = rows.append
    for hart in range(1, harts):
        machine.spawn(hart, lambda task: task.compute(1000 * US), name="other", role="background")
    machine.spawn(0, lambda task: booted.tlbflush.flush_tlb_all(task, Cause.REQUEST), name="it")
    machine.run()
    row = dict(zip(CROSSCALL_COLUMNS, rows[0][0].tolist(), strict=True))
    stolen = int(machine.accounts()["stolen_ps"].sum())
    return Cost((row["end_ps"] - row["start_ps"]) / US, stolen / US)


@pytest.mark.parametrize("kernel", ["linux-6.1-riscv64", "linux-6.12-riscv64"])
@pytest.mark.parametrize("harts", [2, HARTS, 64])
def test_the_firmware_wins_where_interrupts_go_through_it(kernel: str, harts: int) -> None:
    fence, interrupts = (flush(kernel, way, harts) for way in ("sbi", "ipi"))
    assert fence.latency < interrupts.latency
    assert fence.stolen < interrupts.stolen


def test_what_it_wins_is_of_the_measured_order() -> None:
    fence, interrupts = (flush("linux-6.12-riscv64", way, HARTS) for way in ("sbi", "ipi"))
    won = sum(interrupts) - sum(fence)
    measured = (SECONDS_BY_INTERRUPTS - SECONDS_BY_FIRMWARE) / FLUSHES * 1e6
    print(f"a flush on {HARTS} harts: the firmware wins {won:.2f} us, measured {measured:.2f} us")
    assert measured == pytest.approx(4.9, abs=0.01)
    # The cores are about twice as fast, and every cost is an estimate to a factor of two.
    assert measured / 4 < won < measured
