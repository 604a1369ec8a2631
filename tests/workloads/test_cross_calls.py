"""Workloads that call other CPUs for no flush."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from tests.machines import scenario


def run(*workloads: dict[str, Any], **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario(*workloads, **keys))


@pytest.mark.parametrize(
    ("targets", "called"), [("all", [0, 3, 3, 3]), ("others", [0, 0, 0, 3]), ([1], [0, 3, 0, 0])]
)
def test_all_others_or_a_list_are_called(targets: Any, called: list[int]) -> None:
    call = {"kind": "cross_call", "targets": targets, "calls": 3}
    work = {"kind": "user_work", "cpus": [1, 2], "compute": "1us"}
    assert run(call, work).cpus["handlers"].tolist() == called


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(ScenarioError, match="CPU 9 is not on this machine"):
        run({"kind": "cross_call", "targets": [1, 9], "calls": 1})


def test_a_thread_computes_before_each_barrier() -> None:
    barrier = {"kind": "user_membarrier", "threads": [1], "compute": "1ms", "changes": 3}
    result = run(barrier)
    calls = result.operations[result.operations["kind"] == "membarrier"].sort_values("start_ps")
    starts, ends = calls["start_ps"].tolist(), calls["end_ps"].tolist()
    assert all(b - a >= 10**9 for a, b in zip([0, *ends], starts, strict=False))
    assert result.crosscalls["cause"].tolist() == ["membarrier"] * 3


def test_a_kernel_that_cannot_make_threads_serialise_is_named() -> None:
    keys = {"machine": "sg2042", "kernel": "linux-6.1-riscv64"}
    with pytest.raises(ScenarioError, match="has no membarrier that makes"):
        run({"kind": "user_membarrier", "barrier": "sync_core", "changes": 1}, **keys)
