from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pmsim as face
from pmsim.figures import gallery
from tests.cli.conftest import Pmsim
from tests.experiments.small import POLICY, small
from tests.experiments.test_dataset import files
from tests.machines import scenario
from tests.scenario_files import write_scenario

ENTRY = ("--set", "machine.costs.ipi.entry=200ns,2us")


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """A scenario that runs in a few hundredths of a second and draws random numbers."""
    return write_scenario(tmp_path, small().as_dict(), "small.yaml")


def test_a_sweep_answers_cell_by_cell_with_intervals_and_says_where_the_rows_are(
    inside: Pmsim, small_file: Path
) -> None:
    done = inside("sweep", small_file, *ENTRY, "--replications", 5, "--workers", 1)
    assert done.returncode == 0, done.stdout
    assert "machine.costs.ipi.entry" in done.stdout.replace("\n", "")
    assert done.stdout.count("±") >= 4
    assert "results/test-sweep" in done.stdout
    sweep = face.open("results/test-sweep")
    assert len(sweep.frame) == 10


def test_as_a_process_it_says_the_same_and_nothing_twice(pmsim: Pmsim, small_file: Path) -> None:
    done = pmsim("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or done.stderr.startswith("compiling")
    again = pmsim("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_quiet_says_nothing(inside: Pmsim, small_file: Path) -> None:
    assert inside("sweep", small_file, "--quiet", "--workers", 1).stdout == ""


def test_the_grid_of_the_file_is_run_and_values_replace_its_own(
    inside: Pmsim, tmp_path: Path
) -> None:
    data = small(sweep={"machine.costs.ipi.entry": ["1ns", "2ns"], "seed": [1]}).as_dict()
    file = write_scenario(tmp_path, data)
    inside("sweep", file, "--out", "a", "--workers", 1)
    assert len(face.open("a").cells) == 2
    inside("sweep", file, "--set", "seed=1,2,3", "--out", "b", "--workers", 1)
    assert face.open("b").axes == {"machine.costs.ipi.entry": ("1ns", "2ns"), "seed": (1, 2, 3)}


def test_values_may_be_mappings_and_text_with_commas(inside: Pmsim, tmp_path: Path) -> None:
    file = write_scenario(tmp_path, scenario(POLICY, cpus=2).as_dict())
    pools = "workloads.selinux.pool={refill: 4KiB, align_order: 3},{refill: 8KiB, align_order: 3}"
    done = inside("sweep", file, "--set", pools, "--out", "s", "--workers", 1)
    assert done.returncode == 0, done.stdout
    (path,) = face.open("s").axes
    assert face.open("s").cells[path].tolist() == [
        '{"refill": "4KiB", "align_order": 3}',
        '{"refill": "8KiB", "align_order": 3}',
    ]


def test_points_are_chosen_from_ranges(inside: Pmsim, small_file: Path) -> None:
    done = inside("sweep", small_file, "--set", "machine.costs.ipi.entry=100ns..2us",
                  "--sample", "lhs:3", "--out", "s", "--workers", 1)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert face.open("s").cells["machine.costs.ipi.entry"].nunique() == 3


def test_a_precision_that_is_not_reached_is_said_figure_by_figure(
    inside: Pmsim, small_file: Path
) -> None:
    done = inside("sweep", small_file, "--precision", "1%", "--max-replications", 6,
                  "--out", "s", "--workers", 1)  # fmt: skip
    assert done.returncode == 0, done.stdout
    text = " ".join(done.stdout.split())
    assert "cell 0: CPU time lost: known to" in text
    assert "after 6 of at most 6 replications, where 1 % was asked for" in text


def test_a_precision_that_is_reached_is_not_spoken_of(inside: Pmsim, small_file: Path) -> None:
    done = inside("sweep", small_file, "--precision", "90%", "--max-replications", 50,
                  "--out", "s", "--workers", 1)  # fmt: skip
    assert "asked for" not in done.stdout


def test_a_precise_sweep_that_is_interrupted_ends_with_the_same_files(
    inside: Pmsim, small_file: Path
) -> None:
    options = ("--precision", "25%", "--max-replications", 40, "--workers", 1)
    inside("sweep", small_file, *ENTRY, *options, "--out", "a")
    count = int(face.open("a").cells["replications"].max())
    assert count > 5
    # As if killed after some replications of the second round.
    for upto in (3, 5, 7):
        inside("sweep", small_file, *ENTRY, "--replications", upto, "--workers", 1, "--out", "b")
    inside("sweep", small_file, *ENTRY, *options, "--out", "b")
    assert files(Path("b")) == files(Path("a"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "machine.costs.ipi.entri=1ns"), "did you mean entry?"),
        (("--set", "machin.cpus=1"), "did you mean machine?"),
        (("--set", "seed"), "--set wants PATH=V1,V2,..."),
        (("--set", "seed=[1"), "--set seed"),
        (("--set", "seed="), "--set wants PATH=V1,V2,..."),
        (("--set", "seed=0..9"), "--sample lhs:N"),
        (("--sample", "best:3"), "lhs:N or sobol:N"),
        (("--precision", "narrow"), "no precision"),
        (("--max-replications", "3"), "without a precision"),
    ],
)
def test_bad_usage_is_told_and_leaves_nothing(
    inside: Pmsim, small_file: Path, options: tuple[str, ...], said: str
) -> None:
    done = inside("sweep", small_file, *options, "--workers", 1)
    assert done.returncode == 2
    assert said in done.stdout
    assert not Path("results").exists()


def test_a_grid_of_ten_million_cells_is_refused_with_its_size(
    inside: Pmsim, small_file: Path
) -> None:
    entries = ",".join(f"{n}ns" for n in range(4000))
    seeds = ",".join(str(n) for n in range(2500))
    done = inside("sweep", small_file, "--set", f"machine.costs.ipi.entry={entries}",
                  "--set", f"seed={seeds}")  # fmt: skip
    assert done.returncode == 2
    assert "10,000,000 cells" in done.stdout
    assert "--force" in done.stdout


def test_another_sweep_at_the_place_is_refused_and_force_replaces_it(
    inside: Pmsim, small_file: Path
) -> None:
    inside("sweep", small_file, "--out", "s", "--workers", 1)
    done = inside("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1)
    assert done.returncode == 2
    assert "another sweep" in done.stdout
    done = inside("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1, "--force")
    assert done.returncode == 0
    assert len(face.open("s").cells) == 2


def test_a_damaged_file_is_done_again_and_said(inside: Pmsim, small_file: Path) -> None:
    inside("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1)
    whole = Path("s/replications/cell=1/all.parquet")
    before = whole.read_bytes()
    whole.write_bytes(before[:200])
    done = inside("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1)
    assert done.returncode == 0
    assert "cell 1 alone is done again" in done.stdout.replace("\n", " ")
    assert whole.read_bytes() == before


def test_replications_that_fail_are_told_with_status_1(inside: Pmsim, tmp_path: Path) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg\n0,mutex_unlock,1\n")
    file = write_scenario(tmp_path, scenario({"kind": "trace", "file": str(program)}).as_dict())
    done = inside("sweep", file, "--set", "seed=1,2", "--out", "s", "--workers", 1)
    assert done.returncode == 1
    assert "2 replications failed" in done.stdout
    assert "cell 1, replication 0: the task releases" in done.stdout


def test_a_scheduler_that_does_not_answer_is_told_and_leaves_nothing(
    inside: Pmsim, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmsim.experiments.cluster.ANSWER_S", 0.5)
    done = inside("sweep", small_file, "--scheduler", "tcp://127.0.0.1:9", "--out", "s")
    assert done.returncode == 2
    assert "no scheduler answers at tcp://127.0.0.1:9" in done.stdout
    assert not Path("s").exists()


@pytest.fixture
def swept(inside: Pmsim, small_file: Path) -> Callable[..., Any]:
    """Return a function that runs one small sweep, and goes on with it when called again."""
    return lambda *more: inside("sweep", small_file, *ENTRY, "--out", "s", "--workers", 1, *more)


def drawn() -> dict[str, int]:
    """Return when each of its figures was drawn."""
    return {file.name: file.stat().st_mtime_ns for file in Path("s/figures").iterdir()}


def test_figures_are_drawn_beside_the_rows_and_said(swept: Callable[..., Any]) -> None:
    done = swept()
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "figures: s/figures"
    assert set(drawn()) >= {"curves-lost_share.png", "curves-broadcasts_per_s.png"}
    assert {path.name for path in Path("s").iterdir()} == {"figures", "replications", "sweep.json"}


def test_no_figures_are_drawn_if_none_are_wanted(swept: Callable[..., Any]) -> None:
    assert "figures:" not in swept("--no-figures").stdout
    assert not Path("s/figures").exists()


def test_figures_are_drawn_anew_only_where_something_was_run_or_one_is_missing(
    swept: Callable[..., Any],
) -> None:
    swept()
    Path("s/figures/mine.png").write_text("a user's own")
    first = drawn()
    assert swept().stdout.splitlines()[-1] == "figures: s/figures"
    assert drawn() == first
    Path("s/figures/curves-lost_share.png").unlink()
    swept()
    second = drawn()
    assert set(second) == set(first)
    swept("--replications", 2)
    third = drawn()
    assert all(third[name] > second[name] for name in first if name != "mine.png")
    assert third["mine.png"] == first["mine.png"]


def test_a_figure_that_fails_loses_nothing_of_the_sweep(
    swept: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a figure of nothing")

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "drawings", fails)
        done = swept()
    assert done.returncode == 1
    assert "rows of all replications: s" in done.stdout
    assert "the figures could not be drawn: a figure of nothing" in done.stdout
    assert len(face.open("s").frame) == 2
    assert {path.name for path in Path("s").iterdir()} == {"replications", "sweep.json"}
    assert swept().returncode == 0
    assert "curves-lost_share.png" in drawn()


def test_a_sweep_over_nothing_has_no_figures(inside: Pmsim, small_file: Path) -> None:
    done = inside("sweep", small_file, "--out", "s", "--workers", 1)
    assert (done.returncode, "figures:" in done.stdout) == (0, False)
