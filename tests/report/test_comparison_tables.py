from __future__ import annotations

import re
from pathlib import Path

import pytest

import pmsim
from pmsim.experiments.comparison import compare
from pmsim.report.comparison_tables import comparison_tables, differences, settings
from pmsim.report.page import report_html
from pmsim.report.table import Table
from tests.experiments.small import small

ENTRY = "machine.costs.ipi.entry"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pmsim.Result]:
    """The same scenario twice, six replications each; handlers begin ten times as slowly."""
    folder = tmp_path_factory.mktemp("sides")
    return {
        f"test ({place})": pmsim.run(
            small(replications=6).with_(**{ENTRY: entry}), folder / f"{place}"
        )
        for place, entry in enumerate(("200ns", "2us"), start=1)
    }


@pytest.fixture(scope="module")
def page(sides: dict[str, pmsim.Result]) -> str:
    return report_html(list(sides.values()))


def texts(table: Table) -> list[tuple[str, ...]]:
    return [tuple(cell.text for cell in row) for row in table.rows]


def test_only_what_was_set_otherwise_is_told(sides: dict[str, pmsim.Result]) -> None:
    table = settings(sides)
    assert table.columns == ("key", "test (1)", "test (2)")
    assert texts(table) == [(ENTRY, "200ns", "2us")]


def test_equal_scenarios_have_no_table_of_settings(sides: dict[str, pmsim.Result]) -> None:
    first = sides["test (1)"]
    found = comparison_tables(compare(first, first), {"test (1)": first, "test (2)": first})
    assert [table.title for table in found] == ["differences from test (1)"]


def test_a_difference_is_that_of_the_means_with_its_interval(
    sides: dict[str, pmsim.Result],
) -> None:
    one, two = (side.replications["latency_mean_ps"] for side in sides.values())
    table = differences(compare(*sides.values()))
    assert table.columns[:4] == ("what", "test (1)", "test (2)", "difference")
    (row,) = [row for row in table.rows if row[0].text == "mean latency of a shootdown"]
    assert row[1].number == pytest.approx(one.mean())
    assert row[2].number == pytest.approx(two.mean())
    assert row[3].number == pytest.approx((two - one).mean())
    # Half of the interval: Student's t for 5 degrees of freedom at 95 % is 2.571 (any table of it).
    assert row[4].number == pytest.approx(2.571 * (two - one).std() / 6**0.5, rel=1e-3)
    assert row[6].number == 6


def test_of_more_than_two_sides_each_row_names_its_own(sides: dict[str, pmsim.Result]) -> None:
    first, second = sides.values()
    table = differences(compare(first, second, second))
    assert table.columns[:4] == ("what", "side", "test (1)", "there")
    assert {row[1].text for row in table.rows} == {"test (2)", "test (3)"}


def test_a_page_of_several_results_begins_with_what_differs(
    page: str, sides: dict[str, pmsim.Result]
) -> None:
    articles = re.findall(r'<article id="([^"]+)"', page)
    assert articles == ["comparison", "result-1", "result-2"]
    assert ">test (2) compared with test (1)</h1>" in page
    for sentence in compare(*sides.values()).sentences():
        assert sentence in page
    for place, name in (("comparison", "Comparison"), ("result-2", "test (2)")):
        assert f'<a href="#{place}">{name}</a>' in page


def test_a_page_of_one_result_compares_nothing(
    sides: dict[str, pmsim.Result], swept: pmsim.Sweep
) -> None:
    assert "compared with" not in report_html([sides["test (1)"], swept])


def test_results_of_other_seeds_are_not_called_paired(
    sides: dict[str, pmsim.Result], tmp_path: Path
) -> None:
    other = pmsim.run(small(replications=2, seed=99), tmp_path / "other")
    assert "not paired" in differences(compare(sides["test (1)"], other)).note


def test_of_single_runs_there_are_no_columns_for_intervals(tmp_path: Path) -> None:
    runs = {
        f"test ({place})": pmsim.run(small(replications=1), tmp_path / f"{place}")
        for place in (1, 2)
    }
    table = differences(compare(*runs.values()))
    assert table.columns == ("what", "test (1)", "test (2)", "difference", "runs")
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "Cohen" not in table.note
