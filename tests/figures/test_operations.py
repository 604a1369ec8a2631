from __future__ import annotations

import numpy as np
import pytest

from pmsim.figures import operation_cost
from tests.figures.made_up import PROTECT, InPieces, MadeUp, operations


def test_bars_stack_the_parts_of_each_row():
    ax = operation_cost(MadeUp(operations(*PROTECT)))
    bars = {c.get_label(): [bar.get_width() for bar in c] for c in ax.containers}
    assert bars["run_ps"] == [100, 80, 50]
    assert bars["crosscall_ps"] == [800, 800, 0]
    ends = np.max([[bar.get_x() + bar.get_width() for bar in c] for c in ax.containers], axis=0)
    assert ends.tolist() == [900, 880, 100]


def test_each_row_says_how_many_how_long_and_how_many_broadcasts():
    ax = operation_cost(MadeUp(operations(*PROTECT)))
    assert [text.get_text() for text in ax.texts[:3]] == [
        "1 × 900 ps, 2 shootdowns",
        "2 × 440 ps, 2 shootdowns",
        "1 × 70 ps + 30 ps delay",
    ]


def test_labels_stand_beside_the_bars_and_never_on_them():
    sleeper = (9, None, "do_free_init", 0, 100, 0, 0, 1_000_000)
    ax = operation_cost(MadeUp(operations(*PROTECT, sleeper)))
    ax.figure.canvas.draw()
    labels = [text.get_window_extent() for text in ax.texts if "×" in text.get_text()]
    assert len(labels) == 4
    assert min(label.x0 for label in labels) > ax.bbox.x1


def test_nested_operations_are_indented():
    ax = operation_cost(MadeUp(operations(*PROTECT)))
    assert ax.get_yticklabels()[1].get_text().startswith("  set_memory_ro")


def test_the_message_counts_outermost_operations_alone():
    ax = operation_cost(MadeUp(operations(*PROTECT)))
    # 900 and 70, of which 800 shootdowns, 150 work, 20 waiting for a lock
    assert ax.get_title(loc="left").replace("\n", " ") == (
        "Kernel operations cost 970 ps: 82.5 % shootdowns, 15.5 % kernel work, 2.06 % lock wait"
    )


def test_a_delay_is_drawn_but_is_no_cost_and_does_not_stretch_the_axis():
    sleeper = (0, None, "do_free_init", 0, 100, 0, 0, 1_000_000)
    ax = operation_cost(MadeUp(operations(sleeper)))
    assert ax.get_title(loc="left") == "Kernel operations cost 100 ps: 100 % kernel work"
    (delay,) = next(c for c in ax.containers if c.get_label() == "delay_ps")
    assert delay.get_width() == 1_000_000
    assert ax.get_xlim()[1] < 200


def test_operations_without_time_are_said_to_take_none():
    ax = operation_cost(MadeUp(operations((0, None, "pmalloc_create_pool", 0, 0, 0, 0, 0))))
    assert ax.get_title(loc="left") == "Kernel operations cost no time"


@pytest.mark.parametrize("result", [MadeUp(), InPieces()])
def test_no_operation_is_a_note_and_no_crash(result):
    assert operation_cost(result).get_title(loc="left") == "No kernel operation ran"


def test_rows_that_are_left_out_are_counted_in_words():
    many = operations(*((i, None, f"kind{i}", 0, 100 - i, 0, 0, 0) for i in range(20)))
    ax = operation_cost(MadeUp(many))
    assert len(ax.get_yticklabels()) == 18
    assert "2 cheaper rows not shown" in " ".join(ax.texts[-1].get_text().split())
