"""When the CPUs of a trace were idle, and what they do meanwhile in its replay."""

from __future__ import annotations

from pathlib import Path

import pytest

import pmsim
from pmsim.imports.importer import Wishes, import_files
from pmsim.units import MS, US

FLUSH = "app-7 [000] ..... 0.000100: tlb_flush: pages:1 reason:remote IPI send (4)"
QUEUE = (
    "app-7 [000] ..... 0.000101: csd_queue_cpu: cpu=1 callsite=a+0x1/0x2"
    " func=flush_tlb_func csd=0000000000000001"
)
FTRACE = """\
{who} [001] ..... 0.000{at}: sched_switch: prev_comm={prev} prev_pid={a} prev_prio=120\
 prev_state=S ==> next_comm={next} next_pid={b} next_prio=120"""
TRACE_CMD = "{who} [001] ..... 0.000{at}: sched_switch: {prev}:{a} [120] S ==> {next}:{b} [120]"


def switch(form: str, at: int, a: int, b: int) -> str:
    name = {0: "swapper/1", 9: "a b:c", 11: "d"}
    who = f"{'<idle>' if a == 0 else 'x'}-{a}"
    return form.format(who=who, at=f"{at:03}", prev=name[a], next=name[b], a=a, b=b)


def imported(tmp_path: Path, *lines: str) -> tuple[tuple[str, ...], list[str]]:
    path = tmp_path / "trace"
    path.write_text("".join(f"  {line}\n" for line in lines))
    found = import_files([path], Wishes(frozenset(), US))
    for file, write in found.files.items():
        write(tmp_path / file)
    return tuple(found.words), (tmp_path / "calls.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize("form", [FTRACE, TRACE_CMD])
def test_switches_to_and_from_the_idle_task_are_rows_and_others_are_not(
    tmp_path: Path, form: str
) -> None:
    words, rows = imported(
        tmp_path,
        FLUSH,
        QUEUE,
        switch(form, 200, 9, 11),
        switch(form, 300, 11, 0),
        switch(form, 500, 0, 9),
    )
    states = [row for row in rows if ",busy," in row or ",idle," in row]
    # It ran somebody before the first switch; instants count from the first event.
    assert states == ["0,1,busy,,,,", f"{200 * US},1,idle,,,,", f"{400 * US},1,busy,,,,"]
    assert any("CPU 1 computes" in one and "sched_switch" in one for one in words)
    assert any("others are taken to be idle" in one for one in words)


def test_a_trace_without_switches_says_what_is_assumed_and_what_to_record(tmp_path: Path) -> None:
    words, rows = imported(tmp_path, FLUSH, QUEUE)
    assert len(rows) == 1
    assert any("ll CPUs are taken to be idle between their calls" in one for one in words)
    assert any("record sched:sched_switch" in one for one in words)


def test_a_cpu_computes_while_it_is_busy_and_sleeps_while_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(
        "at_ps,cpu,op,area,first,pages,cpus\n"
        f"0,1,busy,,,,\n{3 * MS},1,idle,,,,\n{5 * MS},1,busy,,,,\n"
        f"{9 * MS},0,flush_tlb_mm,,,1,1\n{10 * MS},1,idle,,,,\n"
    )
    (tmp_path / "scenario.yaml").write_text(
        "pmsim: 1\nname: states\nmachine: {platform: skylake-sp-2s, cpus: 4}\n"
        "kernel: linux-6.1-x86_64\nuntil: done\n"
        "workloads: [{kind: replay, file: calls.csv}]\n"
    )
    result = pmsim.run(pmsim.load(tmp_path / "scenario.yaml"))
    cpu = result.cpus.set_index("cpu").loc[1]
    # It wakes up from its deepest state, which takes 133 us.
    assert cpu["busy_ps"] == pytest.approx(8 * MS - 133 * US, rel=0.001)
    # It is told while it is busy, so that it need not wake up.
    assert result.crosscalls["slowest_reason"].tolist() == ["distance"]
