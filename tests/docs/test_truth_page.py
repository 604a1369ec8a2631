"""The page on how true times are says what `pmsim reproduce` gives now, point by point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pmsim
from pmsim.report.truth_markdown import truth_markdown
from pmsim.report.truth_tables import truth_words

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
