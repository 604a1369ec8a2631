"""Tables on a terminal."""

from __future__ import annotations

import pytest

from pmsim.cli.console import Output
from pmsim.report.table import Cell, Table


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
