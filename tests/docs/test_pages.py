"""What the README and the pages tell their readers to do is done, and gives what they show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.play import PageError, blocks, commands, matches, play

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "tests" / "docs" / "clusters"
"""Stand-ins for SLURM and Kubernetes, which are not here."""

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SLOW = {
    "docs/tutorial.md",
    "docs/how-to/cluster.md",
    "docs/how-to/compare-kernels.md",
    "docs/how-to/draw-a-sweep.md",
    "docs/how-to/precision.md",
    "docs/how-to/publish.md",
    "docs/how-to/resume.md",
    "docs/how-to/show.md",
    "docs/how-to/sure.md",
}
PLAYED = {"bash", "console", "python", "yaml"}


def told(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def has_something_to_do(page: Path) -> bool:
    return any(one.language in PLAYED for one in blocks(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=told(page), marks=[pytest.mark.slow] if told(page) in SLOW else [])
        for page in PAGES
        if has_something_to_do(page)
    ],
)
def test_a_page_tells_what_happens(page: Path, tmp_path: Path) -> None:
    environment = (
        {"PYTHONWARNINGS": "error"}
        | os.environ
        | {
            "PATH": f"{CLUSTERS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{CLUSTERS}",
        }
    )
    command = [sys.executable, "-m", "tests.docs.play", str(page)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_only_the_set_up_in_the_readme_is_not_played() -> None:
    unplayed = [
        (told(page), one.text.split()[:2])
        for page in PAGES
        for one in blocks(page.read_text(encoding="utf-8"))
        if one.is_set_up
    ]
    assert unplayed == [("README.md", ["make", "demo"])]


def test_the_blocks_of_a_page_are_found_with_files_and_outputs() -> None:
    page = (
        "Save this as `a.csv`:\n\n```text\n1\n```\n\n```python\nprint(2)\n```\n\n```text\n2\n```\n"
    )
    saved, code, output = blocks(page)
    assert (saved.file, saved.text, saved.line) == ("a.csv", "1\n", 3)
    assert (code.language, code.shown, output.file) == ("python", "2\n", None)
    assert page[code.place :].startswith("2\n")


def test_a_console_is_cut_into_commands_with_their_outputs() -> None:
    shown = "$ one \\\n  --more\n$ two\nsaid\n"
    assert list(commands(shown)) == [("one \\\n  --more", ""), ("two", "said\n")]


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\n...\nc\n", "a\nb\nc\n", True),
        ("a\n...\nc\n", "a\nc\n", True),
        ("a\n...\nc\n", "a\nb\n", False),
        ("a\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_dots_stand_for_any_lines_and_nothing_else_does(
    shown: str, output: str, same: bool
) -> None:
    assert matches(shown, output) is same


@pytest.mark.parametrize(
    "wrong",
    [
        "```console\n$ echo 1\n2\n```\n",
        "```bash\nfalse\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ true\npmsim: no\n```\n",
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
    ],
)
def test_a_page_that_tells_something_else_is_refused(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text(wrong, encoding="utf-8")
    with pytest.raises(PageError):
        play(tmp_path / "page.md")


def test_recording_writes_each_output_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    text = "```console\n$ echo {}\n{}```\n\n```python\nprint({})\n```\n\n```text\n{}```\nend\n"
    page.write_text(text.format("one", "two\n", 2, ""), encoding="utf-8")
    play(page, record=True)
    assert page.read_text(encoding="utf-8") == text.format("one", "one\n", 2, "2\n")
    play(page)
