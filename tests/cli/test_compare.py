from __future__ import annotations

from pathlib import Path

import pytest

import pmsim as face
from tests.cli.conftest import Pmsim
from tests.experiments.small import entry, small
from tests.scenario_files import write_scenario


def results(replications: int = 5) -> None:
    base = small(replications=replications)
    face.run(base, "a")
    face.run(base.with_(**{"machine.costs.ipi.entry": "2us"}), "b")


def test_two_results_are_compared_with_a_sentence_per_headline_and_a_table(inside: Pmsim) -> None:
    results()
    done = inside("compare", "a", "b")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "compared with a" in text
    assert "- CPU time lost rises by" in text
    assert "95 % interval of the difference +" in text
    assert "5 pairs" in text
    assert "% in a to" in text
    assert "latency_max_ps" in text
    assert "operation_mean_ps" not in text


def test_on_eighty_columns_no_metric_is_broken_and_nothing_is_left_out(
    inside: Pmsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    results()
    monkeypatch.setenv("COLUMNS", "80")
    done = inside("compare", "a", "b")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    # How many runs a mean is of stands in the title, or in a column where that differs.
    title = next(line.strip() for line in lines if line.strip() in ("b", "b, n = 5"))
    (head,) = (line.split() for line in lines if line.startswith("metric"))
    assert head[-1] == ("effect" if title.endswith("5") else "n")
    found = face.compare("a", "b").differences
    changed = [one.metric for one in found if "[" not in one.metric and not one.same]
    first_words = {line.split(" ")[0] for line in lines}
    assert changed
    assert set(changed) <= first_words


def test_all_speaks_of_every_metric(inside: Pmsim) -> None:
    results()
    short, long = inside("compare", "a", "b"), inside("compare", "a", "b", "--all")
    assert long.stdout.count("\n- ") > short.stdout.count("\n- ") + 10
    assert "operation_mean_ps[" in long.stdout


def test_cells_of_a_sweep_and_scenarios_are_sides(inside: Pmsim, tmp_path: Path) -> None:
    face.sweep(small(), entry(), "s", replications=5, workers=1)
    assert " in machine.costs.ipi.entry=2us" in inside("compare", "s").stdout.replace("\n", " ")
    file = write_scenario(tmp_path, small(name="other").as_dict(), "other.yaml")
    done = inside("compare", "s", file, "--replications", 5, "--workers", 1)
    assert done.returncode == 0
    assert " in other" in " ".join(done.stdout.split())


def test_few_replications_are_not_enough_data(inside: Pmsim) -> None:
    results(replications=2)
    text = " ".join(inside("compare", "a", "b").stdout.split())
    assert "(2 pairs, no interval)" in text
    assert text.count("No intervals: they need --replications 5.") == 1


def test_as_a_process_it_says_what_is_wrong(pmsim: Pmsim) -> None:
    done = pmsim("compare", "nowhere", "elsewhere")
    assert done.returncode == 2
    assert "there is no result, no sweep and no scenario 'nowhere'" in done.stderr
