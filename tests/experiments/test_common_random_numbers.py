from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pmsim
from pmsim.simulation.run import build
from pmsim.workloads.registry import workload_kinds
from tests.experiments.small import MEASURE, NOISE, POOLS, WORK, small
from tests.machines import machine, scenario

Draws = dict[tuple[Any, ...], list[float]]

BURST = {"kind": "module_burst", "name": "burst", "cpu": 2, "modules": 2,
         "segments": {"mean": "42 pages"}, "arrival": {"poisson": "9000/s"}}  # fmt: skip
LOUD = {**NOISE, "name": "more noise", "cpus": [3]}
METHODS = ("exponential", "normal", "uniform", "random", "integers", "choice", "shuffle")
"""All that is drawn with, anywhere in pmsim."""

AT_RANDOM = {"arrival": {"poisson": "20000/s"}}
LASTING = {"lifetime": {"dist": "exponential", "scale": "50us"}}
SIZES = {"size": {"least": "4KiB", "most": "64KiB"}}
EVERY: dict[str, dict[str, Any]] = {
    "bpf_programs": AT_RANDOM | LASTING,
    "compacting_gc": AT_RANDOM,
    "cross_call": AT_RANDOM,
    "ftrace_toggle": {"on_for": {"dist": "exponential", "scale": "50us"}, "sites": 5},
    "huge_pages": AT_RANDOM,
    "ioremap_churn": AT_RANDOM | LASTING | SIZES,
    "irq_off_noise": {
        "cpus": [2],
        "rate": "40000/s",
        "length": {"dist": "exponential", "scale": "2us"},
    },
    "jit": AT_RANDOM,
    "kernel_flush": AT_RANDOM,
    "kmap": AT_RANDOM,
    "live_patch": AT_RANDOM | {"transition": {"dist": "exponential", "scale": "50us"}},
    "memory_unplug": AT_RANDOM,
    "module_burst": AT_RANDOM | {"modules": 4},
    "module_storm": {"modules": 4},
    "numa_balancing": AT_RANDOM,
    "overwrite": AT_RANDOM,
    "page_attributes": AT_RANDOM,
    "policy_load": {"allocations": 16, "size": "512B"},
    "pool_churn": AT_RANDOM,
    "prefork": {},
    "process": AT_RANDOM,
    "rare_writes": AT_RANDOM,
    "reclaim": AT_RANDOM,
    "replay": {},
    "static_keys": AT_RANDOM,
    "thread_churn": AT_RANDOM | LASTING,
    "trace": {},
    "user_madvise": AT_RANDOM,
    "user_membarrier": AT_RANDOM,
    "user_mprotect": AT_RANDOM,
    "user_munmap": AT_RANDOM,
    "user_work": {},
    "vmalloc_churn": AT_RANDOM | LASTING | SIZES,
    "vmap_touch": {},
}
"""Each kind of workload, drawing all that it may."""

FILES = {
    "trace": "cpu,op,arg\n2,flush_kernel,1\n",
    "replay": "at_ps,cpu,op,area,first,pages,cpus\n0,2,flush_tlb_all,,,,\n",
}
"""What those kinds read that do what a file says."""

KERNELS: dict[str, dict[str, Any]] = {"kmap": {"profile": "linux-4.16-x86_32"}}
"""Kernels of what the usual one, which has rare writes, does not do."""


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[pmsim.Scenario], Draws]:
    """Return a function that runs a scenario and tells what was drawn for each purpose."""

    def run(one: pmsim.Scenario) -> Draws:
        drawn: Draws = {}

        def noting(name: str) -> Callable[..., Any]:
            def draw(self: Any, *args: Any, **options: Any) -> Any:
                value = getattr(np.random.Generator, name)(self, *args, **options)
                given = args[0] if value is None else value  # shuffling gives nothing back
                drawn.setdefault(self.key, []).extend(np.atleast_1d(given).tolist())
                return value

            return draw

        methods = {name: noting(name) for name in METHODS} | {"key": None}
        recording_kind = type("Recording", (np.random.Generator,), methods)

        def stream(*key: Any) -> Any:
            recording: Any = recording_kind(original(*key).bit_generator)
            recording.key = key
            return recording

        with monkeypatch.context() as patch:
            patch.setattr(build, "stream", stream)
            pmsim.run(one)
        return drawn

    original = build.stream
    return run


def jittery(*workloads: dict[str, Any], **keys: Any) -> pmsim.Scenario:
    described = machine(4)
    described["costs"]["ipi"] = {**described["costs"]["ipi"], "jitter": "100ns"}
    return scenario(*workloads, machine=described, measure=MEASURE, duration="2ms", **keys)


def shared(one: Draws, other: Draws, workload: str) -> int:
    """Check that what both drew for a workload is the same; return how much that is."""
    keys = {key for key in one if key[2] == workload}
    assert keys == {key for key in other if key[2] == workload} != set()
    count = 0
    for key in keys:
        common = min(len(one[key]), len(other[key]))
        assert one[key][:common] == other[key][:common]
        count += common
    return count


@pytest.mark.parametrize("place", [0, 1, 2])
def test_adding_a_workload_leaves_the_draws_of_every_other_unchanged(
    draws: Callable[[pmsim.Scenario], Draws], place: int
) -> None:
    workloads = [POOLS, NOISE]
    with_more = [*workloads[:place], BURST, LOUD, *workloads[place:]]
    alone = draws(jittery(*workloads, WORK))
    beside = draws(jittery(*with_more, WORK))
    assert {key[2] for key in beside} > {key[2] for key in alone}
    for name in ("pools", "noise"):
        assert shared(alone, beside, name) >= 3


def test_every_kind_of_workload_is_looked_at() -> None:
    assert set(EVERY) == set(workload_kinds())


@pytest.mark.parametrize("kind", EVERY)
def test_a_workload_of_any_kind_draws_the_same_beside_others_and_changes_no_draw_of_theirs(
    draws: Callable[[pmsim.Scenario], Draws], kind: str, tmp_path: Path
) -> None:
    one = {"kind": kind, "name": "one", **EVERY[kind]}
    if kind in FILES:
        (tmp_path / "program.csv").write_text(FILES[kind])
        one["file"] = str(tmp_path / "program.csv")
    kernel = KERNELS.get(kind, {"profile": "linux-6.1-x86_64", "pmalloc": "prmem"})
    without, alone, beside = (
        draws(jittery(*workloads, WORK, kernel=kernel))
        for workloads in ([NOISE], [one], [LOUD, one, NOISE, BURST])
    )
    assert shared(without, beside, "noise") >= 3
    if any(key[2] == "one" for key in alone):
        assert shared(alone, beside, "one") >= 1
    else:
        assert kind in (
            "policy_load",
            "prefork",
            "replay",
            "trace",
            "user_work",
            "vmap_touch",
        )  # nothing in them is random


def test_arms_that_differ_in_a_cost_share_every_draw_of_their_workloads(
    draws: Callable[[pmsim.Scenario], Draws],
) -> None:
    base = jittery(POOLS, NOISE, WORK)
    dear = base.with_(**{"machine.costs.ipi.entry": "5us"})
    one, other = draws(base), draws(dear)
    for name in ("pools", "noise", ""):  # the last is the machine itself: its jitter
        assert shared(one, other, name) >= 3


def test_replications_and_seeds_draw_anew(draws: Callable[[pmsim.Scenario], Draws]) -> None:
    two = draws(jittery(NOISE, WORK, replications=2))
    first, second = ({k: v for k, v in two.items() if k[1] == number} for number in (0, 1))
    assert not set(map(tuple, first.values())) & set(map(tuple, second.values()))
    other = draws(jittery(NOISE, WORK, seed=1))
    assert not set(map(tuple, first.values())) & set(map(tuple, other.values()))


def test_the_cells_of_a_sweep_are_paired_better_than_by_chance() -> None:
    sweep = pmsim.sweep(
        small(), {"machine.costs.ipi.exit": ["100ns", "200ns"]}, replications=8, workers=1
    )
    lost = sweep.frame.pivot(index="replication", columns="cell", values="lost_share")
    paired = (lost[0] - lost[1]).std()
    # Independent cells would differ by the root of the sum of both variances.
    independent = float(np.hypot(lost[0].std(), lost[1].std()))
    assert paired < independent / 5
