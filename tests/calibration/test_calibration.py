"""A calibration as files: a platform that runs, its cells beside it, and experiments of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import pmsim
from pmsim.calibration import calibrate as calibrating
from pmsim.calibration.calibration import Calibration, cells_file
from pmsim.calibration.experiments import calibrated_experiments, calibration_at
from pmsim.calibration.fit import Fitted, fit
from pmsim.calibration.measured import Measured
from pmsim.calibration.model import Model
from pmsim.calibration.platform_file import base_machine, with_values, written
from pmsim.errors import CalibrationError, OutputError, ScenarioError
from pmsim.scenario.platform import load_platform, platform_constants
from pmsim.units import NS
from tests.calibration.made_up import KERNEL, LIKE, TRUTH, host, session


@pytest.fixture(scope="module")
def found(simulator: Model, truth: list[Measured]) -> Calibration:
    """Return a calibration of a made-up machine, every third cell held out."""
    measured = [
        replace(one, cell=replace(one.cell, held_out=at % 3 == 1)) for at, one in enumerate(truth)
    ]
    return Calibration(host(), LIKE, KERNEL, session(measured), fit(simulator, measured))


@pytest.fixture(scope="module")
def path(found: Calibration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("calibrated") / "host.yaml"
    assert found.save(place) == [place, cells_file(place)]
    return place


def test_the_file_has_what_was_fitted_with_its_range_and_all_else_as_the_nearest(
    found: Calibration, path: Path
) -> None:
    machine = load_platform(str(path))
    constants = {one.path: one for one in machine.constants}
    nearest = {one.path: one for one in load_platform(LIKE).constants}
    fitted = {one.path: one for one in found.fit.constants}
    for name, one in constants.items():
        if name not in fitted:
            assert one.value == nearest[name].value, name
            continue
        assert (one.value, one.basis) == (fitted[name].value, "measured")
        assert one.ends == (fitted[name].low, fitted[name].high)
        assert "host.cells.json" in one.source
    assert machine.topology.n_cpus == 2


def test_every_constant_of_the_file_says_from_where_it_is(path: Path) -> None:
    for one in platform_constants(str(path)):
        assert one.basis, one.path
        assert one.source.startswith((f"{LIKE}: ", "`pmsim calibrate`", "/sys")), one.path


def test_held_out_cells_are_met_and_that_is_said_first(found: Calibration, path: Path) -> None:
    assert found.held_out_error is not None
    assert found.held_out_error < 0.05
    assert found.sentences()[0].startswith("Held-out cells, 7 of 20: median error")
    assert "as aimed at" in found.sentences()[0]
    head = path.read_text(encoding="utf-8").partition("\npmsim:")[0]
    assert "AMD EPYC 7763 (AuthenticAMD, family 25, model 1), 2 CPUs, Linux 6.18.1" in head
    assert "costs.ipi.delivery.core" in head


def test_a_loaded_machine_is_said_so(found: Calibration) -> None:
    cells = found.session.cells
    assert not any("loaded" in one for one in found.sentences())
    loaded = replace(found, session=session(cells, others=0.4))
    assert any("other programs took 40 % of the CPUs' time" in one for one in loaded.sentences())
    hidden = replace(found, session=replace(session(cells), load=None))
    assert any("cannot be seen" in one for one in hidden.sentences())


def test_a_scenario_runs_on_the_file(path: Path) -> None:
    scenario = pmsim.load("policy-load").with_(machine=str(path), kernel=KERNEL)
    assert scenario.resolve().machine.kernel_costs.user_mprotect == pytest.approx(
        TRUTH["costs.kernel.user_mprotect"], rel=0.05
    )


def test_experiments_of_the_file_say_of_each_cell_what_the_fit_said(
    found: Calibration, path: Path
) -> None:
    tried = {"mprotect-alone", "membarrier-lost-spin-cpu1", "munmap-tables-idle"}
    own = [one for one in calibrated_experiments(path) if one.name.removeprefix("host-") in tried]
    assert len(own) == len(tried)
    done = pmsim.reproduce(*own, workers=1)
    said = {cell.name: cell for cell in found.fit.predicted if cell.curve in tried}
    assert {one.point for one in done.scores} == said.keys()
    for one in done.scores:
        cell = said[one.point]
        assert one.raw == pytest.approx(found.fit.predicted[cell]), one.point
        assert one.counted == cell.held_out


def test_shipped_measurements_of_such_a_machine_are_predicted_from_the_file(path: Path) -> None:
    shipped = [one for one in calibrated_experiments(path) if one.name.startswith("host-as-")]
    assert {one.name for one in shipped} >= {"host-as-kvm-milan-mprotect-spin"}
    # They count on processors of the generation that they were measured on, family 25, model 1.
    assert all(one.absolute for one in shipped)
    for one in shipped:
        assert one.scenario.resolve().machine.name == "host"


def test_on_processors_of_another_generation_only_their_shape_is_tried(
    path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "host.yaml"
    other.write_bytes(path.read_bytes())
    content = json.loads(cells_file(path).read_text(encoding="utf-8"))
    content["host"]["number"] = 17
    cells_file(other).write_text(json.dumps(content), encoding="utf-8")
    shipped = [one for one in calibrated_experiments(other) if one.name.startswith("host-as-")]
    assert shipped
    assert not any(one.absolute for one in shipped)


def test_a_name_stands_for_a_file_with_cells_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert calibration_at("host") == Path("host.yaml")
    assert calibration_at("host.yaml") == Path("host.yaml")
    assert calibration_at("guest") is None
    assert calibration_at("piggin-2008-eager") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host": {"model": 1}}'])
def test_a_file_that_holds_no_cells_is_a_fault_of_it(path: Path, tmp_path: Path, text: str) -> None:
    other = tmp_path / "host.yaml"
    other.write_bytes(path.read_bytes())
    cells_file(other).write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match="holds no cells"):
        calibrated_experiments(other)


def test_nothing_is_overwritten_unless_asked_for(found: Calibration, path: Path) -> None:
    with pytest.raises(OutputError, match="exist already"):
        found.save(path)
    found.save(path, force=True)


def test_the_raw_cells_are_beside_it_with_every_sample(found: Calibration, path: Path) -> None:
    content = json.loads(cells_file(path).read_text(encoding="utf-8"))
    for row, one in zip(content["cells"], found.session.cells, strict=True):
        assert row["samples"] == list(one.samples)
        assert row["ns"] == one.ns


def test_a_table_with_one_source_for_all_gives_each_entry_its_own() -> None:
    machine = {
        "costs": {"ipi": {"line": {"value": {"core": "9ns", "die": "8ns"}, "basis": "memory"}}}
    }
    (one,) = [Fitted("costs.ipi.line.core", 9 * NS, 7 * NS, 6 * NS, 8 * NS)]
    line = with_values(machine, [one], "here")["costs"]["ipi"]["line"]
    assert line["die"] == {"value": "8ns", "basis": "memory"}
    assert line["core"]["value"] == "7ns"
    assert "value" in machine["costs"]["ipi"]["line"]  # the one that was given is as it was


def test_a_written_machine_reads_as_what_it_was(tmp_path: Path) -> None:
    machine = base_machine(host(), LIKE)
    place = tmp_path / "same.yaml"
    place.write_text(written(machine, ["A note.", "", "Another."]), encoding="utf-8")
    assert load_platform(str(place)) == load_platform(LIKE)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
def test_so_long_is_not_measured(seconds: float) -> None:
    with pytest.raises(CalibrationError, match="measuring takes"):
        calibrating.calibrate(seconds)
