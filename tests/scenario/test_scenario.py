"""Scenarios: loading, changing by path, sweeps, and what they resolve to."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.errors import Fault, ScenarioError
from pmsim.scenario.scenario import MAX_SWEEP_VALUES, Scenario, load
from pmsim.scenario.shipped import scenario_names
from pmsim.units import MS, US, S
from pmsim.workloads.kinds.module_burst import ModuleBurst
from pmsim.workloads.kinds.policy_load import PolicyLoad

TEXT = """\
pmsim: 1
machine: opteron-2008
duration: 2s
workloads:
  - {kind: pool_churn, name: pools, cpu: 3, pool: {refill: 8KiB}}
  - {kind: user_work}
"""


@pytest.fixture
def scenario() -> Scenario:
    return Scenario.from_text(TEXT, "question.yaml")


def faults(call: Any, *arguments: Any, **values: Any) -> tuple[Fault, ...]:
    with pytest.raises(ScenarioError) as caught:
        call(*arguments, **values)
    return caught.value.faults


def test_the_demonstration_is_a_policy_of_selinux_size_on_56_cpus() -> None:
    resolved = load("policy-load").resolve()
    assert resolved.machine.topology.n_cpus == 56
    policy, modules, victims = resolved.workloads
    assert isinstance(policy, PolicyLoad)
    assert (policy.allocations, policy.size, policy.protect) == (96730, 24, "end")
    assert isinstance(modules, ModuleBurst)
    assert victims.kind == "user_work"


@pytest.mark.parametrize("name", ["policy-load", "policy_load", "policy_load.yaml"])
def test_a_shipped_scenario_is_found_by_name_with_dashes_or_underscores(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(name).name == "policy-load"


def test_a_file_of_the_same_name_comes_before_a_shipped_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy_load.yaml").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load("policy_load.yaml").resolve().duration == 2 * S


def test_a_name_that_is_unknown_is_answered_with_the_nearest() -> None:
    (fault,) = faults(load, "polcy-load")
    assert (fault.code, fault.hint) == ("no-such-file", "did you mean policy-load?")


def test_a_path_that_is_not_there_is_no_name() -> None:
    (fault,) = faults(load, Path("nowhere") / "policy_load.yaml")
    assert fault.code == "no-such-file"


def test_a_directory_of_results_does_not_hide_the_scenario_it_is_named_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy-load").mkdir()
    assert load("policy-load").name == "policy-load"
    (tmp_path / "mine").mkdir()
    with pytest.raises(ScenarioError, match="this is a directory"):
        load("mine")


def test_the_names_of_the_shipped_scenarios_are_listed() -> None:
    assert {"policy-load", "pool-churn", "module-burst"} <= set(scenario_names())


def test_a_scenario_goes_by_the_name_of_its_file_where_it_has_none(scenario: Scenario) -> None:
    assert scenario.name == "question"
    assert scenario.with_(name="answer").name == "answer"


def test_paths_in_a_scenario_start_at_its_file(tmp_path: Path) -> None:
    (tmp_path / "program.csv").write_text("cpu,op,arg\n0,compute,10\n", encoding="utf-8")
    text = "pmsim: 1\nmachine: opteron-2008\nworkloads: [{kind: trace, file: program.csv}]\n"
    (tmp_path / "scenario.yaml").write_text(text, encoding="utf-8")
    resolved = load(tmp_path / "scenario.yaml").resolve()
    assert resolved.inputs() == (str(tmp_path / "program.csv"),)


def test_everything_is_filled_in(scenario: Scenario) -> None:
    resolved = scenario.resolve()
    assert (resolved.duration, resolved.seed, resolved.replications) == (2 * S, 0, 1)
    assert resolved.kernel.name == "linux-6.1-x86_64"
    assert (resolved.measure.warmup, resolved.measure.timeline) == ("auto", "auto")
    assert [one.name for one in resolved.workloads] == ["pools", "user_work"]


def test_without_a_duration_a_run_is_until_done(scenario: Scenario) -> None:
    assert Scenario.from_dict({**scenario.as_dict(), "duration": None}).resolve().duration is None
    assert scenario.with_(until="done").resolve().as_dict()["until"] == "done"


def test_a_scenario_comes_back_from_its_plain_data(scenario: Scenario) -> None:
    again = Scenario.from_dict(scenario.as_dict(), "question.yaml")
    assert again.as_dict() == scenario.as_dict()
    assert again.resolve() == scenario.resolve()


def test_scenarios_cannot_be_changed_in_place(scenario: Scenario) -> None:
    with pytest.raises(AttributeError):
        scenario.file = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        scenario.resolve().seed = 1  # type: ignore[misc]


def test_a_value_is_replaced_by_its_path_and_the_original_stays(scenario: Scenario) -> None:
    changed = scenario.with_(seed=7, **{"workloads.pools.pool.refill": "64KiB"})
    pools: Any = changed.resolve().workloads[0]
    assert (changed.resolve().seed, pools.pool.refill, pools.cpu) == (7, 65536, 3)
    original: Any = scenario.resolve().workloads[0]
    assert (scenario.resolve().seed, original.pool.refill) == (0, 8192)


def test_a_workload_goes_by_its_index_or_by_its_name_given_or_not(scenario: Scenario) -> None:
    for path in ("workloads.1.compute", "workloads.user_work.compute"):
        victim: Any = scenario.with_(**{path: "1ms"}).resolve().workloads[1]
        assert victim.compute == MS


def test_keys_can_be_laid_beside_the_name_of_a_machine_or_kernel(scenario: Scenario) -> None:
    changed = scenario.with_(
        **{
            "machine.cpus": 4,
            "machine.costs.ipi.entry": "1us",
            "kernel.ceiling": "20 pages",
            "measure.timeline": "1ms",
        }
    ).resolve()
    assert changed.machine.topology.n_cpus == 4
    assert changed.machine.costs.ipi.entry == US
    assert changed.machine.costs.ipi.queue == scenario.resolve().machine.costs.ipi.queue
    assert changed.kernel.ceiling == 20
    assert changed.measure.timeline == MS


def test_a_duration_takes_the_place_of_until_and_the_other_way_round(scenario: Scenario) -> None:
    until = scenario.with_(until="done")
    assert until.resolve().duration is None
    assert until.with_(duration="1s").resolve().duration == S


def test_whole_parts_may_be_replaced(scenario: Scenario) -> None:
    arrival = {"poisson": "2/s"}
    workloads = [{"kind": "module_burst", "modules": 3, "arrival": arrival}]
    (one,) = scenario.with_(workloads=workloads).resolve().workloads
    assert isinstance(one, ModuleBurst)
    assert one.arrival is not None
    assert one.arrival.poisson == Fraction(2)


@pytest.mark.parametrize(
    ("values", "code", "hint"),
    [
        ({"machine.cpu": 8}, "unknown-key", "did you mean cpus?"),
        ({"sede": 1}, "unknown-key", "did you mean seed?"),
        ({"kernel.celing": "3 pages"}, "unknown-key", "did you mean ceiling?"),
        ({"workloads.pool.cpu": 1}, "bad-path", "did you mean pools?"),
        ({"workloads.2.cpu": 1}, "bad-path", "known: pools, user_work"),
        ({"duration.x": 1}, "bad-path", ""),
        ({"a..b": 1}, "bad-path", "for example machine.cpus"),
        ({"duration": 5}, "missing-unit", "units that fit"),
        ({"machine": "opteron"}, "unknown-platform", "did you mean opteron-2008?"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_a_hint(
    scenario: Scenario, values: dict[str, Any], code: str, hint: str
) -> None:
    (fault,) = faults(scenario.with_, **values)
    assert (fault.file, fault.code) == ("question.yaml", code)
    assert fault.message.startswith(f"with {next(iter(values))}: ")
    assert hint in fault.hint


def test_a_change_that_conflicts_with_the_file_is_reported_in_the_file(scenario: Scenario) -> None:
    (fault,) = faults(scenario.with_, **{"machine.cpus": 2})
    assert (fault.code, fault.line, fault.column) == ("cpu-out-of-range", 5, 42)


def test_a_sweep_is_kept_and_every_value_of_it_checked(scenario: Scenario) -> None:
    text = TEXT + "sweep:\n  machine.cpus: [4, 8]\n  workloads.pools.size: [24B, 1KiB]\n"
    swept = Scenario.from_text(text)
    assert swept.sweep == {"machine.cpus": (4, 8), "workloads.pools.size": ("24B", "1KiB")}
    assert scenario.sweep == {}


def test_every_bad_value_of_a_sweep_is_reported_where_it_stands() -> None:
    text = TEXT + "sweep:\n  machine.cpus: [4, many, 5000]\n  duration: [1s, 2]\n"
    found = faults(Scenario.from_text, text)
    assert [(f.code, f.line, f.column) for f in found] == [
        ("wrong-type", 8, 21),
        ("out-of-range", 8, 27),
        ("missing-unit", 9, 18),
    ]
    assert found[0].message.startswith("with machine.cpus: many: ")


def test_a_sweep_has_a_budget() -> None:
    values = ", ".join(["1"] * (MAX_SWEEP_VALUES + 1))
    (fault,) = faults(Scenario.from_text, TEXT + f"sweep: {{seed: [{values}]}}\n")
    assert (fault.code, fault.line) == ("too-many-values", 7)


def test_the_faults_of_a_kernel_are_all_reported_at_their_keys() -> None:
    kernel = "kernel:\n  profile: linux-6.1-x86_64\n  celing: 1 page\n  memory: 5\n  nmae: x\n"
    found = faults(Scenario.from_text, TEXT + kernel)
    assert [(f.code, f.line, f.column) for f in found] == [
        ("unknown-key", 9, 3),
        ("missing-unit", 10, 11),
        ("unknown-key", 11, 3),
    ]


def test_the_faults_of_sound_and_unsound_workloads_come_together() -> None:
    text = TEXT + "  - {kind: pool_churn, cpu: 8}\n  - {kind: pool_chrn}\n"
    found = faults(Scenario.from_text, text)
    assert [(f.code, f.line) for f in found] == [("cpu-out-of-range", 7), ("unknown-workload", 8)]


PATHS = st.sampled_from(
    ["machine", "machine.cpus", "kernel", "kernel.ceiling", "workloads", "workloads.0",
     "workloads.pools.size", "workloads.0.pool", "workloads.0.arrival", "duration", "measure",
     "seed", "sweep", "machine.costs.ipi.delivery", "machine.topology.hops", "pmsim"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["1ns", "4KiB", "2/s", "opteron-2008", "auto", "linux-6.1-x86_64"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["value", "platform", "profile", "kind", "every", "cpus", "<<", "self"]),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(PATHS, VALUES, min_size=1, max_size=3))
def test_any_change_is_a_scenario_that_resolves_to_itself_or_faults(values: Any) -> None:
    try:
        changed = Scenario.from_text(TEXT).with_(**values)
    except ScenarioError as error:
        outcome = [fault.code for fault in error.faults]
    else:
        resolved = changed.resolve()
        outcome = [Scenario.from_dict(resolved.as_dict()).resolve() == resolved]
    assert all(outcome)


def test_faults_of_plain_data_name_the_path_of_their_key() -> None:
    data = {
        "pmsim": 1,
        "machine": {"platform": "skylake-sp-2s", "costs": {"ipi": {"entri": "1us"}}},
        "kernel": {"profile": "linux-6.1-x86_64", "ceiling": "33"},
        "duration": "1ms",
        "workloads": [{"kind": "user_work"}, {"kind": "pool_churn", "cpu": -1}, {"cpu": 1}],
    }
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data)
    assert [str(fault.message).partition(": ")[0] for fault in caught.value.faults] == [
        "machine.costs.ipi.entri", "kernel.ceiling", "workloads.1.cpu", "workloads.2",
    ]  # fmt: skip
    assert all((fault.line, fault.column) == (0, 0) for fault in caught.value.faults)


def test_what_is_made_of_something_else_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match="made of a mapping of keys, not of list"):
        Scenario.from_dict([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="by dotted path, not as int"):
        load("policy-load").with_(3)  # type: ignore[arg-type]


def test_other_values_may_be_a_mapping() -> None:
    base = load("policy-load")
    both = base.with_({"machine.cpus": 8}, seed=3)
    assert both.as_dict() == base.with_(**{"machine.cpus": 8, "seed": 3}).as_dict()


def test_a_scenario_shows_what_it_is() -> None:
    shown = repr(load("policy-load"))
    assert shown.startswith("<pmsim.Scenario policy-load: policy_load, module_burst")
    assert shown.endswith("on skylake-sp-2s (56 CPUs), linux-6.1-x86_64>")
