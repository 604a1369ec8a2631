from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pmsim.errors import OutputError, ResultError
from pmsim.experiments.dataset import Dataset
from pmsim.experiments.directory import MANIFEST, alone, is_sweep, prepare, read_manifest
from pmsim.experiments.plan import Plan, plan_of
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.scenario.protocol_files import load_protocols
from pmsim.simulation.result import manifest
from pmsim.simulation.result.manifest import made_by
from tests.experiments.small import entry, small

ASKED = {"replications": 3}


def plan(*times: str) -> Plan:
    return plan_of(small(), entry(*times))


def rewrite(path: Path, **values: object) -> None:
    file = path / MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_the_manifest_says_what_the_sweep_is_of(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    found = read_manifest(tmp_path)
    assert is_sweep(tmp_path)
    assert found["cells"] == {"grid": entry()}
    assert found["scenario"]["workloads"][0]["name"] == "pools"
    assert (found["name"], found["seed"], found["replications"]) == ("test", 5, 3)
    assert found["versions"]["pmsim"]


def test_the_same_plan_goes_on_with_what_is_there(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    Dataset(tmp_path).add(0, 0, {}, None)
    prepare(tmp_path, plan(), {"replications": 9})
    assert Dataset(tmp_path).examine().done == {0: {0}}
    assert read_manifest(tmp_path)["replications"] == 9


def test_another_scenario_or_grid_is_refused_and_stays(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    Dataset(tmp_path).add(0, 0, {}, None)
    with pytest.raises(OutputError, match=r"another sweep \(its cells differ"):
        prepare(tmp_path, plan("1ns"), ASKED)
    with pytest.raises(OutputError, match="its scenario differ"):
        prepare(tmp_path, plan_of(small(seed=99), entry()), ASKED)
    assert Dataset(tmp_path).examine().done == {0: {0}}


def test_another_version_of_pmsim_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    rewrite(tmp_path, versions={**made_by()["versions"], "pmsim": "0.0.7"})
    with pytest.raises(OutputError, match=r"cannot be mixed \(pmsim 0\.0\.7 and 0\.1\.0\)"):
        prepare(tmp_path, plan(), ASKED)


def test_rows_of_other_code_are_not_mixed_with_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, plan(), ASKED)
    Dataset(tmp_path).add(0, 0, {}, None)
    monkeypatch.setattr(manifest, "code_sha256", lambda: "of a kernel that was changed")
    with pytest.raises(OutputError, match=r"cannot be mixed \(two states of pmsim's own code\)"):
        prepare(tmp_path, plan(), ASKED)
    assert Dataset(tmp_path).examine().done == {0: {0}}
    prepare(tmp_path, plan(), ASKED, force=True)
    assert Dataset(tmp_path).examine().done == {}


def test_another_format_is_refused_and_not_read(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    rewrite(tmp_path, format=99)
    with pytest.raises(OutputError, match="format 99"):
        prepare(tmp_path, plan(), ASKED)
    with pytest.raises(ResultError, match="format 99, and this one reads format 2"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"sweep"', "{}", '{"format": 2}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ResultError):
        read_manifest(tmp_path)
    with pytest.raises(OutputError, match="something else"):
        prepare(tmp_path, plan(), ASKED)


def test_force_replaces_a_sweep_with_its_rows(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    Dataset(tmp_path).add(0, 0, {}, None)
    prepare(tmp_path, plan("1ns"), ASKED, force=True)
    assert Dataset(tmp_path).examine().done == {}
    assert read_manifest(tmp_path)["cells"] == {"grid": entry("1ns")}


def test_force_does_not_begin_the_same_sweep_anew(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    Dataset(tmp_path).add(0, 0, {}, None)
    prepare(tmp_path, plan(), ASKED, force=True)
    assert Dataset(tmp_path).examine().done == {0: {0}}


def test_what_is_no_sweep_is_never_touched(tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("years of work")
    for path in (tmp_path, file):
        with alone(path), pytest.raises(OutputError, match="no sweep"):
            prepare(path, plan(), ASKED, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert file.read_text() == "years of work"


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    assert is_sweep(tmp_path)


def test_two_processes_cannot_work_in_one_directory(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    code = (
        "import sys, pathlib; from pmsim.experiments.directory import alone\n"
        f"with alone(pathlib.Path({str(tmp_path)!r})):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        prepare(tmp_path, plan(), ASKED)  # whatever happens to the files in it
        with pytest.raises(OutputError, match="another pmsim is at work"):
            with alone(tmp_path):
                pass
        other.kill()
    with alone(tmp_path):  # the lock went with the process
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), alone(tmp_path / "file" / "sweep"):
        pass


def test_a_directory_is_made_where_there_is_none(tmp_path: Path) -> None:
    with alone(tmp_path / "new" / "sweep"):
        prepare(tmp_path / "new" / "sweep", plan(), ASKED)
    assert is_sweep(tmp_path / "new" / "sweep")


PROTOCOL = """
import pmsim

@pmsim.protocol("mine")
class Mine:
    {what}

    promises = "gone"

    def shootdown(self, initiator, flush):
        yield from initiator.cross_call(flush.targets, flush.function)
"""


def by_mine(file: Path, what: str) -> Plan:
    """Return a plan of shootdowns by a protocol of somebody's own, and by interrupts."""
    file.write_text(PROTOCOL.format(what=what))
    with PROTOCOLS.scoped():
        load_protocols(file)
        made = plan_of(small(), {"kernel.shootdown": ["ipi", "mine"]})
        assert made.fingerprint
        return made


def test_rows_of_other_code_of_a_protocol_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    place, file = tmp_path / "sweep", tmp_path / "mine.py"
    place.mkdir()
    prepare(place, by_mine(file, "'What it does.'"), ASKED)
    Dataset(place).add(0, 0, {}, None)
    prepare(place, by_mine(file, "'What it does.'"), ASKED)  # the same again
    with pytest.raises(OutputError, match=r"rows of other code of the protocol mine, .*--force"):
        prepare(place, by_mine(file, "'What it does now.'"), ASKED)
    assert Dataset(place).examine().done == {0: {0}}
    prepare(place, by_mine(file, "'What it does now.'"), ASKED, force=True)
    assert Dataset(place).examine().done == {}


def test_code_of_a_protocol_that_no_cell_has_makes_no_difference(tmp_path: Path) -> None:
    prepare(tmp_path, plan(), ASKED)
    by_mine(tmp_path / "mine.py", "'What it does.'")
    prepare(tmp_path, plan(), ASKED)
