"""A run, exported as a kernel trace and imported again, is the workload that it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pmsim
from pmsim.imports.importer import Wishes, import_files
from pmsim.report.ftrace_text import write_ftrace
from pmsim.report.spans import Window
from pmsim.units import MS, NS, US
from pmsim.workloads.calls_file import CHANGES, COLUMNS, CallOp, CallRow, read_calls

CPUS = 4
MACHINE = {
    "topology": {"cores": CPUS},
    "costs": {
        "ipi": {"queue": "20ns", "send": "80ns", "delivery": "600ns", "entry": "250ns"},
        "sched": {"wakeup": "0ns", "context_switch": "0ns"},
    },
}
APART = 1 * MS
"""From one call to the next, so that each begins at its instant."""


NOT_CALLED = (CallOp.TEXT_POKE, CallOp.BUSY, CallOp.IDLE)
"""What no exported trace tells: it has calls of the kernel, not what CPUs do between them."""


@st.composite
def programs(draw: st.DrawFn) -> list[CallRow]:
    """Return calls that a kernel could have been asked for."""
    rows: list[CallRow] = []
    live: dict[int, int] = {}
    areas = 0
    for number in range(draw(st.integers(1, 14))):
        at = number * APART + draw(st.integers(0, 900)) * US + draw(st.integers(0, 999)) * NS
        cpu = draw(st.integers(0, CPUS - 1))
        others = st.sets(st.sampled_from([one for one in range(CPUS) if one != cpu]))
        op = draw(st.sampled_from([op for op in CallOp if op not in NOT_CALLED]))
        if op in (CallOp.VFREE, *CHANGES) and not live:
            op = CallOp.VMALLOC
        if op in (CallOp.VMALLOC, CallOp.MODULE_ALLOC):
            areas += 1
            live[areas] = draw(st.integers(1, 40))
            rows.append(CallRow(at, cpu, op, areas, 0, live[areas]))
        elif op is CallOp.VFREE:
            area = draw(st.sampled_from(sorted(live)))
            del live[area]
            rows.append(CallRow(at, cpu, op, area))
        elif op in CHANGES:
            area = draw(st.sampled_from(sorted(live)))
            first = draw(st.integers(0, live[area] - 1))
            pages = draw(st.integers(1, live[area] - first))
            rows.append(CallRow(at, cpu, op, area, first, pages))
        elif op is CallOp.FLUSH_TLB_KERNEL_RANGE:
            rows.append(CallRow(at, cpu, op, pages=draw(st.integers(1, 50))))
        elif op is CallOp.FLUSH_TLB_MM:
            told = tuple(sorted(draw(others)))
            rows.append(CallRow(at, cpu, op, pages=draw(st.integers(0, 40)), cpus=told))
        elif op is CallOp.CALL:
            told = tuple(sorted(draw(others) or {(cpu + 1) % CPUS}))
            rows.append(CallRow(at, cpu, op, cpus=told))
        else:
            rows.append(CallRow(at, cpu, op))
    return rows


def written(rows: list[CallRow], path: Path) -> Path:
    lines = [",".join(COLUMNS)]
    for row in rows:
        told = " ".join(map(str, row.cpus))
        cells = (row.at_ps, row.cpu, row.op.value, row.area, row.first, row.pages, told)
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trip")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=25)
@given(rows=programs())
def test_a_run_exported_as_ftrace_text_imports_to_the_same_workload(
    place: Path, rows: list[CallRow]
) -> None:
    first = rows[0].at_ps or 0
    file = written(rows, place / "calls.csv")
    result = pmsim.run(
        pmsim.Scenario.from_dict(
            {
                "pmsim": 1,
                "machine": MACHINE,
                "kernel": "linux-6.12-x86_64",
                "until": "done",
                "workloads": [{"kind": "replay", "file": str(file)}],
                "measure": {"detail": {}},
            }
        )
    )
    trace = write_ftrace(result, place / "trace.txt", Window(), force=True)
    imported = place / "imported.csv"
    import_files([trace], Wishes(frozenset(), US)).files["calls.csv"](imported)
    back = read_calls(imported, CPUS)
    assert [row.at_ps for row in back] == [(row.at_ps or 0) - first for row in rows]
    assert [(row.cpu, row.op, row.area, row.first, row.pages, row.cpus) for row in back] == [
        (row.cpu, row.op, row.area, row.first, row.pages, row.cpus) for row in rows
    ]


def test_delays_in_an_exported_trace_are_those_of_the_run(tmp_path: Path) -> None:
    rows = [CallRow(n * MS, 0, CallOp.FLUSH_TLB_MM, pages=3, cpus=(1, 2, 3)) for n in range(5)]
    scenario = {
        "pmsim": 1,
        "machine": MACHINE,
        "kernel": "linux-6.12-x86_64",
        "until": "done",
        "workloads": [{"kind": "replay", "file": str(written(rows, tmp_path / "calls.csv"))}],
        "measure": {"detail": {}},
    }
    result = pmsim.run(pmsim.Scenario.from_dict(scenario))
    trace = write_ftrace(result, tmp_path / "trace.txt", Window())
    found = import_files([trace], Wishes(frozenset(), US))
    table = next(one for one in found.tables if one.title == "how long cross-calls took")
    delay = next(row for row in table.rows if row[1].text == "queue to entry")
    anatomy = result.anatomy[result.anatomy["which"] == "detail"]
    late = (anatomy["runs_ps"] // NS - anatomy["queued_ps"] // NS) * NS
    assert delay[2].number == len(late) == 15
    assert delay[7].number == late.max()
