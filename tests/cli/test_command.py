"""What is said of options that are none, in words of pmsim's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pmsim.cli.command import plain
from tests.cli.conftest import Pmsim


@pytest.mark.parametrize(
    ("of_the_library", "said"),
    [
        (
            "Input should be a valid integer, unable to parse string as an integer",
            "a whole number belongs here, for example 8",
        ),
        ("Input should be a valid number, unable to parse string as a number",
         "a number belongs here, for example 15"),
        ("Input should be greater than or equal to 1", "it is at least 1"),
        ("Input should be less than or equal to 9", "it is at most 9"),
        ("Value error, 'platform' is not one of 'platforms', 'kernels'.",
         "'platform' is not one of platforms, kernels: did you mean platforms?"),
        ("'zoo' is not one of 'platforms', 'kernels'.", "'zoo' is not one of platforms, kernels."),
        ("Value error, no", "no"),
        ("Got unexpected extra argument(s) (a b)", "too much is given: a b"),
        ("Got unexpected extra arguments (a b)", "too much is given: a b"),
        ("Got unexpected extra argument (a)", "too much is given: a"),
        ("'x' is not a valid integer.", "'x' is not a valid integer."),
    ],
)  # fmt: skip
def test_what_a_library_says_is_said_anew(of_the_library: str, said: str) -> None:
    assert plain(of_the_library) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "policy-load", "--seed", "abc"), "Invalid value for '--seed': "),
        (("calibrate", "--seconds", "abc"), "Invalid value for '--seconds': "),
        (("sweep", "claim", "--replications", "0"), "Invalid value for '--replications': "),
        (("list", "experiment"), "did you mean experiments?"),
        (("costs", "all"), "too much is given: all"),
        (
            ("run", "policy-load", "--set", "kernel.shootdown=deferred,defers=all"),
            "options stand in a mapping: {deferred: {defers: all}}",
        ),
        (
            ("sweep", "policy-load", "--set", "kernel.shootdown=ipi,deferred,defers=all"),
            "options stand in a mapping: {deferred: {defers: all}}",
        ),
        (
            ("run", "policy-load", "--set", "kernel.shootdown=ipi,rar"),
            "`pmsim sweep FILE --set kernel.shootdown=ipi,rar` runs each of them",
        ),
        (("reproduce", "host"), "`pmsim calibrate` measures this machine, and writes host.yaml"),
        (("run", "policy-load", "--set", "measure.detail=true"), "keys: from, to"),
        (("run", "policy-load", "--set", "kernel.crosscall_order=serail"), "did you mean serial?"),
        (("run", "policy-load", "--set", "kernel.area_free_stays=1.5"), "'1.5' is no whole number"),
        (("run", "policy-load", "--set", f"machine={'x' * 3000}"), "there is no platform 'xxx"),
    ],
)
def test_what_is_wrong_with_an_option_is_bad_input_and_no_librarys_words(
    words: tuple[str, ...], said: str, inside: Pmsim
) -> None:
    done = inside(*words)
    output = done.stdout + (done.stderr or "")
    assert done.returncode == 2
    assert said in output
    assert "Input should" not in output
    assert "Value error" not in output


def test_a_page_of_a_file_is_refused_as_a_file(inside: Pmsim, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("pmsim: 1\n")
    done = inside("report", "a.yaml")
    assert done.returncode == 2
    assert "a.yaml is a file; a result is a directory" in done.stdout + (done.stderr or "")


def test_a_sensitivity_at_a_file_is_refused_with_where_it_can_go(
    inside: Pmsim, tmp_path: Path
) -> None:
    (tmp_path / "afile").write_text("kept")
    done = inside("sensitivity", "policy-load", "--out", "afile", "--quiet")
    assert done.returncode == 2
    assert "afile is a file, and this wants a directory (--out DIR: elsewhere)" in done.stdout
    assert (tmp_path / "afile").read_text() == "kept"
    said = inside("sensitivity", "policy-load", "--metric", "lost_shares", "--quiet").stdout
    assert "did you mean lost_share?" in said
