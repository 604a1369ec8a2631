from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pmsim.figures import cpus_over_time
from pmsim.figures.cpus import shares
from tests.figures.made_up import MadeUp, cpu_timeline


def run(stolen, spin=None, width_ps=100, handlers=1) -> MadeUp:
    stolen = np.array(stolen)
    spin = np.zeros_like(stolen) if spin is None else np.array(spin)
    cpus = pd.DataFrame({"cpu": range(len(stolen)), "handlers": handlers})
    return MadeUp(cpu_timeline=cpu_timeline(stolen, spin, width_ps), cpus=cpus)


def test_a_cell_is_a_cpus_share_of_an_interval():
    found = shares(run([[0, 0], [50, 25]]), "stolen")
    assert found.share.tolist() == [[0, 0], [0.5, 0.25]]
    assert found.per_cpu.tolist() == [0, 0.375]


def test_spinning_is_taken_from_its_own_column():
    assert shares(run([[1]], [[7]]), "spin").spent_ps.tolist() == [[7]]


def test_the_order_of_rows_means_nothing():
    result = run([[1, 2], [3, 4]])
    shuffled = MadeUp(cpu_timeline=result.cpu_timeline.sample(frac=1, random_state=3))
    assert shares(shuffled, "stolen").spent_ps.tolist() == [[1, 2], [3, 4]]


def test_long_runs_are_drawn_in_at_most_400_intervals_and_lose_no_time():
    found = shares(run(np.ones((2, 1001), dtype=int)), "stolen")
    assert found.spent_ps.shape[1] <= 400
    assert found.spent_ps.sum() == 2002
    assert found.edges_ps[-1] == 100_100


def test_the_map_holds_the_shares_in_per_cent():
    ax = cpus_over_time(run([[0, 0], [50, 25]]))
    assert ax.collections[0].get_array().tolist() == [[0, 0], [50, 25]]
    # CPU 0 on top
    assert ax.get_ylim() == (1.5, -0.5)


def test_a_single_spinning_cpu_among_4096_keeps_its_row():
    spin = np.zeros((4096, 1), dtype=int)
    spin[1234] = 80
    ax = cpus_over_time(run(np.zeros_like(spin), spin), paid="spin")
    rows = ax.collections[0].get_array()
    assert len(rows) == 512
    assert rows.max() == 80
    assert "highest of 8 CPUs" in ax.texts[0].get_text()


@pytest.mark.parametrize(
    ("stolen", "message"),
    [
        ([[0], [0]], "No CPU was interrupted"),
        ([[0], [10]], "Only CPU 1 was interrupted: 10 % of its time"),
        ([[10], [30]], "Every CPU was interrupted: 20 % of all CPU time, 30 % on CPU 1"),
        ([[0], [9], [12]], "2 of 3 CPUs were interrupted: 7 % of all CPU time, 12 % on CPU 2"),
    ],
)
def test_the_message_says_who_was_interrupted(stolen, message):
    assert cpus_over_time(run(stolen)).get_title(loc="left").replace("\n", " ") == message


def test_without_interrupts_cpus_were_held_up_by_invalidations():
    ax = cpus_over_time(run([[0], [9], [12]], handlers=0))
    assert ax.get_title(loc="left").replace("\n", " ") == (
        "2 of 3 CPUs stalled: 7 % of all CPU time, 12 % on CPU 2"
    )
    bar = ax.collections[0].colorbar
    assert bar.ax.get_ylabel() == "share of time stalled by TLB broadcasts"


def test_the_message_says_who_spun():
    ax = cpus_over_time(run([[0], [0]], [[40], [0]]), paid="spin")
    assert ax.get_title(loc="left") == "Only CPU 0 spun: 40 % of its time"


def test_no_timeline_is_a_note_and_no_crash():
    assert cpus_over_time(MadeUp()).get_title(loc="left") == "Who was interrupted"
