from __future__ import annotations

import numpy as np
import pytest

from pmsim.figures import broadcast_timeline
from pmsim.figures.timeline import rates
from tests.figures.made_up import MS, MadeUp, timeline
from tests.summaries import transient, with_transients


def run(counts, transient_end_ps=None, per_s_after=0.0, width=10 * MS) -> MadeUp:
    found = with_transients(transient(transient_end_ps, per_s_after=per_s_after))
    return MadeUp(timeline=timeline(counts, width), summary=found)


def test_a_count_in_an_interval_is_a_rate_per_second():
    # 3 in 10 ms
    assert rates(run([3, 0])).per_second.tolist() == [300, 0]


def test_a_shorter_last_interval_counts_by_its_own_length():
    result = run([3, 4])
    result.timeline.loc[1, "end_ps"] = 18 * MS
    assert rates(result).per_second.tolist() == pytest.approx([300, 500])


def test_a_last_interval_of_less_than_half_the_length_joins_the_one_before():
    result = run([3, 5, 1])
    result.timeline.loc[2, "end_ps"] = 22 * MS
    assert rates(result).per_second.tolist() == pytest.approx([300, 500])


def test_long_runs_are_drawn_in_at_most_500_intervals_and_lose_no_broadcast():
    found = rates(run(np.arange(1234)))
    assert len(found.counts) <= 500
    assert found.counts.sum() == 1233 * 1234 / 2
    assert found.edges_ps[-1] == 12_340 * MS


def test_the_first_replication_is_drawn():
    result = run([3, 4])
    result.timeline.loc[1, "replication"] = 1
    assert rates(result).counts.tolist() == [3]


def test_the_mean_rate_is_over_the_whole_run():
    assert rates(run([10, 20])).mean_per_second == pytest.approx(1500)


def test_stairs_carry_the_rates():
    ax = broadcast_timeline(run([3, 1, 2]))
    stairs = ax.patches[0].get_data()
    assert stairs.values.tolist() == [300, 100, 200]
    assert stairs.edges.tolist() == [0, 10 * MS, 20 * MS, 30 * MS]


def test_the_end_of_the_transient_is_a_line_with_its_time():
    ax = broadcast_timeline(run([50, 40, 2, 2, 2], 20 * MS, 200.0))
    assert ax.lines[0].get_xdata()[0] == 20 * MS
    assert [text.get_text() for text in ax.texts][:2] == ["mean\n200/s", "transient ends: 20 ms"]
    assert ax.get_title(loc="left") == (
        "The transient ends at 20 ms; after it 200 shootdowns per second"
    )


def test_silence_after_the_transient_is_said_in_words():
    ax = broadcast_timeline(run([50, 40, 0, 0], 19 * MS))
    assert ax.get_title(loc="left") == "The transient ends at 19 ms; no shootdown comes after it"
    assert ax.texts[0].get_text() == "transient ends: 19 ms"


def test_a_result_that_tells_no_transient_is_drawn_without_one():
    ax = broadcast_timeline(MadeUp(timeline=timeline([1, 2], 10 * MS)))
    assert not ax.lines


def test_a_late_end_is_labelled_to_its_left():
    ax = broadcast_timeline(run([5] * 9 + [1], 90 * MS))
    assert ax.texts[0].get_horizontalalignment() == "right"


def test_no_steady_part_is_said_and_nothing_marked():
    ax = broadcast_timeline(run([1, 5, 9]))
    assert ax.get_title(loc="left") == (
        "500 shootdowns per second on average, still changing at the end"
    )
    assert not ax.lines


def test_a_run_that_is_steady_from_its_start_has_no_transient():
    ax = broadcast_timeline(run([2, 2], 0))
    assert ax.get_title(loc="left").startswith("There is no transient: 200 shootdowns")


def test_a_burst_far_above_the_rest_is_drawn_on_a_logarithmic_axis():
    ax = broadcast_timeline(run([5000, 1, 1, 0], 10 * MS))
    assert ax.get_yscale() == "log"
    # An interval without shootdowns lies on the bottom, below one with a single shootdown.
    assert ax.patches[0].get_data().values[-1] == ax.get_ylim()[0] < 100


def test_even_rates_are_drawn_from_zero():
    ax = broadcast_timeline(run([5, 6, 4]))
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] == 0


@pytest.mark.parametrize("result", [MadeUp(), run([0, 0])])
def test_no_broadcast_is_a_note_and_no_crash(result):
    assert broadcast_timeline(result).get_title(loc="left") == "There was no shootdown"


def test_rates_below_ten_have_ticks_that_differ():
    ax = broadcast_timeline(MadeUp(timeline=timeline([1, 2, 1], 1000 * MS)))
    ax.figure.canvas.draw()
    ticks = [label.get_text() for label in ax.get_yticklabels()]
    assert len(set(ticks)) == len(ticks)


def test_bins_hold_as_many_shootdowns_as_a_rate_needs() -> None:
    # One every other millisecond: bins of one would be towers of 1,000/s and nothing between.
    found = rates(run([1, 0] * 100, width=MS))
    assert len(found.counts) == 17
    assert found.per_second.tolist() == [500.0] * 17


def test_bins_before_the_end_of_the_transient_are_as_fine_as_shootdowns_are_frequent() -> None:
    found = rates(run([40] * 10 + [1] * 90, 10 * MS, 1000.0, width=MS))
    assert found.counts[:10].tolist() == [40] * 10
    assert found.edges_ps[10] == 10 * MS
    assert set(found.counts[10:].tolist()) == {5}  # no fewer than 16 bins of the other 90 ms
