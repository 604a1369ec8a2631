"""Protocols that are not pmsim's own, in scenarios, machines, the schema, and other processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.report.spans import Window, spans_of
from pmsim.scenario.protocol_files import load_protocols
from pmsim.scenario.schema import schema
from tests.reference.examples import PAGE

CODE = '''
import pmsim

@pmsim.protocol("{name}")
class Mine:
    """Calls everybody, after a while."""

    promises = "{promises}"
    drops_at = "{drops_at}"
    work: pmsim.Time{default}
    twice: bool = False

    def shootdown(self, initiator, flush):
        yield from initiator.irqs_off(self.work)
        yield from initiator.cross_call(flush.targets, flush.function)
'''


@pytest.fixture(autouse=True)
def _scoped() -> Iterator[None]:
    with PROTOCOLS.scoped():
        yield


def written(tmp_path: Path, code: str = CODE, **changes: str) -> Path:
    """Write a file with a protocol."""
    given = {"name": "mine", "promises": "gone", "drops_at": "", "default": ' = "20ns"', **changes}
    path = tmp_path / "mine.py"
    path.write_text(code.format(**given), encoding="utf-8")
    return path


def scenario(machine: dict[str, Any] | None = None, **kernel: Any) -> pmsim.Scenario:
    return pmsim.Scenario.from_dict(
        {
            "pmsim": 1,
            "machine": {"platform": "skylake-sp-2s", "cpus": 4, **(machine or {})},
            "kernel": {"profile": "linux-6.18-x86_64", "shootdown": "mine", **kernel},
            "until": "done",
            "workloads": [{"kind": "pool_churn", "pools": 2, "allocations": 64, "size": "64B"}],
        }
    )


def faults(*args: Any, **kernel: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(ScenarioError) as refused:
        scenario(*args, **kernel)
    return [(one.code, one.message, one.hint) for one in refused.value.faults]


def latency(of: pmsim.Scenario) -> int:
    calls = pmsim.run(of).crosscalls
    assert set(calls["protocol"]) == {"mine"}
    return int((calls["end_ps"] - calls["start_ps"]).min())


def test_a_files_protocol_runs_and_costs_what_the_machine_says(tmp_path: Path) -> None:
    assert load_protocols(written(tmp_path)) == ["mine"]
    usual = latency(scenario())
    dearer = latency(scenario({"costs": {"mine": {"work": "70ns"}}}))
    sourced = {"value": "30ns", "basis": "estimate", "source": "a guess", "range": ["1ns", "1us"]}
    other = scenario().with_({"machine.costs.mine.work": sourced})
    assert (dearer - usual, latency(other) - usual) == (50_000, 10_000)
    known = {one.path: one for one in other.resolve().machine.constants}
    assert known["costs.mine.work"].ends == (1_000, 1_000_000)


def test_every_table_calls_it_by_its_name(tmp_path: Path) -> None:
    load_protocols(written(tmp_path))
    detailed = scenario({"isolated": [3]}).with_({"measure.detail": {"from": "0s"}})
    result = pmsim.run(detailed)
    for table in ("crosscalls", "anatomy", "interruptions"):
        assert set(result.table(table)["protocol"]) == {"mine"}
    assert set(result.anatomy["which"]) == {"median", "p99", "slowest", "detail"}
    assert set(result.manifest["protocols"]) == {"mine"}


def test_what_targets_do_of_calls_that_nobody_waits_for_is_kept(tmp_path: Path) -> None:
    code = CODE.replace("flush.function)", "flush.function, wait=False)")
    load_protocols(written(tmp_path, code, promises="requested"))
    given = scenario(unsafe=True).with_({"measure.detail": {"from": "0s"}})
    result = pmsim.run(given)
    anatomy = result.anatomy
    assert set(anatomy["which"]) == {"median", "p99", "slowest", "detail"}
    assert anatomy[["looks_ps", "visited_ps", "seen_ps"]].isna().all().all()
    rows = anatomy[anatomy["which"] == "detail"]
    assert result.detail["targets"].tolist() == [len(rows)] == [result.crosscalls["targets"].sum()]
    # Handlers are all that a CPU without a task does.
    of_cpu_2 = rows[rows["cpu"] == 2]
    handled = of_cpu_2.groupby("handler_ps")["exit_ps"].max()
    account = result.cpus.set_index("cpu").loc[2]
    assert account["handlers"] == len(handled)
    from_ = of_cpu_2.groupby("handler_ps")["arrives_ps"].min()
    assert account["stolen_ps"] == (handled - from_).sum()
    spans = spans_of(result, Window()).handlers[2]
    assert [one.end_ps for one in spans if one.name == "handler"] == handled.tolist()


def test_what_is_resolved_reads_as_a_scenario_that_resolves_to_the_same(tmp_path: Path) -> None:
    load_protocols(written(tmp_path))
    costs = {"costs": {"mine": {"work": "70ns"}}}
    first = scenario(costs, shootdown={"mine": {"twice": True}}).resolve()
    assert pmsim.Scenario.from_dict(first.as_dict()).resolve() == first


def test_a_trace_is_told_by_it_once_for_each_flush(tmp_path: Path) -> None:
    # Windows of 30, then a call: in its queue at 1 more, there at once, taken at 1 more, and done
    # when the page is dropped, 7 later.
    load_protocols(written(tmp_path, default=' = "30ps"'))
    costs = {
        "ipi": {"queue": "1ps", "send": "0ps", "entry": "1ps"},
        "tlb": {"invlpg": "7ps", "flush_all": "0ps"},
    }
    trace = tmp_path / "trace.csv"
    trace.write_text("cpu,op,arg\n0,compute,5\n0,flush_kernel,1\n0,flush_kernel,1\n")
    of = pmsim.Scenario.from_dict(
        {
            "pmsim": 1,
            "machine": {"topology": {"cores": 2}, "costs": costs},
            "kernel": {"profile": "linux-6.18-x86_64", "shootdown": "mine"},
            "until": "done",
            "workloads": [{"kind": "trace", "file": str(trace)}],
        }
    )
    result = pmsim.run(of)
    calls = result.crosscalls[["protocol", "start_ps", "end_ps", "gone_ps"]].to_numpy().tolist()
    assert calls == [["mine", 5, 44, 44], ["mine", 44, 83, 83]]
    assert result.cpus["irqs_off_ps"].tolist() == [2 * (30 + 1 + 7), 0]
    # One shootdown each, which is a window and a call.
    assert result.cpus["crosscalls_sent"].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("machine", "kernel", "fault"),
    [
        ({"costs": {"mine": {"wrok": "1ns"}}}, {}, ("unknown-key", "did you mean work?")),
        ({"costs": {"mine": {"work": "70"}}}, {}, ("missing-unit", "for example")),
        ({"costs": {"mine": {"work": "2min"}}}, {}, ("out-of-range", "the largest is 1s")),
        ({}, {"shootdown": {"mine": {"often": True}}}, ("unknown-key", "known: twice")),
        ({}, {"shootdown": {"mine": {"twice": 2}}}, ("bad-value", "known: false, true")),
        ({}, {"shootdown": "mime"}, ("bad-value", "did you mean mine?")),
        ({"host": {"pv_flush": True}}, {}, ("conflict", "may defer until 'runs'")),
    ],
)
def test_a_wrong_key_is_a_fault_of_the_scenario(
    tmp_path: Path, machine: Any, kernel: Any, fault: tuple[str, str]
) -> None:
    load_protocols(written(tmp_path))
    ((code, _, hint),) = faults(machine, **kernel)
    assert code == fault[0]
    assert fault[1] in hint


def test_one_that_is_not_known_says_how_to_make_it_known() -> None:
    ((code, message, hint),) = faults()
    assert (code, message) == ("bad-value", "kernel.shootdown: there is no protocol 'mine'")
    assert "your own: --protocols FILE, or @pmsim.protocol" in hint


@pytest.mark.parametrize("promises", ["closed", "requested"])
def test_one_that_promises_too_little_is_refused_by_name_unless_unsafe(
    tmp_path: Path, promises: str
) -> None:
    load_protocols(written(tmp_path, promises=promises))
    ((code, message, hint),) = faults()
    assert code == "unsafe-shootdown"
    assert "mine promises too little to revoke (set_memory_ro" in message
    assert "unsafe: true" in hint
    scenario(unsafe=True)


def test_a_cost_without_a_default_has_to_be_given(tmp_path: Path) -> None:
    load_protocols(written(tmp_path, default=""))
    ((code, message, _),) = faults()
    assert (code, "by mine, for which" in message) == ("no-mine", True)
    scenario({"costs": {"mine": {"work": "1ns"}}})


def test_what_it_costs_to_leave_cpus_out_has_to_be_given(tmp_path: Path) -> None:
    load_protocols(written(tmp_path, drops_at="tick"))
    ((code, message, hint),) = faults({"platform": "opteron-2008"})
    assert (code, "drops_at = 'tick'" in message) == ("no-latr", True)
    assert "give costs: latr" in hint


def test_the_schema_has_its_costs_and_options(tmp_path: Path) -> None:
    load_protocols(written(tmp_path))
    defined = schema()["$defs"]
    assert defined["CostKeys"]["properties"]["mine"] == {"$ref": "#/$defs/protocol_mine"}
    assert defined["protocol_mine"]["properties"]["work"]["default"] == "20ns"
    names, chosen = defined["KernelProfile"]["properties"]["shootdown"]["anyOf"]
    assert "mine" in names["enum"]
    assert chosen["properties"]["mine"]["properties"]["twice"]["enum"] == [False, True]


def test_another_process_needs_no_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    load_protocols(path)
    sent = cloudpickle.dumps(scenario({"costs": {"mine": {"work": "70ns"}}}))
    here = latency(cloudpickle.loads(sent))
    path.unlink()
    PROTOCOLS._known.pop("mine")  # as in a process that has not seen it
    assert latency(cloudpickle.loads(sent)) == here
    assert "mine" in PROTOCOLS


@pytest.mark.parametrize(
    ("code", "place", "said"),
    [
        ("x = 1\n", (0, 0), "registers no protocol"),
        ("x = (\n", (1, 5), "this is no Python: '(' was never closed"),
        ("import sys\nsys.exit()\n", (2, 1), "the file ends the program (sys.exit)"),
        ("import pmsim\n\n1 / 0\n", (3, 1), "ZeroDivisionError: division by zero"),
        ("import nowhere\n", (1, 1), "No module named 'nowhere'"),
        ('import pmsim\n@pmsim.protocol("ipi")\nclass Mine: ...\n', (2, 1), "is taken by pmsim"),
        ('import pmsim\n@pmsim.protocol("mine")\nclass Mine: ...\n', (2, 1), "does not define"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(
    tmp_path: Path, code: str, place: tuple[int, int], said: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load_protocols(path)
    (fault,) = refused.value.faults
    assert (fault.file, fault.line, fault.column) == (str(path), *place)
    assert said in fault.message
    assert fault.hint or fault.code == "bad-protocol"


def test_a_file_with_a_wrong_line_is_refused_with_the_line_and_how_to_look_for_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import pmsim\nclass Mine\n")
    with pytest.raises(ScenarioError) as refused:
        load_protocols(path)
    (fault,) = refused.value.faults
    assert (fault.line, fault.column, fault.message) == (2, 11, "this is no Python: expected ':'")
    assert (
        fault.hint
        == f"mend `class Mine`; `python -m py_compile {path}` checks it without running it"
    )


def test_a_file_that_is_not_there_is_refused_with_what_may_be_meant(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ScenarioError) as refused:
        load_protocols(tmp_path / "mime.py")
    (fault,) = refused.value.faults
    assert "the file cannot be read: no such file" in fault.message
    assert fault.hint == "did you mean mine.py?"
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ScenarioError, match=r"Python file with @pmsim\.protocol.* builds one"):
        load_protocols(tmp_path / "mime.py")


def test_a_directory_is_no_file_of_protocols(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="this is a directory, not a file"):
        load_protocols(tmp_path)


def test_the_page_builds_about_thirty_lines() -> None:
    last = PAGE.read_text(encoding="utf-8").split("Save this as `early.py`:")[-1]
    assert 15 <= len(last.split("```")[1].splitlines()) <= 30
