"""``pmsim plot`` of sweeps; of a single result: test_other_commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pmsim as face
from tests.cli.conftest import Pmsim
from tests.experiments.small import entry, small


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with sweeps over two axes, ``plane``, and over one value, ``single``."""
    folder = tmp_path_factory.mktemp("planes")
    axes = {**entry("200ns", "2us"), "seed": [1, 2]}
    face.sweep(small(), axes, replications=1, workers=1, out=folder / "plane")
    face.sweep(small(), entry("2us"), replications=1, workers=1, out=folder / "single")
    return folder


@pytest.fixture
def plane(planes: Path, tmp_path: Path) -> Path:
    """The sweep over two axes, in the directory in which commands run."""
    return Path(shutil.copytree(planes / "plane", tmp_path / "plane"))


def test_a_plane_is_drawn_as_curves_tiles_and_phases_for_each_headline(
    inside: Pmsim, plane: Path
) -> None:
    done = inside("plot", "plane")
    assert done.returncode == 0, done.stdout
    files = {file.name for file in (plane / "figures").iterdir()}
    assert set(done.stdout.split()) == {f"plane/figures/{name}" for name in files}
    assert {"curves-lost_share.png", "heat_map-latency_mean_ps.png"} <= files
    assert [name for name in files if name.startswith("phase")] == ["phase_diagram-lost_share.png"]


def test_a_metric_is_drawn_in_any_format(inside: Pmsim, plane: Path) -> None:
    done = inside("plot", "plane", "--metric", "operation_count[vmalloc]", "--format", "svg",
                  "--format", "pdf", "--out", "there")  # fmt: skip
    assert done.returncode == 0, done.stdout
    names = [f"{kind}-operation_count-vmalloc.{ending}"
             for kind in ("curves", "heat_map") for ending in ("svg", "pdf")]  # fmt: skip
    assert done.stdout.split() == [f"there/{name}" for name in names]
    assert (plane.parent / "there" / names[0]).read_bytes().startswith(b"<?xml")
    assert (plane.parent / "there" / names[1]).read_bytes().startswith(b"%PDF")


def test_figures_of_a_sweep_are_replaced_with_force_alone(inside: Pmsim, plane: Path) -> None:
    lost = ("--metric", "lost_share")
    mine = plane / "figures" / "curves-lost_share.png"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = inside("plot", "plane", *lost)
    assert done.returncode == 2
    assert "exist already (--force replaces them)" in done.stdout
    assert [file.name for file in mine.parent.iterdir()] == [mine.name]
    assert inside("plot", "plane", *lost, "--force").returncode == 0
    assert mine.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_metric_is_bad_input_that_names_the_nearest(inside: Pmsim, plane: Path) -> None:
    done = inside("plot", "plane", "--metric", "lost_shares")
    assert done.returncode == 2
    assert "no metric 'lost_shares' (did you mean lost_share?)" in done.stdout
    assert not (plane / "figures").exists()


@pytest.mark.parametrize(
    ("metric", "threshold"),
    [("lost_share", "3%"), ("latency_mean_ps", "5us"), ("broadcasts_per_s", "100/s")],
)
def test_a_threshold_has_the_unit_of_its_metric(
    inside: Pmsim, plane: Path, metric: str, threshold: str
) -> None:
    done = inside("plot", "plane", "--metric", metric, "--threshold", threshold, "--format", "svg")
    assert done.returncode == 0, done.stdout
    text = (plane / "figures" / f"phase_diagram-{metric}.svg").read_text(encoding="utf-8")
    assert {"3%": "above 3 %", "5us": "above 5 µs", "100/s": "above 100"}[threshold] in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metric", "lost_share", "--threshold", "5us"), "one above zero, as in 1% or 0.01"),
        (("--metric", "latency_mean_ps", "--threshold", "5"), "'5' has no unit"),
        (("--metric", "latency_mean_ps", "--threshold", "1%"), "as in 20us"),
        (("--threshold", "1%"), "--threshold needs --metric"),
    ],
)
def test_a_bad_threshold_is_bad_input_that_says_what_would_be_right(
    inside: Pmsim, plane: Path, options: tuple[str, ...], said: str
) -> None:
    done = inside("plot", "plane", *options)
    assert done.returncode == 2
    assert said in done.stdout
    assert not (plane / "figures").exists()


def test_a_sweep_of_one_value_has_nothing_to_draw_and_no_plane(inside: Pmsim, planes: Path) -> None:
    done = inside("plot", planes / "single")
    assert done.returncode == 2
    assert "varies nothing: there is nothing to draw" in done.stdout
    done = inside("plot", planes / "single", "--metric", "lost_share", "--threshold", "1%")
    assert done.returncode == 2
    assert "the plane of two axes, and the sweep varies 0" in done.stdout


def test_a_threshold_is_not_for_a_run(inside: Pmsim, policy_file: Path) -> None:
    inside("run", policy_file, "--out", "here", "--quiet", "--no-figures")
    done = inside("plot", "here", "--threshold", "1%")
    assert done.returncode == 2
    assert "--threshold is for sweeps, and here is no sweep" in done.stdout


def test_a_width_makes_figures_for_a_paper_and_tells_their_captions(
    inside: Pmsim, plane: Path
) -> None:
    lost = ("--metric", "lost_share", "--format", ".png,svg")
    done = inside("plot", "plane", *lost, "--width", "3.3in")
    assert done.returncode == 0, done.stdout
    names = [f"{kind}-lost_share" for kind in ("curves", "heat_map", "phase_diagram")]
    told = done.stdout.splitlines()
    assert told[0::3] == [f"plane/figures/{name}.png" for name in names]
    assert told[1::3] == [f"plane/figures/{name}.svg" for name in names]
    assert all(line.startswith("    ") and len(line) > 40 for line in told[2::3])
    header = (plane / "figures" / f"{names[0]}.png").read_bytes()[16:24]
    assert [int.from_bytes(header[at : at + 4], "big") for at in (0, 4)] == [990, 720]  # 300 dpi


def test_a_width_without_a_unit_is_bad_input_that_says_what_would_be_right(
    inside: Pmsim, plane: Path
) -> None:
    done = inside("plot", "plane", "--width", "3.3")
    assert done.returncode == 2
    assert "as in 3.3in or 84mm" in done.stdout
    assert not (plane / "figures").exists()
