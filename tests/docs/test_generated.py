"""The pages that the code writes say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs._generate.pages import write_all
from docs._generate.schema import holds
from pmsim.scenario.schema import schema
from pmsim.simulation.tables.columns import TABLES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    return write_all()


def test_make_docs_would_change_nothing(pages: dict[Path, str]) -> None:
    stale = [
        str(page.relative_to(ROOT))
        for page, text in pages.items()
        if not page.exists() or page.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


def test_nothing_is_left_of_a_page_that_is_no_longer_generated(pages: dict[Path, str]) -> None:
    by_hand = {DOCS / "reference" / name for name in ("index.md", "python.md")}
    assert set((DOCS / "reference").glob("*.md")) == by_hand | {
        page for page in pages if page.parent == DOCS / "reference"
    }


def test_every_mapping_of_a_scenario_has_its_section_and_every_key_its_row(
    pages: dict[Path, str],
) -> None:
    text = pages[DOCS / "reference" / "scenario.md"] + pages[DOCS / "reference" / "workloads.md"]
    definitions = schema()["$defs"]
    keys = {key for one in definitions.values() for key in one.get("properties", ())} - {"kind"}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in text] == []


def test_every_column_has_its_row(pages: dict[Path, str]) -> None:
    text = pages[DOCS / "reference" / "tables.md"]
    for table in TABLES.values():
        section = text.split(f"## `{table.name}`\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(table.names)


def test_what_a_key_holds_is_said_in_words() -> None:
    measure = schema()["$defs"]["MeasureKeys"]["properties"]
    assert holds(measure["warmup"], str) == "a time or `auto`"
    listed = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Part"}}, {"type": "null"}]}
    assert holds(listed, lambda name: f"<{name}>") == "a list, each <Part>"
    limited = {"type": "integer", "minimum": 1, "maximum": 32}
    assert holds(limited, str) == "a whole number, from 1 to 32"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
