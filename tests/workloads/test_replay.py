"""Calls of the kernel, replayed from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.units import NS, US
from pmsim.workloads.calls_file import CallOp, CallRow, read_calls

HEAD = "at_ps,cpu,op,area,first,pages,cpus\n"
MACHINE = {
    "topology": {"cores": 4},
    "costs": {
        "ipi": {"queue": "20ns", "send": "80ns", "delivery": "600ns", "entry": "250ns"},
        "sched": {"wakeup": "0ns", "context_switch": "0ns"},
    },
}


def replayed(tmp_path: Path, rows: str, kernel: str = "linux-6.12-x86_64") -> pmsim.Result:
    (tmp_path / "calls.csv").write_text(HEAD + rows)
    file = str(tmp_path / "calls.csv")
    return pmsim.run(
        pmsim.Scenario.from_dict(
            {
                "pmsim": 1,
                "machine": MACHINE,
                "kernel": kernel,
                "until": "done",
                "workloads": [{"kind": "replay", "file": file}],
            }
        )
    )


def begun(result: pmsim.Result) -> list[tuple[int, int, str]]:
    outer = result.operations[result.operations["parent"].isna()]
    rows = outer[["start_ps", "cpu", "kind"]].sort_values(["start_ps", "cpu"])
    return [(row.start_ps, row.cpu, row.kind) for row in rows.itertuples()]


def test_each_call_begins_at_its_instant_on_its_cpu(tmp_path: Path) -> None:
    rows = (
        f"{50 * US},1,vmalloc,7,,4,\n{90 * US},3,vfree,7,,,\n{120 * US},2,flush_tlb_all,,,,\n"
        f"{10 * US},0,flush_tlb_mm,,,3,1-2\n"
    )
    assert begun(replayed(tmp_path, rows)) == [
        (10 * US, 0, "flush_tlb_mm_range"),
        (50 * US, 1, "vmalloc"),
        (90 * US, 3, "vfree"),
        (120 * US, 2, "flush_tlb_all"),
    ]


def test_a_call_that_comes_due_within_another_follows_it_at_once(tmp_path: Path) -> None:
    rows = f"{10 * US},0,flush_tlb_all,,,,\n{10 * US + NS},0,flush_tlb_all,,,,\n"
    result = replayed(tmp_path, rows)
    first, second = result.operations.sort_values("start_ps").itertuples()
    assert first.start_ps == 10 * US
    assert second.start_ps == first.end_ps > 10 * US + NS


def test_flushes_of_processes_go_to_the_cpus_that_are_named(tmp_path: Path) -> None:
    rows = "0,0,flush_tlb_mm,,,3,2-3\n50000000,1,flush_tlb_mm,,,,0\n90000000,1,flush_tlb_mm,,,1,\n"
    calls = replayed(tmp_path, rows).crosscalls
    assert list(calls["targets"]) == [2, 1]  # the last one stays on its CPU
    assert list(calls["kind"]) == ["range", "full"]
    assert list(calls["cause"]) == ["user", "user"]


def test_an_area_is_waited_for_and_freed_only_after_its_changes(tmp_path: Path) -> None:
    # All at once: CPU 1 has to wait for the area, CPU 2 for the change.
    rows = "0,0,vmalloc,1,,400,\n0,1,set_memory_ro,1,,400,\n0,2,vfree,1,,,\n"
    operations = replayed(tmp_path, rows).operations
    end = dict(zip(operations["kind"], operations["end_ps"], strict=True))
    start = dict(zip(operations["kind"], operations["start_ps"], strict=True))
    assert start["set_memory_ro"] >= end["vmalloc"]
    assert start["vfree"] >= end["set_memory_ro"]


def test_instants_count_from_when_what_was_there_before_is_done(tmp_path: Path) -> None:
    rows = f"{5 * US},1,flush_tlb_all,,,,\n,0,vmalloc,1,,4,\n,0,vfree,1,,,\n"
    operations = replayed(tmp_path, rows).operations
    freed = operations[operations["kind"] == "vfree"]["end_ps"].iloc[0]
    flushed = operations[operations["kind"] == "flush_tlb_all"]["start_ps"].iloc[0]
    assert flushed == freed + 5 * US


def test_module_areas_lie_among_modules_and_flush_when_they_are_freed(tmp_path: Path) -> None:
    rows = "0,0,module_alloc,1,,4,\n9000000,0,set_memory_rox,1,1,2,\n90000000,0,vfree,1,,,\n"
    result = replayed(tmp_path, rows, "linux-6.1-x86_64")
    assert "reset_perms" in set(result.crosscalls["cause"])


def test_patched_code_is_told_as_the_kernel_tells_it(tmp_path: Path) -> None:
    # text_poke_bp_batch of 6.12: three times, whatever the number of sites of a batch.
    assert list(replayed(tmp_path, "0,0,text_poke,,,3,\n").crosscalls["cause"]) == ["text_poke"] * 3


def test_rows_are_read_in_order_of_their_instants(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(HEAD + "5,1,vfree,9,,,\n,0,vmalloc,9,,2,\n1,3,call,,,,0 2\n")
    assert read_calls(path, 4) == (
        CallRow(None, 0, CallOp.VMALLOC, 9, 0, 2),
        CallRow(1, 3, CallOp.CALL, 0, 0, 0, (0, 2)),
        CallRow(5, 1, CallOp.VFREE, 9),
    )


@pytest.mark.parametrize(
    ("rows", "code", "line"),
    [
        ("0,4,flush_tlb_all,,,,\n", "cpu-out-of-range", 2),
        ("0,0,flush_tlb_al,,,,\n", "unknown-op", 2),
        ("0,0,vfree,3,,,\n", "bad-area", 2),
        ("0,0,vmalloc,3,,1,\n1,0,vfree,3,,,\n2,0,vfree,3,,,\n", "bad-area", 4),
        ("0,0,vmalloc,3,,2,\n1,0,set_memory_ro,3,1,2,\n", "bad-area", 3),
        ("0,0,vmalloc,3,,1,\n1,0,vmalloc,3,,1,\n", "bad-area", 3),
        ("0,0,vmalloc,3,,,\n", "bad-row", 2),
        ("0,0,flush_tlb_mm,,,1,0-1\n", "bad-row", 2),
        ("0,0,flush_tlb_mm,,,1,7\n", "cpu-out-of-range", 2),
        ("0,0,call,,,,\n", "bad-row", 2),
        ("-1,0,flush_tlb_all,,,,\n", "not-whole", 2),
        ("99999999999999999999,0,flush_tlb_all,,,,\n", "absurd", 2),
        ("0,0,flush_tlb_all\n", "bad-row", 2),
    ],
)
def test_a_bad_row_is_told_with_its_line(tmp_path: Path, rows: str, code: str, line: int) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(HEAD + rows)
    with pytest.raises(ScenarioError) as caught:
        read_calls(path, 4)
    (fault,) = caught.value.faults
    assert (fault.code, fault.line) == (code, line)


def test_a_file_of_another_kind_is_told_what_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("cpu,op,arg\n0,compute,1\n")
    with pytest.raises(ScenarioError, match="pmsim import writes such files"):
        read_calls(path, 4)
    path.write_text(" a-1 [000] ..... 1.000001: tlb_flush: x\n")
    with pytest.raises(ScenarioError, match="pmsim import reads it"):
        read_calls(path, 4)
