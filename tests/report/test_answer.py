from __future__ import annotations

import pytest

import pmsim
from pmsim.report import detail_tables as details
from pmsim.report.answer import answer_tables, answer_words, costs, operations, shootdowns
from pmsim.report.detail_tables import cpus, detail_tables, slowest_shootdowns
from pmsim.report.sweep_tables import sweep_tables
from pmsim.report.table import Table


def numbers(table: Table, column: str) -> list[float | None]:
    place = table.columns.index(column)
    return [row[place].number for row in table.rows]


def texts(table: Table, column: str) -> list[str]:
    place = table.columns.index(column)
    return [row[place].text for row in table.rows]


def test_every_row_has_a_cell_in_each_column(result: pmsim.Result, swept: pmsim.Sweep) -> None:
    tables = [*answer_tables(result), *detail_tables(result), *sweep_tables(swept)]
    assert len(tables) > 8
    for table in tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.title


def test_costs_add_up_to_all_of_it(result: pmsim.Result) -> None:
    *parts, whole = numbers(costs(result.summary), "time")
    assert sum(part or 0 for part in parts) == whole
    shares = numbers(costs(result.summary), "share of all CPU time")
    assert shares[-1] == pytest.approx(result.summary["cost"]["share"])


def test_broadcasts_are_counted_by_cause(result: pmsim.Result) -> None:
    found = shootdowns(result.summary)
    by_cause = result.crosscalls["cause"].value_counts()
    assert dict(zip(texts(found, "cause"), numbers(found, "number"), strict=True)) == (
        by_cause[by_cause > 0].to_dict()
    )
    assert sum(share or 0 for share in numbers(found, "share")) == pytest.approx(1)


def test_operations_are_those_of_the_table(result: pmsim.Result) -> None:
    found = operations(result.summary)
    counts = result.operations["kind"].value_counts()
    for kind, number in zip(texts(found, "kind"), numbers(found, "number"), strict=True):
        assert counts[kind] == number


def test_the_slowest_shootdowns_are_found_over_all_batches(
    result: pmsim.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = result.crosscalls
    latency = (calls["end_ps"] - calls["start_ps"]).sort_values(ascending=False)
    pieces = [calls.iloc[start : start + 5] for start in range(0, len(calls), 5)]
    monkeypatch.setattr(details, "MOST_SHOOTDOWNS", 7)
    monkeypatch.setattr(
        pmsim.Result, "batches", lambda _self, _table, columns: (p[list(columns)] for p in pieces)
    )
    found = slowest_shootdowns(result)
    assert numbers(found, "latency") == latency.head(7).tolist()
    assert found.note == f"The slowest 7 of {len(calls):,}."


def test_the_parts_of_a_slow_broadcast_add_up_to_its_latency(result: pmsim.Result) -> None:
    found = slowest_shootdowns(result)
    first_part = found.columns.index("held up by") + 1
    for row, latency in zip(found.rows, numbers(found, "latency"), strict=True):
        assert sum(cell.number or 0 for cell in row[first_part:]) == latency


def test_the_time_of_each_cpu_splits_into_shares_of_one(result: pmsim.Result) -> None:
    found = cpus(result)
    assert sorted(numbers(found, "CPU")) == [0, 1]
    for row in found.rows:
        assert sum(cell.number or 0 for cell in row[2:7]) == pytest.approx(1)


def test_only_the_cpus_that_lost_most_are_shown_of_many(
    result: pmsim.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details, "MOST_CPUS", 1)
    found = cpus(result)
    sums = result.cpus.groupby("cpu")[["stolen_ps", "refill_ps", "spin_ps", "irqs_off_ps"]].sum()
    sums["awake_ps"] = -result.cpus.groupby("cpu")["awake_ps"].sum()
    sums["windows_ps"] = -result.tasks.groupby("cpu")["windows_ps"].sum()
    assert numbers(found, "CPU") == [sums.sum(axis=1).idxmax()]
    assert found.note == "Those that lost most 1 of 2."


def test_a_precision_that_was_not_reached_is_among_the_words(result: pmsim.Result) -> None:
    plain = answer_words(result)
    asked = {**result.manifest, "precision": 1e-9, "max_replications": 2}
    result.__dict__["manifest"] = asked
    try:
        more = answer_words(result)
    finally:
        del result.__dict__["manifest"]
    assert more[: len(plain)] == plain
    assert len(more) > len(plain)


def test_a_run_without_broadcasts_has_no_table_of_them() -> None:
    from tests.machines import scenario

    quiet = pmsim.run(scenario({"kind": "user_work", "name": "work"}, duration="1ms"))
    titles = [table.title for table in [*answer_tables(quiet), *detail_tables(quiet)]]
    assert "shootdowns by cause" not in titles
    assert "slowest shootdowns" not in titles
    assert "CPUs" in titles
