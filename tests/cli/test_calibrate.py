"""``pmsim calibrate``, and what may be done with its file; no time is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmsim.calibration import calibrate as calibrating
from pmsim.calibration.cells import Cell
from pmsim.calibration.measuring import Session
from pmsim.scenario.platform import load_platform
from tests.calibration.made_up import cells_of, host, model, session
from tests.cli.conftest import Pmsim

CELLS = tuple(
    Cell("mprotect", pages=pages, held_out=at == 1) for at, pages in enumerate((1, 8, 33, 34, 256))
)
SPINS = Cell("mprotect", "call", 1, "spinning", (1,))
SHORT = ("--no-figures", "--quiet")


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a machine that it need not measure."""

    def measure(cells: Sequence[Cell], *_: Any, **__: Any) -> Session:
        measured = cells_of(model(cells))
        refused = replace(measured[-1], refused="only 0.10 interrupts a sample")
        return session([*measured[:-1], refused], others=0.3)

    monkeypatch.setattr(calibrating, "read_host", host)
    monkeypatch.setattr(calibrating, "plan", lambda *_: [*CELLS, SPINS])
    monkeypatch.setattr(calibrating, "measure", measure)


def test_a_machine_becomes_a_platform_its_cells_and_a_figure(inside: Pmsim, tmp_path: Path) -> None:
    done = inside("calibrate")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "AMD EPYC 7763, 2 CPUs, Linux 6.18.1" in said
    assert "Held-out cells, 1 of 5: median error" in said
    assert "The machine was loaded: other programs took 30 % of the CPUs' time" in said
    assert "only 0.10 interrupts a sample" in said
    assert "kernel.user_mprotect" in said
    assert "host.inject" in said  # left as it is, as no cell that counts hangs on it
    assert {file.name for file in tmp_path.iterdir()} == {
        "host.yaml",
        "host.cells.json",
        "host.png",
    }
    assert load_platform(str(tmp_path / "host.yaml")).topology.n_cpus == 2


def test_a_scenario_runs_on_the_file_named_where_the_command_is_given(
    inside: Pmsim, tmp_path: Path
) -> None:
    assert inside("calibrate", *SHORT).returncode == 0
    # The scenario is pmsim's own, in another directory: the path is the command's.
    short = ("run", "policy-load", "--set", "duration=1ms", *SHORT)
    assert inside(*short, "--set", "machine=host.yaml").returncode == 0
    with_units = ("--set", "machine.platform=./host.yaml", "--set", "machine.host.inject=9us")
    assert inside(*short, *with_units, "--out", "slower").returncode == 0


def test_reproduce_host_predicts_the_cells(inside: Pmsim, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is shipped of a machine of three CPUs.
    monkeypatch.setattr(calibrating, "read_host", lambda: host(3))
    assert inside("calibrate", *SHORT).returncode == 0
    done = inside("reproduce", "host", "--no-figures")
    said = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert "host-mprotect-alone" in said
    assert "Nothing fitted, 1 point:" in said


def test_what_is_there_is_kept_and_bad_options_are_said(inside: Pmsim, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine", encoding="utf-8")
    kept = inside("calibrate", "--out", "mine.yaml")
    assert kept.returncode == 2
    assert "mine.yaml exists already" in kept.stdout
    assert inside("calibrate", "--seconds", "0", *SHORT).returncode == 2
    other = inside("calibrate", "--like", "kvm-milano", *SHORT)
    assert other.returncode == 2
    assert "did you mean kvm-milan" in other.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"mine.yaml"}
