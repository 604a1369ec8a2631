"""Workloads that change code: BPF programs, static keys, function tracing."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.kernel.profiles import load_profile
from pmsim.units import MS, S
from pmsim.workloads.registry import workload_kinds
from pmsim.workloads.task import MachineInfo
from tests.machines import scenario

COUNTED = {"bpf_programs": "programs", "static_keys": "flips", "ftrace_toggle": "toggles"}
"""What each kind counts."""
OLD = "linux-5.15-x86_64"
"""Here every BPF program is two broadcasts, and one when it goes."""


def run(*workloads: dict[str, Any], **keys: Any) -> pmsim.Result:
    return pmsim.run(scenario(*workloads, **keys))


def starts(result: pmsim.Result, kind: str) -> list[int]:
    rows = result.operations[result.operations["kind"] == kind].sort_values("start_ps")
    return [int(start) for start in rows["start_ps"]]


def bpf(**keys: Any) -> dict[str, Any]:
    return {"kind": "bpf_programs", "programs": 3, **keys}


def test_programs_are_loaded_at_their_arrivals_and_stay_for_good() -> None:
    result = run(bpf(arrival={"times": ["1ms", "5ms", "9ms"]}), kernel=OLD)
    assert starts(result, "bpf_prog_load") == [1 * MS, 5 * MS, 9 * MS]
    assert starts(result, "bpf_prog_free") == []
    assert len(result.crosscalls) == 3 * 2


def test_a_program_that_has_a_lifetime_is_freed_when_it_is_over() -> None:
    result = run(bpf(programs=2, lifetime="3ms", arrival={"every": "1s"}), kernel=OLD)
    loads = result.operations.query("kind == 'bpf_prog_load'")
    assert starts(result, "bpf_prog_free") == [end + 3 * MS for end in loads["end_ps"]]
    # Two flushes each, one when it goes; and the second one purges what the first has left.
    assert len(result.crosscalls) == 2 * (2 + 1) + 1


@pytest.mark.parametrize(
    ("kernel", "each"),
    [
        # Pages of its own: 600 bytes, 8 of a header and 128 spare are one page.
        (OLD, 4096),
        # Chunks of 64 bytes in a pack: 600 bytes, 8 of a header and 16 spare are ten.
        ("linux-6.1-x86_64", 640),
    ],
)
def test_beyond_the_limit_only_who_is_capable_loads_programs(kernel: str, each: int) -> None:
    limited = {"profile": kernel, "bpf_jit_limit": "64KiB"}
    most = 64 * 1024 // each
    result = run(bpf(programs=most + 3, capable=False), kernel=limited)
    (failure,) = result.summary.failures
    assert (failure.kind, failure.count) == ("bpf_prog_load", 3)
    assert "bpf_jit_limit, 64 KiB" in failure.first
    assert not run(bpf(programs=most + 3), kernel=limited).summary.failures


def test_what_goes_makes_room_below_the_limit() -> None:
    limited = {"profile": OLD, "bpf_jit_limit": "8KiB"}
    short = bpf(programs=9, capable=False, lifetime="500us", arrival={"every": "1ms"})
    assert not run(short, kernel=limited).summary.failures


@pytest.mark.parametrize(
    ("kernel", "limit"),
    [
        ("linux-4.16-x86_64", 0),
        ("linux-5.15-x86_64", 264_241_152),
        ("linux-6.12-x86_64", 528_482_304),
        ("linux-6.18-arm64", 0),
        ("linux-5.4-arm32", 7 << 20),
        ("linux-6.12-riscv64", 64 << 20),
    ],
)
def test_the_limit_is_what_sysctl_shows(kernel: str, limit: int) -> None:
    """264241152 and 528482304 are what ``sysctl net.core.bpf_jit_limit`` shows on x86-64."""
    assert load_profile(kernel).bpf_jit_limit == limit


def test_programs_come_on_each_cpu_by_draws_of_its_own() -> None:
    def arrivals(cpus: Any) -> dict[int, list[int]]:
        result = run(bpf(cpus=cpus, arrival={"poisson": "1000/s"}))
        loads = result.operations.query("kind == 'bpf_prog_load'")
        return {int(c): sorted(rows["start_ps"]) for c, rows in loads.groupby("cpu")}

    two, three = arrivals([0, 2]), arrivals([0, 2, 3])
    assert sorted(two) == [0, 2]
    assert [len(rows) for rows in two.values()] == [3, 3]
    assert two[0] != two[2]
    # A CPU that is added changes nothing for the others.
    assert {cpu: three[cpu][0] for cpu in two} == {cpu: rows[0] for cpu, rows in two.items()}


def test_sizes_are_drawn_from_the_list_by_the_seed() -> None:
    def pages(seed: int) -> list[int]:
        result = run(bpf(programs=20, size=["100B", "4096B", "20000B"]), kernel=OLD, seed=seed)
        return result.operations.query("kind == 'bpf_prog_load'")["pages"].tolist()

    assert set(pages(1)) == {1, 5}
    assert pages(1) == pages(1) != pages(2)


def test_a_program_for_which_there_is_no_room_is_reported_and_the_next_one_loaded() -> None:
    huge = bpf(programs=2, size=["2GiB"])
    result = run(huge, {"kind": "static_keys", "flips": 1}, kernel=OLD)
    assert result.faults["kind"].tolist() == ["bpf_prog_load"] * 2
    assert result.faults["detail"].iloc[0] == "no room for 2,147,483,648 bytes of code"
    assert result.tasks["finished"].all()


@pytest.mark.parametrize(
    ("kernel", "calls"), [("linux-4.16-x86_64", 3 * 56), ("linux-6.1-x86_64", 3)]
)
def test_each_flip_patches_the_sites_of_a_key(kernel: str, calls: int) -> None:
    result = run({"kind": "static_keys", "flips": 2, "sites": [56]}, kernel=kernel)
    assert len(result.crosscalls) == 2 * calls
    assert set(result.crosscalls["kind"]) == {"sync_core"}
    assert set(result.crosscalls["cause"]) == {"text_poke"}


def test_a_flip_takes_one_of_the_numbers_of_sites() -> None:
    result = run({"kind": "static_keys", "flips": 40, "sites": [1, 300]})
    flips = result.operations.query("kind == 'static_key_toggle'")["crosscalls"]
    assert set(flips) == {3, 6}


def test_tracing_is_on_for_as_long_as_asked_and_off_again() -> None:
    toggle = {
        "kind": "ftrace_toggle", "toggles": 2, "sites": 512, "on_for": "50ms", "trampoline": False,
        "arrival": {"every": "1s"},
    }  # fmt: skip
    result = run(toggle)
    on = result.operations.query("kind == 'ftrace_enable'")
    assert sorted(on["start_ps"]) == [0, S]
    assert starts(result, "ftrace_disable") == [end + 50 * MS for end in on["end_ps"]]
    # Twice on and off: two batches, and the entry's two sites before and after an empty call.
    assert len(result.crosscalls) == 2 * 2 * (3 * 2 + 2 * 3 * 2 + 1)


def test_tracing_without_room_for_a_trampoline_is_reported() -> None:
    kernel = {"profile": "linux-6.1-x86_64", "modules_size": "4KiB"}
    result = run({"kind": "ftrace_toggle", "toggles": 2, "sites": 10}, kernel=kernel)
    assert result.faults["kind"].tolist() == ["ftrace_enable"] * 2
    assert len(result.crosscalls) == 0


@pytest.mark.parametrize("kind", COUNTED)
@pytest.mark.parametrize(
    ("count", "arrival", "endless"),
    [
        (None, None, True),
        (None, {"every": "1s"}, True),
        (3, {"every": "1s"}, False),
        (None, {"times": ["1s", "2s"]}, False),
    ],
)
def test_a_kind_without_a_number_of_times_has_no_end(
    kind: str, count: int | None, arrival: dict[str, Any] | None, endless: bool
) -> None:
    keys = {"name": kind, COUNTED[kind]: count, "arrival": arrival}
    made = workload_kinds()[kind].model_validate(keys)
    assert made.endless is endless
    assert {spec.role for spec in made.tasks(MachineInfo(4))} == {
        "background" if endless else "foreground"
    }


@pytest.mark.parametrize("kind", COUNTED)
def test_a_list_of_cpus_is_claimed_and_words_take_what_is_there(kind: str) -> None:
    made = workload_kinds()[kind]
    assert made(cpus=(1, 3)).claims(MachineInfo(4)) == {1, 3}
    assert made(cpus="others").claims(MachineInfo(4)) == frozenset()


@pytest.mark.parametrize(
    ("workload", "code"),
    [
        (bpf(size=[]), "empty-list"),
        (bpf(size=["0B"]), "not-positive"),
        (bpf(size=["600"]), "missing-unit"),
        (bpf(cpus=[0, 4]), "cpu-out-of-range"),
        (bpf(arrival={"times": ["1ms"]}), "too-few-times"),
        (bpf(lifetime={"dist": "exponential"}), "missing-key"),
        ({"kind": "static_keys", "sites": [0]}, "out-of-range"),
        ({"kind": "static_keys", "sites": "56"}, "wrong-type"),
        ({"kind": "static_keys", "flips": 0}, "out-of-range"),
        ({"kind": "ftrace_toggle", "sites": 0}, "out-of-range"),
        ({"kind": "ftrace_toggle", "on_for": "1"}, "missing-unit"),
        ({"kind": "ftrace_toggle", "trampoline": "no"}, "wrong-type"),
    ],
)
def test_keys_that_do_not_fit_are_faults_with_a_code(workload: dict[str, Any], code: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(workload, duration="1s")
    assert [fault.code for fault in caught.value.faults] == [code]


def test_a_kernel_without_live_patches_is_named() -> None:
    patch = {"kind": "live_patch", "patches": 1}
    keys = {"machine": "altra-max", "kernel": "linux-6.12-arm64"}
    with pytest.raises(ScenarioError, match="cannot be patched while it runs"):
        run(patch, **keys)


def test_a_live_patch_is_taken_back_after_its_time() -> None:
    patch = {"kind": "live_patch", "patches": 2, "functions": 3, "transition": "1ms"}
    result = run({**patch, "hold": "2ms"})
    assert (result.operations["kind"] == "klp_disable_patch").sum() == 2
    assert (result.operations["kind"] == "ftrace_disable").sum() == 2 * 3
