"""Tables on a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pmsim.cli.console import Output
from pmsim.report.answer import holders, locks
from pmsim.report.table import Cell, Table
from pmsim.simulation.answer.summary import LockWaits
from tests.summaries import EMPTY


@pytest.mark.parametrize(("length", "kept"), [(26, True), (27, False)])
def test_names_of_up_to_a_third_of_the_width_stay_whole(
    length: int, kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "n" * length
    row = tuple(Cell(text) for text in (name, *["m" * 20] * 5))
    Output().table(Table("title", ("constant", *"abcde"), (row,), ""))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(name in line for line in lines) is kept


@pytest.mark.parametrize("frozen_ps", [0, 123_400_000])
def test_no_word_of_what_is_said_of_locks_is_broken_on_eighty_columns(
    frozen_ps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lock = LockWaits(
        "purge_vmap_area_lock", 123_456, 123_400_000, 123_400_000, "second-loader", 448, frozen_ps,
        123_400_000, "pool_churn-12", 448, "flush_tlb_kernel_range", 0,
    )  # fmt: skip
    summary = replace(EMPTY, locks=(lock,))
    for table in (locks(summary), holders(summary)):
        Output().table(table)
        said = capsys.readouterr().out
        words = " ".join((*table.columns, *(cell.text for cell in table.rows[0]))).split()
        assert set(words) <= set(said.split())
        assert max(map(len, said.splitlines())) <= 80
