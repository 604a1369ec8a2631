"""A run in which a CPU could use what it must not says so first, and fails."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.cli.run import _unsafe
from pmsim.kernel.tlbflush import TlbFlush
from pmsim.simulation.words.sentences import sentences
from pmsim.units import MS, US
from tests.safety.test_broken import this_cpu_alone

POOL = {"kind": "pool_churn", "allocations": 4, "destroy": False}


def run(**keys: Any) -> pmsim.Result:
    machine = {"platform": "skylake-sp-2s", "cpus": 4}
    scenario = {"pmsim": 1, "name": "run", "machine": machine, "workloads": [POOL], **keys}
    return pmsim.run(pmsim.Scenario.from_dict(scenario))


def test_a_run_that_is_safe_says_nothing_of_it() -> None:
    result = run()
    assert result.summary.safety is not None
    assert result.summary.safety.violations == len(result.violations) == 0
    assert not any("Unsafe" in said for said in sentences(result.summary))
    assert _unsafe(result) == []


def test_one_that_is_not_says_who_could_do_what_and_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    this_cpu_alone(monkeypatch)
    assert TlbFlush.flush_tlb_all.__name__ == "wrong"
    result = run()
    found = result.summary.safety
    assert found is not None
    assert found.by_kind == {"write_after_protect": found.violations}
    assert sorted(set(result.violations.cpu)) == [1, 2, 3]
    assert result.violations.to_ps.isna().all()
    first = sentences(result.summary)[0]
    assert first.startswith(
        f"Unsafe: when the kernel went on, a CPU could still, {found.violations} times, use what it"
        " had revoked (write_after_protect); first CPU "
    )
    assert "for the rest of the run after set_memory_ro of 1 page." in first
    assert _unsafe(result) == ["run is unsafe: write_after_protect"]


def test_a_kernel_that_is_unsafe_on_purpose_ends_without_an_error() -> None:
    kernel = {"shootdown": {"deferred": {"defers": "all"}}, "unsafe": True}
    machine = {"platform": "skylake-sp-2s", "cpus": 4, "isolated": "2-3"}
    work = {"kind": "user_work", "cpus": [2, 3], "compute": "5us"}
    costs = {"deferred": {"check": "5ns", "entry_flush": "400ns"}}
    result = run(
        machine=machine | {"costs": costs},
        kernel={"profile": "linux-6.1-x86_64", **kernel},
        workloads=[POOL, work],
        duration="100us",
    )
    assert result.summary.safety is not None
    assert result.summary.safety.violations == 2
    assert set(result.violations.cpu) == {2, 3}
    assert sentences(result.summary)[0].startswith("Unsafe: ")
    assert _unsafe(result) == []


def test_what_vfree_gives_back_is_trusted_and_no_violation() -> None:
    churn = {"kind": "vmalloc_churn", "cpus": [0], "allocations": 5, "size": "8KiB"}
    result = run(workloads=[churn])
    found = result.summary.safety
    assert found is not None
    assert (found.violations, found.trusted_areas, found.trusted_pages) == (0, 5, 10)


@pytest.mark.parametrize(("window", "too_late"), [("1ms", False), ("2100us", True)])
def test_frees_that_wait_for_ticks_are_used_by_whoever_keeps_interrupts_off_over_two(
    scoped_kinds: None, window: str, too_late: bool
) -> None:
    @pmsim.workload("late")
    class Late:
        """A thread of the process that has interrupts off, from 20 ms on."""

        def run(self, kernel: Any, cpu: Any) -> Any:
            yield from kernel.use_mm(kernel.process("maps"))
            yield from cpu.compute("20ms")
            yield from cpu.irqs_off(window)

    maps = {
        "kind": "user_munmap", "name": "maps", "cpu": 0, "threads": [1],
        "arrival": {"every": "200us"},
    }  # fmt: skip
    result = run(
        kernel={"profile": "linux-6.1-x86_64", "shootdown": "latr"},
        workloads=[maps, {"kind": "late", "cpu": 3}],
        duration="24ms",
    )
    found = result.violations
    assert bool(len(found)) == too_late
    said = sentences(result.summary)
    assert said[0].startswith("Unsafe: ") == too_late
    assert ("one that has not kept interrupts off over its ticks" in said[1]) == too_late
    if too_late:
        # Used again two ticks after the free; dropped in the tick that comes as the window ends.
        assert set(found["kind"]) == {"use_after_free"}
        assert set(found["cpu"]) == {3}
        assert found["from_ps"].min() >= 22 * MS
        assert (found["to_ps"] - found["from_ps"]).max() < 200 * US
