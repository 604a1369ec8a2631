from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.csv as pa_csv
import pytest

import pmsim
from pmsim.errors import OutputError, ResultError
from pmsim.report import csv_json
from pmsim.report.csv_json import write_csv, write_json
from pmsim.simulation.tables.columns import TABLES


def plain(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows as JSON would give them back."""
    rows: list[dict[str, object]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


@pytest.fixture
def damaged(result: pmsim.Result, tmp_path: Path) -> pmsim.Result:
    copy = result.save(tmp_path / "damaged")
    table = copy.path / "crosscalls.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    return copy


def test_csv_reads_back_as_the_tables(result: pmsim.Result, tmp_path: Path) -> None:
    paths = write_csv(result, tmp_path / "csv")
    assert [path.stem for path in paths] == list(TABLES)
    for path in paths:
        again = pa_csv.read_csv(
            path, convert_options=pa_csv.ConvertOptions(strings_can_be_null=True)
        )
        assert again.to_pylist() == plain(result.table(path.stem)), path.stem


def test_csv_of_a_table_without_rows_has_its_head(result: pmsim.Result, tmp_path: Path) -> None:
    (path,) = write_csv(result, tmp_path, ["faults"])
    head = path.read_text().strip()
    assert head == ",".join(f'"{name}"' for name in TABLES["faults"].names)


def test_json_holds_manifest_summary_and_every_row(
    result: pmsim.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_json, "ROWS", 7)
    found = json.loads(write_json(result, tmp_path / "all.json").read_text(encoding="utf-8"))
    assert found["manifest"] == result.manifest
    assert found["summary"] == result.summary.as_dict()
    assert list(found["tables"]) == list(TABLES)
    for name, rows in found["tables"].items():
        assert rows == plain(result.table(name)), name


def test_chosen_tables_alone_are_written(result: pmsim.Result, tmp_path: Path) -> None:
    path = write_json(result, tmp_path / "all.json", ["pools", "cpus", "pools"])
    assert list(json.loads(path.read_text())["tables"]) == ["pools", "cpus"]


def test_an_unknown_table_is_an_error_that_names_the_known_ones(
    result: pmsim.Result, swept: pmsim.Sweep, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="'croscalls'; there are operations, crosscalls"):
        write_csv(result, tmp_path, ["croscalls"])
    with pytest.raises(OutputError, match="there are cells, replications, intervals"):
        write_json(swept, tmp_path / "sweep.json", ["crosscalls"])


def test_a_sweep_gives_its_cells_its_replications_and_their_means(
    swept: pmsim.Sweep, tmp_path: Path
) -> None:
    found = json.loads(write_json(swept, tmp_path / "sweep.json").read_text())
    assert found["manifest"] == swept.manifest
    assert "summary" not in found
    assert [row["machine.costs.ipi.entry"] for row in found["tables"]["cells"]] == ["200ns", "2us"]
    rows = found["tables"]["replications"]
    assert [row["lost_share"] for row in rows] == swept.frame["lost_share"].tolist()
    # Too short for a p99: not a number there, missing here.
    assert swept.frame.get("latency_p99_ps") is None or rows[0]["latency_p99_ps"] is None
    assert len(found["tables"]["intervals"]) == len(swept.intervals())


def test_what_is_there_is_kept_and_named(result: pmsim.Result, tmp_path: Path) -> None:
    (tmp_path / "cpus.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"cpus\.csv exists already"):
        write_csv(result, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cpus.csv"]
    assert (tmp_path / "cpus.csv").read_text() == "mine"


def test_of_a_damaged_table_nothing_is_written(damaged: pmsim.Result, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"crosscalls\.parquet cannot be read"):
        write_csv(damaged, tmp_path / "csv")
    assert list((tmp_path / "csv").iterdir()) == []
    with pytest.raises(ResultError, match=r"crosscalls\.parquet cannot be read"):
        write_json(damaged, tmp_path / "all.json")
    assert not (tmp_path / "all.json").exists()
