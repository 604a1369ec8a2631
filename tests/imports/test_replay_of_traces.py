"""Real traces, replayed: what the simulated kernel does of itself is what the real one did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import pmsim
from pmsim.imports.importer import Wishes, import_files
from pmsim.units import US
from tests.imports.test_trace_report import DATA, lines_of

MACHINES = [
    ("skylake-sp-2s", "linux-6.18-x86_64"),
    ("altra-max", "linux-6.18-arm64"),
    ("epyc-turin", "linux-6.18-x86_64"),
]


def scenario_of(tmp_path: Path, name: str) -> pmsim.Scenario:
    found = import_files([DATA / f"{name}.trace.gz"], Wishes(frozenset(), US))
    for file, write in found.files.items():
        write(tmp_path / file)
    return pmsim.load(tmp_path / "scenario.yaml")


def causes(result: pmsim.Result) -> Counter[str]:
    return Counter(map(str, result.crosscalls["cause"]))


@pytest.mark.parametrize(("machine", "kernel"), MACHINES)
@pytest.mark.parametrize("name", ["thread_churn", "mprotect", "module_burst"])
def test_a_trace_is_replayed_on_other_machines_and_kernels(
    tmp_path: Path, name: str, machine: str, kernel: str
) -> None:
    scenario = scenario_of(tmp_path, name)
    result = pmsim.run(scenario.with_(machine=machine, kernel=kernel))
    assert not len(result.faults)
    rows = (tmp_path / "calls.csv").read_text().splitlines()[1:]
    asked = Counter(row.split(",")[2] for row in rows)
    outer = result.operations[result.operations["workload"] == "replay"]
    done = Counter(map(str, outer[outer["parent"].isna()]["kind"]))
    assert done["flush_tlb_mm_range"] == asked["flush_tlb_mm"]
    assert done["set_memory_ro"] == asked["set_memory_ro"]
    assert done["vfree"] == asked["vfree"]
    calls = result.crosscalls[result.crosscalls["cause"] != "text_poke"]
    # With INVLPGB a process on fewer than three CPUs is still told by interrupts.
    if machine == "epyc-turin":
        calls = calls[calls["cause"] != "user"]
    told_by = "ipi" if machine == "skylake-sp-2s" else "tlbi"
    assert {str(one) for one in calls["protocol"]} <= {told_by}


def test_the_flushes_of_processes_are_called_as_in_the_trace(tmp_path: Path) -> None:
    result = pmsim.run(scenario_of(tmp_path, "mprotect"))
    queued = sum(1 for line in lines_of("mprotect") if "func=flush_tlb_func" in line
                 and "csd_queue_cpu" in line)  # fmt: skip
    assert causes(result) == {"user": queued}


def test_a_busy_target_answers_without_waking_up(tmp_path: Path) -> None:
    """Waking from the deepest idle state takes 133 us, an interrupt of a busy CPU some 2."""
    scenario = scenario_of(tmp_path, "mprotect")
    assert "busy: '1'" in (tmp_path / "scenario.yaml").read_text()
    busy = pmsim.run(scenario)
    idle = pmsim.run(scenario.with_(**{"workloads.replay.busy": []}))
    told = busy.crosscalls[busy.crosscalls["cpu"] == 0]
    assert (told["end_ps"] - told["start_ps"]).median() < 3 * US
    told = idle.crosscalls[idle.crosscalls["cpu"] == 0]
    assert (told["end_ps"] - told["start_ps"]).median() > 100 * US


def test_on_as_many_cpus_the_purge_comes_where_it_came(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, "thread_churn")
    result = pmsim.run(
        scenario.with_(machine={"platform": "kvm-milan"}, kernel="linux-6.18-x86_64")
    )
    assert causes(result)["purge"] == 1
    # In the trace: behind the vfree that exceeds 16,384 pages, and so many before the end.
    events = [line for line in lines_of("thread_churn") if "free_vmap_area_noflush: " in line]
    lazy = [int(line.split("nr_lazy=")[1].split()[0]) for line in events]
    before = sum(1 for pages in lazy[: lazy.index(max(lazy)) + 1] if pages <= 16_384)
    operations = result.operations
    purge = result.crosscalls[result.crosscalls["cause"] == "purge"]["start_ps"].iloc[0]
    stacks = operations[(operations["kind"] == "vfree") & (operations["pages"] == 4)]
    assert abs(int((stacks["end_ps"] < purge).sum()) - before) <= 6  # those of one batch


def test_on_more_cpus_lazily_freed_pages_wait_longer(tmp_path: Path) -> None:
    result = pmsim.run(scenario_of(tmp_path, "thread_churn"))  # 56 CPUs: 49,152 pages
    assert causes(result)["purge"] == 0


def test_modules_make_the_flushes_that_the_traced_kernel_made(tmp_path: Path) -> None:
    lines = lines_of("module_burst")
    result = pmsim.run(scenario_of(tmp_path, "module_burst").with_(kernel="linux-6.1-x86_64"))
    seen = Counter(
        function
        for line in lines
        for function in (" cpa_flush: ", " text_poke_bp_batch: ")
        if function in line
    )
    found = causes(result)
    assert found["attributes"] == seen[" cpa_flush: "]
    assert found["text_poke"] == 3 * seen[" text_poke_bp_batch: "]
