from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

import pmsim
from pmsim.figures import call_anatomy
from pmsim.figures.anatomy import PARTS, Call, critical, message, shown_targets, the_call
from pmsim.simulation.answer.summary import Frozen
from tests.figures.made_up import MadeUp, one_call
from tests.summaries import EMPTY


def call(waits: dict[int, tuple[str, int]], n_cpus: int = 4) -> Call:
    found = the_call(MadeUp(anatomy=one_call("slowest", waits, n_cpus)), "slowest")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("irqs_off", "CPU 2 had interrupts off"),
        ("idle_exit", "CPU 2 was waking up"),
        ("busy_handler", "CPU 2 was busy with other calls"),
    ],
)
def test_the_message_names_who_was_waited_for_and_why(reason: str, said: str) -> None:
    # 3 steps until the interrupt is there, the wait, 2 steps until the answer
    expected = f"The slowest call took 25 ns; for 20 ns of it {said}"
    assert message(call({2: (reason, 20_000), 1: ("irqs_off", 19_999)})) == expected


@pytest.mark.parametrize(
    ("reason", "label", "wait"),
    [("idle_exit", "idle exit", 20_000), ("ride", "coalesced", 23_000)],
)
def test_of_a_wait_it_is_told_how_long_the_cpu_did_not_run(
    reason: str, label: str, wait: int
) -> None:
    rows = one_call("slowest", {2: (reason, 20_000)}, 4)
    rows.loc[rows["cpu"] == 2, "frozen_ps"] = 15_000
    found = the_call(MadeUp(anatomy=rows), "slowest")
    assert found is not None
    assert message(found) == (
        "The slowest call took 25 ns; for 15 ns of it CPU 2 did not run (frozen)"
    )
    assert (critical(found)["frozen"], critical(found)[reason]) == (15_000, wait - 15_000)
    legend = call_anatomy(MadeUp(anatomy=rows)).get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert {"frozen", label} <= set(labels)


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        (9_000, "for 20 ns of it CPU 0 went from csd lock to csd lock"),
        (17_000, "for 17 ns of it CPU 0 did not run (frozen)"),
    ],
)
def test_an_initiator_that_did_not_run_visited_no_csd_locks_meanwhile(
    frozen: int, said: str
) -> None:
    # CPU 0 sees the last answer so much later than it is there, and did not run for a part of that.
    visit = 20_000 + frozen if frozen == 9_000 else 20_000
    rows = one_call("slowest", {}, 4)
    for name in ("visited_ps", "end_ps"):
        rows[name] += visit
    rows.loc[rows["cpu"] == 3, "seen_ps"] += visit
    call = {"replication": 0, "cpu": 0, "start_ps": rows["start_ps"].iloc[0], "frozen_ps": frozen}
    summary = replace(EMPTY, frozen=Frozen(0.5, frozen, 0, 0))
    result = MadeUp(anatomy=rows, crosscalls=pd.DataFrame([call]), summary=summary)
    found = the_call(result, "slowest")
    assert found is not None
    assert said in message(found)
    parts = critical(found)
    del parts["cpu"]
    assert sum(parts.values()) == found.latency


def unwaited(waits: dict[int, tuple[str, int]], n_cpus: int = 4) -> pd.DataFrame:
    """Return a call whose initiator goes on at 3 ns; each function runs from 4 to 5 ns on."""
    rows = one_call("slowest", waits, n_cpus)
    rows[["looks_ps", "visited_ps", "seen_ps"]] = pd.NA
    return rows.assign(end_ps=3005, ack_ps=rows["runs_ps"])


def test_a_call_that_nobody_waits_for_is_told_by_when_its_initiator_goes_on() -> None:
    made_up = MadeUp(anatomy=unwaited({2: ("irqs_off", 9000)}))
    found = the_call(made_up, "slowest")
    assert found is not None
    assert message(found) == "The slowest call kept CPU 0 for 3 ns; all had run it after 14 ns"
    parts = critical(found)
    assert parts.pop("cpu") == -1
    assert sum(parts.values()) == 3000
    ax = call_anatomy(made_up)
    assert ax.get_xlim()[1] > 15_000  # the last handler's end
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert "CPU 0 goes on" in labels
    assert not [label for label in labels if "seen" in label]
    lines = [one for one in ax.collections if isinstance(one, LineCollection)]
    assert [one.get_segments()[0][:, 0].tolist() for one in lines] == [[3000, 3000]]


def test_a_function_is_drawn_to_its_end_also_where_it_is_acknowledged_as_it_begins() -> None:
    rows = one_call("slowest", {2: ("irqs_off", 9000)}, 4)
    rows["ack_ps"] = rows["runs_ps"]
    rows[["seen_ps", "visited_ps", "end_ps"]] -= 1000
    found = the_call(MadeUp(anatomy=rows), "slowest")
    assert found is not None
    lane = found.stretches[found.stretches["cpu"] == 2]
    function = lane[lane["part"] == "function"]
    assert (function["end"] - function["start"]).tolist() == [1000]
    parts = critical(found)
    assert "function" not in parts
    assert parts.pop("cpu") == 2
    assert sum(parts.values()) == found.latency


def test_a_ride_is_a_wait_from_the_queue_to_the_take() -> None:
    parts = critical(call({3: ("ride", 20_000)}))
    assert parts["ride"] == 3000 + 20_000 + 1000 - 1000
    assert message(call({3: ("ride", 20_000)})).endswith("it was coalesced in the queue of CPU 3")


@pytest.mark.parametrize("waits", [{}, {1: ("ride", 5000)}, {3: ("idle_exit", 70)}])
def test_the_parts_add_up_to_the_latency(waits: dict[int, tuple[str, int]]) -> None:
    found = call(waits)
    parts = critical(found)
    assert parts.pop("cpu") in (1, 3)
    assert sum(parts.values()) == found.latency


def test_who_answers_late_but_is_not_waited_for_does_not_decide() -> None:
    assert critical(call({1: ("irqs_off", 50), 3: ("irqs_off", 50)}))["cpu"] == 1


def test_the_stretches_of_a_target_follow_each_other_without_a_gap() -> None:
    found = call({1: ("idle_exit", 70), 2: ("ride", 500)})
    for _cpu, lane in found.stretches.groupby("cpu"):
        assert lane["start"].iloc[0] == 1000
        assert lane["start"].tolist()[1:] == lane["end"].tolist()[:-1]


def test_every_target_has_a_lane_up_to_64_of_them() -> None:
    assert shown_targets(call({}, 65)).tolist() == list(range(1, 65))


def test_of_more_targets_the_slowest_are_shown_and_the_picture_says_so() -> None:
    waits = {cpu: ("irqs_off", 1000 + cpu) for cpu in range(200, 216)}
    found = call(waits, 449)
    shown = shown_targets(found)
    assert len(shown) == len(set(shown)) == 64
    assert set(waits) <= set(shown)
    assert {1, 448} <= set(shown)
    ax = call_anatomy(MadeUp(anatomy=one_call("slowest", waits, 449)))
    assert any("64 of 448 called CPUs" in text.get_text() for text in ax.texts)


def test_who_decided_has_a_lane_even_where_many_answered_later() -> None:
    # Thirty CPUs behind 401 answer later, but have done so when the visit of 401 is over.
    waits = {401: ("irqs_off", 8000)} | dict.fromkeys(range(402, 432), ("irqs_off", 8010))
    table = one_call("slowest", waits, 449)
    table.loc[table["cpu"] >= 401, "seen_ps"] += 1000
    found = the_call(MadeUp(anatomy=table), "slowest")
    assert found is not None
    assert critical(found)["cpu"] == 401
    assert 401 in shown_targets(found)


def test_only_what_happened_is_drawn_and_named() -> None:
    ax = call_anatomy(
        MadeUp(anatomy=one_call("median", {2: ("irqs_off", 9000)}, 4)), which="median"
    )
    bars = [one for one in ax.collections if isinstance(one, PolyCollection)]
    drawn = {to_hex(colour) for one in bars for colour in one.get_facecolor()}
    named = {text.get_text() for text in ax.get_legend().get_texts()}
    assert drawn == {PARTS[part][1] for part in PARTS if PARTS[part][0] in named}
    assert "interrupts off" in named
    assert not {"waking", "riding along", "interrupted"} & named


@pytest.mark.parametrize(("waited", "named"), [(9000, "CPU 2"), (0, "CPU 0 calls")])
def test_the_cpu_that_the_message_names_is_bold_and_no_other(waited: int, named: str) -> None:
    ax = call_anatomy(MadeUp(anatomy=one_call("slowest", {2: ("irqs_off", waited)}, 4)))
    labels = ax.get_yticklabels()
    bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
    assert bold == [named]
    assert f"of it {named.removesuffix(' calls')} " in " ".join(ax.get_title(loc="left").split())


@pytest.mark.parametrize("slowest", range(1, 7))
def test_where_there_is_room_every_lane_has_its_name(slowest: int) -> None:
    ax = call_anatomy(MadeUp(anatomy=one_call("slowest", {slowest: ("irqs_off", 9000)}, 7)))
    named = {label.get_text() for label in ax.get_yticklabels()}
    assert named == {"CPU 0 calls", *(f"CPU {cpu}" for cpu in range(1, 7))}


def test_the_dot_of_the_cpu_that_was_waited_for_is_the_large_one() -> None:
    ax = call_anatomy(MadeUp(anatomy=one_call("slowest", {2: ("irqs_off", 9000)}, 4)))
    others, decided = ax.lines
    assert decided.get_markersize() > others.get_markersize()
    assert decided.get_ydata() == pytest.approx(
        [others.get_ydata().mean()]
    )  # of CPUs 1 to 3 the middle


def test_a_run_without_cross_calls_says_so() -> None:
    assert call_anatomy(MadeUp()).get_title(loc="left") == "No CPU was called"


def test_the_parts_are_those_of_the_calls_row_in_the_table_of_cross_calls() -> None:
    result = pmsim.run(pmsim.load("late-answers").with_(**{"machine.cpus": 8}))
    calls = result.crosscalls.set_index(["cpu", "start_ps"], drop=False)
    for which in ("median", "p99", "slowest"):
        table = result.anatomy[result.anatomy["which"] == which].iloc[0]
        row = calls.loc[(table["initiator"], table["start_ps"])]
        found = the_call(result, which)
        assert found is not None
        parts = critical(found)
        assert parts.pop("cpu") == row["slowest_cpu"]
        called = {"flight": "delivery_ps"}
        assert parts == {part: row[called.get(part, f"{part}_ps")] for part in parts}
        assert sum(parts.values()) == row["end_ps"] - row["start_ps"] == found.latency
    latency = result.crosscalls["end_ps"] - result.crosscalls["start_ps"]
    assert found.latency == latency.max()
