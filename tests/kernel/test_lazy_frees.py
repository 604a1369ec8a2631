"""Memory of a process that waits for ticks (LATR): who is called, what is held back, how long."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.simulation.words.sentences import sentences
from pmsim.units import MS, NS

OTHERS = [1, 2, 3]
"""CPUs that run threads of the process beside the first, which unmaps."""


def scenario(kind: str, shootdown: object = "latr", /, **keys: Any) -> dict[str, Any]:
    kernel = {"profile": "linux-6.1-x86_64", "shootdown": shootdown, **keys.pop("kernel", {})}
    machine = {"platform": "skylake-sp-2s", "cpus": 4, **keys.pop("machine", {})}
    process = {"kind": kind, "name": "process", "changes": 5, "pages": 1, "threads": OTHERS, **keys}
    return {
        "pmsim": 1,
        "name": "frees",
        "machine": machine,
        "kernel": kernel,
        "until": "done",
        "workloads": [process],
    }


def run(kind: str, shootdown: object = "latr", /, **keys: Any) -> pmsim.Result:
    return pmsim.run(pmsim.Scenario.from_dict(scenario(kind, shootdown, **keys)))


@pytest.mark.parametrize("kind", ["user_munmap", "user_madvise"])
def test_frees_call_nobody_and_are_over_in_the_length_of_a_note(kind: str) -> None:
    calls = run(kind).crosscalls
    assert set(calls.protocol) == {"latr"}
    assert (calls.left_out == len(OTHERS)).all()
    assert (calls.targets == 0).all()
    # flush_fixed, invlpg, save.
    assert set(calls.end_ps - calls.start_ps) == {(150 + 87 + 132) * NS}


def test_others_drop_it_at_a_tick_or_a_switch_and_the_pages_wait_for_two_ticks() -> None:
    result = run("user_munmap", touch=True, arrival={"every": "3ms"})
    calls = result.crosscalls
    assert (calls.gone_ps - calls.end_ps <= MS + MS // 10).all()
    last = calls.end_ps.max()
    assert result.summary["duration_ps"] >= last + 2 * MS


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("user_mprotect", {}), ("user_munmap", {"frees_tables": True})],
)
def test_changes_of_permissions_and_frees_of_tables_are_told_at_once(
    kind: str, keys: dict[str, Any]
) -> None:
    assert set(run(kind, **keys).crosscalls.protocol) == {"ipi"}


def test_a_full_ring_is_counted_as_a_cause() -> None:
    causes = run("user_munmap", changes=100).crosscalls.cause.tolist()
    assert causes == ["user"] * 64 + ["ring_full"] * 36


def test_who_is_called_for_want_of_room_is_told_of_with_that_cause() -> None:
    isolated = {"machine": {"isolated": "3"}, "kernel": {"unsafe": True}}
    told = run("user_munmap", changes=70, **isolated).interruptions
    assert told.cpu.tolist() == [3] * 6
    assert set(told.cause) == {"ring_full"}
    assert set(told.protocol) == {"ipi"}


def test_kernel_addresses_are_told_at_once() -> None:
    workload = {"kind": "kernel_flush", "name": "flushes", "cpus": [0], "flushes": 3}
    described = {**scenario("user_munmap"), "workloads": [workload]}
    result = pmsim.run(pmsim.Scenario.from_dict(described))
    assert set(result.crosscalls.protocol) == {"ipi"}


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({"costs": {"latr": {"reclaim": 0}}}, "memory is used again 0 ticks after it was freed"),
        ({"costs": {"latr": {"reclaim": 1}}}, "memory is used again 1 ticks after it was freed"),
        ({"isolated": [3]}, "isolated CPUs in user mode have no ticks"),
    ],
)
def test_what_is_unsound_is_refused_by_name_and_reason(machine: Any, reason: str) -> None:
    described = scenario("user_munmap", machine=machine)
    with pytest.raises(ScenarioError) as refusal:
        pmsim.Scenario.from_dict(described).resolve()
    assert f"latr promises too little to free memory of user space (munmap, madvise): {reason}" in (
        str(refusal.value)
    )
    unsafe = scenario("user_munmap", machine=machine, kernel={"unsafe": True})
    assert pmsim.run(pmsim.Scenario.from_dict(unsafe)).summary.broadcasts.total == 5


def test_ticks_that_leave_no_time_are_refused() -> None:
    described = scenario("user_munmap", machine={"costs": {"latr": {"tick": "200ns"}}})
    with pytest.raises(ScenarioError, match="4 CPUs do nothing but look at notes"):
        pmsim.Scenario.from_dict(described).resolve()


def violations(**keys: Any) -> list[str]:
    described = scenario("user_munmap", **keys)
    return pmsim.run(pmsim.Scenario.from_dict(described)).violations["kind"].tolist()


def test_with_two_ticks_nobody_could_use_what_was_freed() -> None:
    assert violations(touch=True, arrival={"every": "300us"}, changes=20) == []
    assert violations(threads_do="sleep", arrival={"every": "3ms"}) == []


@pytest.mark.parametrize(
    "machine", [{"costs": {"latr": {"reclaim": 0}}}, {"isolated": [3], "cpus": 4}]
)
def test_the_checker_finds_what_was_refused(machine: Any) -> None:
    keys = {"machine": machine, "kernel": {"unsafe": True}, "arrival": {"every": "1500us"}}
    assert set(violations(**keys)) == {"use_after_free"}


def test_the_answer_says_what_was_held_back_and_how_often_there_was_no_room() -> None:
    result = run("user_munmap", changes=100, pages=2)
    safety = result.summary.safety
    assert safety.held_pages == 64 * 2
    assert safety.held_byte_s == pytest.approx(64 * 2 * 4096 * 0.002)
    said = (
        "128 freed pages waited for ticks (latr), which held 1,050 byte-seconds back; 36 frees"
        " found no room for a note, and called."
    )
    assert said in sentences(result.summary)


def lost(shootdown: str, every: str) -> float:
    """Return the share of CPU time that is lost where a process on all CPUs frees so often."""
    keys = {"touch": True, "arrival": {"every": every}, "changes": None}
    described = scenario("user_munmap", shootdown, **{**keys, "threads": list(range(1, 56))})
    described["machine"] = {"platform": "skylake-sp-2s"}
    described |= {"duration": "5ms", "until": None}
    described = {key: value for key, value in described.items() if value is not None}
    return pmsim.run(pmsim.Scenario.from_dict(described)).summary.cost.share


def test_ticks_cost_more_than_few_frees_and_less_than_many() -> None:
    # Each CPU looks at each tick: 56 * 20 ns and a handler, in 1 ms.
    assert lost("latr", "4ms") > 56 * 20e-9 / 1e-3
    assert lost("latr", "1ms") > lost("ipi", "1ms")
    assert lost("latr", "20us") < lost("ipi", "20us") / 2
