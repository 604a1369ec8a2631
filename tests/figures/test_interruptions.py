from __future__ import annotations

import pandas as pd
import pytest

from pmsim.figures import interruption_lengths
from pmsim.figures.gallery import drawings
from pmsim.figures.interruptions import lengths
from tests.figures.made_up import InPieces, MadeUp, interruptions

# Two CPUs; on CPU 2 a handler that woke it up and serves two calls, and one that serves one.
ROWS = interruptions(
    (2, 90, 100, 150, True, "purge"),
    (2, 100, 100, 180, False, "text_poke"),
    (3, 100, 100, 160, True, "purge"),
    (2, 500, 500, 520, True, "text_poke"),
)


def test_calls_that_one_handler_served_are_one_interruption_of_the_cause_that_began_it() -> None:
    found = lengths(MadeUp(interruptions=ROWS))
    assert {cause: some.tolist() for cause, some in found.items()} == {
        "purge": [60, 90],
        "text_poke": [20],
    }
    assert list(found) == ["purge", "text_poke"]


def test_order_and_pieces_of_the_table_change_nothing() -> None:
    backwards = lengths(InPieces(interruptions=ROWS.iloc[::-1], rows=1))
    assert {cause: some.tolist() for cause, some in backwards.items()} == {
        "purge": [60, 90],
        "text_poke": [20],
    }


def test_the_same_time_of_another_replication_is_another_interruption() -> None:
    again = ROWS.assign(replication=1)
    both = pd.concat([ROWS.iloc[:2], again.iloc[:2]])
    assert lengths(MadeUp(interruptions=both))["purge"].tolist() == [90, 90]


def test_the_curve_of_all_is_the_share_of_interruptions_that_were_longer() -> None:
    ax = interruption_lengths(MadeUp(interruptions=ROWS))
    (line,) = [line for line in ax.lines if line.get_label() == "all"]
    assert line.get_xdata()[1:].tolist() == [20, 60, 90]
    # Beyond 20: two of three; beyond 60: one; beyond the last: half an interruption.
    assert line.get_ydata()[1:] == pytest.approx([2 / 3, 1 / 3, 1 / 6])


def test_the_message_speaks_of_interruptions() -> None:
    ax = interruption_lengths(MadeUp(interruptions=ROWS))
    assert ax.get_title(loc="left").replace("\n", " ") == (
        "Half of the interruptions take at most 60 ps; the slowest 90 ps"
    )


def test_lengths_that_are_all_the_same_are_not_drawn() -> None:
    def names(rows: object) -> list[str]:
        return [drawing.name for drawing in drawings(MadeUp(interruptions=rows))]

    assert names(ROWS) == ["interruption_lengths"]
    assert names(ROWS.iloc[:2]) == []


@pytest.mark.parametrize("result", [MadeUp(), InPieces()])
def test_no_interruption_is_a_note_and_no_crash(result: MadeUp) -> None:
    ax = interruption_lengths(result)
    assert ax.get_title(loc="left") == "No isolated CPU was interrupted"
