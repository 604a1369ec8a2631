from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pmsim
from pmsim.hardware import detail
from pmsim.hardware.machine import Machine
from pmsim.scenario.model import MeasureKeys
from pmsim.simulation.tables.columns import TABLES
from pmsim.simulation.words.sentences import sentences
from tests.experiments.small import POLICY, small


def run(folder: Path, part: dict[str, str] | None, **keys: Any) -> pmsim.Result:
    measure = {"timeline": "1ms", "detail": part}
    return pmsim.run(small(POLICY, cpus=3, measure=measure, duration="300us", **keys), folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> pmsim.Result:
    return run(tmp_path_factory.mktemp("plain") / "run", None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pmsim.Result:
    return run(tmp_path_factory.mktemp("whole") / "run", {})


def test_there_is_as_much_room_as_the_reference_says() -> None:
    said = MeasureKeys.model_fields["detail"].description
    assert said is not None
    assert f"up to {detail.MOST_KEPT:,} targets" in said


def test_without_a_part_nothing_is_kept(plain: pmsim.Result) -> None:
    assert plain.stretches.empty
    assert plain.detail.empty
    assert set(plain.anatomy["which"]) == {"median", "p99", "slowest"}
    assert not plain.summary.detail


def test_keeping_everything_changes_nothing_else(plain: pmsim.Result, whole: pmsim.Result) -> None:
    for name in set(TABLES) - {"anatomy", "stretches", "detail"}:
        pd.testing.assert_frame_equal(plain.table(name), whole.table(name))
    few = whole.anatomy[whole.anatomy["which"] != "detail"].reset_index(drop=True)
    few["which"] = few["which"].astype(str)
    assert few.to_dict("records") == plain.anatomy.to_dict("records")


def test_every_target_of_every_call_is_kept(whole: pmsim.Result) -> None:
    rows = whole.anatomy[whole.anatomy["which"] == "detail"]
    targets = rows.groupby(["initiator", "start_ps"])["cpu"].count()
    calls = whole.crosscalls.set_index(["cpu", "start_ps"])["targets"]
    assert targets.to_dict() == calls.to_dict()
    (row,) = whole.detail.itertuples()
    assert (row.calls, row.targets) == (len(calls), len(rows))
    assert row.stretches == len(whole.stretches) > 0
    assert pd.isna(row.end_ps)
    assert pd.isna(row.cut_ps)


def test_windows_that_a_workload_asked_for_are_all_there(whole: pmsim.Result) -> None:
    # Those under way at the end of the run have not ended.
    windows = whole.stretches[whole.stretches["kind"] == "irqs_off"]
    asked = whole.tasks.set_index("workload")["windows_ps"]["noise"]
    kept = int((windows["end_ps"] - windows["start_ps"]).sum())
    running = int(asked) - kept
    assert kept > 0
    assert running >= 0
    assert running == 0 or windows["end_ps"].max() < 300_000_000


def test_each_replication_has_its_own_part(tmp_path: Path) -> None:
    result = run(tmp_path / "two", {"from": "10us", "to": "200us"}, replications=2)
    assert result.detail["replication"].tolist() == [0, 1]
    assert result.detail["start_ps"].tolist() == [10_000_000] * 2
    assert result.detail["end_ps"].tolist() == [200_000_000] * 2
    kept = result.anatomy[result.anatomy["which"] == "detail"]
    calls = result.crosscalls
    there = (calls["start_ps"] >= 10_000_000) & (calls["start_ps"] < 200_000_000)
    assert sorted(set(zip(kept["replication"], kept["start_ps"], strict=True))) == sorted(
        zip(calls["replication"][there], calls["start_ps"][there], strict=True)
    )


def test_the_summary_says_what_was_kept_and_what_not(
    whole: pmsim.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(whole.crosscalls)
    said = (
        f"Everything from the start to the end is kept: {n} shootdowns with their {2 * n} targets."
    )
    assert sentences(whole.summary)[-1] == said
    monkeypatch.setattr(Machine.keep_detail, "__defaults__", (7,))
    cut = run(tmp_path / "cut", {"to": "250us"})
    fourth = whole.crosscalls["end_ps"][3]
    assert cut.summary["detail"][0]["calls"] == 3
    stretches = whole.stretches["end_ps"]
    assert cut.summary["detail"][0]["cut_ps"] == min(fourth, stretches[7])
    assert "from the start to 250 µs is kept: 3 shootdowns" in sentences(cut.summary)[-1]
    assert sentences(cut.summary)[-1].endswith("µs there was no room for more.")
