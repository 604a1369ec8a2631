from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pmsim
from pmsim.errors import OutputError, ResultError
from pmsim.simulation.result.manifest import FORMAT
from pmsim.simulation.tables.columns import TABLES
from tests.machines import scenario


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "saved"
    pmsim.run(scenario({"kind": "policy_load", "allocations": 64, "size": "512B"}), path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_every_table_is_an_attribute_that_tab_finds(saved: Path) -> None:
    result = pmsim.open(saved)
    for name, table in TABLES.items():
        assert name in dir(result)
        assert list(getattr(result, name).columns) == list(table.names)


def test_a_table_is_read_once(saved: Path) -> None:
    result = pmsim.open(saved)
    assert result.crosscalls is result.crosscalls


def test_an_unknown_table_is_an_error_that_names_the_known_ones(saved: Path) -> None:
    with pytest.raises(KeyError, match="crosscalls"):
        pmsim.open(saved).table("croscalls")


def test_batches_hold_all_rows_in_order(saved: Path) -> None:
    result = pmsim.open(saved)
    ids = [i for batch in result.batches("operations", ["id"]) for i in batch["id"]]
    assert ids == result.operations["id"].tolist()


def test_save_copies_a_result_whole(saved: Path, tmp_path: Path) -> None:
    copy = pmsim.open(saved).save(tmp_path / "copy")
    assert copy.path == tmp_path / "copy"
    assert sorted(p.name for p in copy.path.iterdir()) == sorted(p.name for p in saved.iterdir())
    assert copy.crosscalls.equals(pmsim.open(saved).crosscalls)


def test_save_overwrites_nothing_without_force(saved: Path, copy: Path) -> None:
    result = pmsim.open(saved)
    with pytest.raises(OutputError, match="exists already"):
        result.save(copy)
    (copy / "summary.json").write_text("of the old one")
    (copy / "notes").write_text("somebody's own")
    result.save(copy, force=True)
    assert (copy / "summary.json").read_bytes() == (saved / "summary.json").read_bytes()
    assert (copy / "notes").read_text() == "somebody's own"


def test_a_result_tells_its_name_and_place(saved: Path) -> None:
    assert repr(pmsim.open(saved)) == f"<pmsim.Result test in {saved}>"


def test_a_result_that_goes_with_its_object_does_not_tell_where_it_is() -> None:
    result = pmsim.run(scenario({"kind": "user_work", "compute": "1us"}))
    assert repr(result) == "<pmsim.Result test in a temporary directory>"
    assert str(result.path) not in result._repr_html_()


def test_a_result_shows_itself_in_a_notebook(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["scenario"]["name"] = "a <b> & c"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    html = pmsim.open(copy)._repr_html_()
    assert "a &lt;b&gt; &amp; c" in html
    assert "Tasks lost" in html
    for name in TABLES:
        assert f">{name}</td>" in html
    assert html.count('<td style="text-align: left">') == 2 * len(TABLES)  # names and sentences


def test_no_directory_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no such directory"):
        pmsim.open(tmp_path / "nowhere")


def test_a_directory_without_a_manifest_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no manifest\.json"):
        pmsim.open(tmp_path)


def test_a_manifest_that_is_no_json_is_named(copy: Path) -> None:
    (copy / "manifest.json").write_text("{")
    with pytest.raises(ResultError, match=r"manifest\.json cannot be read"):
        pmsim.open(copy)


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("manifest.json", "[]", "it holds no keys"),
        (
            "manifest.json",
            json.dumps({"format": FORMAT, "scenario": {}, "versions": {}, "host": {}}),
            "seed missing",
        ),
        ("summary.json", "3", "it holds no keys"),
        ("summary.json", '{"cpus": 4}', "duration_ps, replications, .* missing"),
    ],
)
def test_a_file_that_lacks_its_keys_is_named(
    copy: Path, file: str, content: str, fault: str
) -> None:
    (copy / file).write_text(content)
    with pytest.raises(ResultError, match=f"{file} is not as it was written: {fault}"):
        _ = pmsim.open(copy).summary


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("broadcasts", "many", "broadcasts cannot be 'many'"),
        ("cpus", [4], r"cpus cannot be \[4\]"),
        ("calls", {}, r"calls cannot be \{\}"),
        ("cost", None, "cost cannot be None"),
    ],
)
def test_a_summary_with_a_value_of_another_shape_is_named(
    copy: Path, key: str, value: object, fault: str
) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, key: value}))
    with pytest.raises(ResultError, match=rf"summary\.json is not as it was written: {fault}"):
        _ = pmsim.open(copy).summary


def test_a_file_that_is_given_for_a_result_is_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("pmsim: 1\n")
    with pytest.raises(ResultError, match=r"scenario\.yaml is a file; a result is a directory"):
        pmsim.open(file)


def test_a_result_without_its_metrics_is_not_whole(copy: Path) -> None:
    (copy / "metrics.parquet").unlink()
    with pytest.raises(ResultError, match=r"there is no metrics\.parquet in it"):
        _ = pmsim.open(copy).replications


def test_a_table_in_the_place_of_another_is_named_with_what_it_lacks(copy: Path) -> None:
    shutil.copy(copy / "cpus.parquet", copy / "crosscalls.parquet")
    result = pmsim.open(copy)
    with pytest.raises(ResultError, match=r"crosscalls\.parquet has no column task, start_ps"):
        _ = result.crosscalls
    with pytest.raises(ResultError, match=r"crosscalls\.parquet has no column cause"):
        list(result.batches("crosscalls", ["cpu", "cause"]))


def test_a_result_of_another_format_is_refused(copy: Path) -> None:
    (copy / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ResultError, match="format 99"):
        pmsim.open(copy)


def test_a_result_that_lacks_a_table_is_refused(copy: Path) -> None:
    (copy / "crosscalls.parquet").unlink()
    with pytest.raises(ResultError, match="crosscalls missing"):
        pmsim.open(copy)


def test_a_table_that_is_cut_off_is_named_when_it_is_read(copy: Path) -> None:
    file = copy / "crosscalls.parquet"
    file.write_bytes(file.read_bytes()[:100])
    result = pmsim.open(copy)
    with pytest.raises(ResultError, match=r"crosscalls\.parquet cannot be read"):
        _ = result.crosscalls
    with pytest.raises(ResultError, match=r"crosscalls\.parquet cannot be read"):
        list(result.batches("crosscalls", ["cpu"]))
