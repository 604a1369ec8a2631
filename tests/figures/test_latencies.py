from __future__ import annotations

import numpy as np
import pytest

from pmsim.figures import latency_distribution
from pmsim.figures.latencies import known_quantiles, latencies
from tests.figures.made_up import InPieces, MadeUp, crosscalls, many_crosscalls


def calls(*latency: int, kinds: list[str] | None = None) -> MadeUp:
    kinds = kinds or ["full"] * len(latency)
    return MadeUp(crosscalls=crosscalls(kinds, ["trace"] * len(latency), visit_ps=list(latency)))


def curve(ax, label="all"):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line.get_xdata(), line.get_ydata()


def test_latencies_are_sorted_by_kind_the_most_frequent_first():
    found = latencies(calls(9, 3, 7, 5, kinds=["range", "full", "full", "full"]))
    assert list(found) == ["full", "range"]
    assert found["full"].tolist() == [3, 5, 7]


def test_a_table_in_pieces_gives_the_same_latencies():
    table = calls(9, 3, 7, 5).crosscalls
    assert latencies(InPieces(crosscalls=table, rows=1))["full"].tolist() == [3, 5, 7, 9]


def test_the_curve_is_the_share_of_calls_that_took_longer():
    x, y = curve(latency_distribution(calls(100, 200, 200, 400)))
    assert x[1:].tolist() == [100, 200, 400]
    # Beyond 100: three of four; beyond 200: one; beyond the last: half a call, as log has no zero.
    assert y.tolist() == [1, 0.75, 0.25, 0.125]


def test_a_quantile_needs_a_call_beyond_it():
    assert known_quantiles(np.arange(1, 100))["name"].tolist() == ["p50"]
    assert known_quantiles(np.arange(1, 101))["name"].tolist() == ["p50", "p99"]
    assert known_quantiles(np.arange(1, 1001))["name"].tolist() == ["p50", "p99", "p99.9"]


def test_a_quantile_is_the_smallest_latency_that_enough_calls_do_not_exceed():
    assert known_quantiles(np.arange(1, 1001))["latency_ps"].tolist() == [500, 990, 999]


def test_quantiles_are_marked_where_they_are_on_the_curve():
    ax = latency_distribution(calls(*range(1000, 2000)))
    marks = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.lines
        if len(line.get_xdata()) == 1
    ]
    assert np.array(marks) == pytest.approx(np.array([(1499, 0.5), (1989, 0.01), (1998, 0.001)]))
    assert [text.get_text() for text in ax.texts[:3]] == [
        "p50\n1.5 ns",
        "p99\n1.99 ns",
        "p99.9\n2 ns",
    ]


def test_kinds_have_a_curve_each_where_there_are_several():
    labels = [line.get_label() for line in latency_distribution(calls(5, 6)).lines]
    assert labels.count("full") == 0
    ax = latency_distribution(calls(5, 6, 7, kinds=["full", "range", "full"]))
    assert curve(ax, "full")[0][1:].tolist() == [5, 7]
    assert curve(ax, "range")[0][1:].tolist() == [6]


def test_a_million_calls_are_a_curve_of_a_few_thousand_points_with_both_ends():
    table = many_crosscalls(1_000_000, 64)
    latency = table["end_ps"] - table["start_ps"]
    x, y = curve(latency_distribution(MadeUp(crosscalls=table)))
    assert len(x) <= 2001
    assert x[-1] == latency.max()
    assert y[0] == 1
    # Every point that is kept is on the full curve.
    exact = 1 - np.searchsorted(np.sort(latency), x[1:-1], side="right") / len(latency)
    assert y[1:-1] == pytest.approx(exact)


def test_the_message_tells_the_middle_and_the_furthest_known_tail():
    title = latency_distribution(calls(*range(1000, 2000))).get_title(loc="left")
    assert title.replace("\n", " ") == (
        "Half of the shootdowns take at most 1.5 ns; 0.2 % take 2 ns or more"
    )


def test_the_message_counts_how_many_calls_are_as_slow_as_the_tail():
    title = latency_distribution(calls(*[10] * 900, *[50] * 100)).get_title(loc="left")
    assert title.replace("\n", " ") == (
        "Half of the shootdowns take at most 10 ps; 10 % take 50 ps or more"
    )


def test_the_message_of_few_calls_names_the_slowest():
    title = latency_distribution(calls(100, 200, 400)).get_title(loc="left").replace("\n", " ")
    assert title == "Half of the shootdowns take at most 200 ps; the slowest 400 ps"


def test_the_message_of_calls_that_are_nearly_all_alike_names_the_slowest():
    title = latency_distribution(calls(*[10] * 1999, 50)).get_title(loc="left")
    assert title == "Half of the shootdowns take at most 10 ps; the slowest 50 ps"


@pytest.mark.parametrize(("slowest", "steps"), [(10**7, True), (10**13, False)])
def test_labels_between_the_decades_are_left_out_where_they_would_overlap(slowest, steps):
    ax = latency_distribution(calls(10**6, slowest))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    shown = {tick for tick in ax.xaxis.get_majorticklocs() if low <= tick <= high}
    assert (2 * 10**6 in shown) == steps
    assert 10**6 in shown


def test_the_message_of_equal_calls_says_so():
    assert (
        latency_distribution(calls(7, 7)).get_title(loc="left") == "All 2 shootdowns took 7 ps each"
    )
    assert latency_distribution(calls(7)).get_title(loc="left") == "The only shootdown took 7 ps"


def test_calls_of_no_time_can_be_drawn():
    ax = latency_distribution(calls(0, 0))
    assert ax.get_title(loc="left") == "All 2 shootdowns took 0 s each"
    ax.figure.canvas.draw()


def test_no_call_is_a_note_and_no_crash():
    assert latency_distribution(MadeUp()).get_title(loc="left") == "There was no shootdown"
