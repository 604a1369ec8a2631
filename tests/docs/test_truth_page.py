"""The page on how true times are says what `pmsim reproduce` gives now, point by point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pmsim
from docs._generate.truth import sentences
from pmsim.report.truth_markdown import truth_markdown
from pmsim.report.truth_tables import truth_words
from tests.docs.prose import Prose

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "truth.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ("patra-2019", "kvm-milan-mprotect-alone", "bristot-2019-calls")


def points(page: str, name: str) -> list[str]:
    """Return the lines of an experiment's table: what was measured, what is predicted."""
    section = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section is not None, name
    return [line for line in section[1].splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", QUICK)
def test_quick_experiments_are_predicted_as_the_page_says(name: str) -> None:
    rows = points(truth_markdown(pmsim.reproduce(name, workers=1)), name)
    assert len(rows) > 2
    assert points(PAGE, name) == rows


def test_the_readme_begins_with_the_sentences_of_the_page() -> None:
    said = sentences(PAGE)
    assert len(said.splitlines()) == 6
    assert said in README


def test_the_changelog_says_what_the_page_comes_to() -> None:
    raw = re.search(
        r"Nothing fitted, (\d+) points: mean error (\S+ %), median (\S+ %);.* (\S+ %) too fast\.",
        PAGE,
    )
    held = re.search(r"lie in theirs \((\S+ %)\)", PAGE)
    assert raw is not None
    assert held is not None
    Prose("CHANGELOG.md").says(
        f"All together, nothing fitted, the mean error of {raw[1]} points is {raw[2]} and the"
        f" median {raw[3]}; {raw[4]} of times and rates are too fast, and {held[1]} of intervals"
        " at 80 % hold."
    )


@pytest.mark.slow
def test_all_experiments_are_predicted_as_the_page_and_the_readme_say() -> None:
    found = pmsim.reproduce()
    now = truth_markdown(found)
    names = re.findall(r"^## ([a-z0-9-]+)$", now, re.MULTILINE)
    assert len(names) > 25
    assert [name for name in names if points(now, name) != points(PAGE, name)] == []
    # The sentence on intervals takes many runs more; `make reproduce` writes it.
    for sentence in truth_words(found):
        assert f"- {sentence}" in PAGE
        assert f"- {sentence}" in README
