"""What makes the site's build warn is found without building it, which takes half a minute."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DIRECTIVE = re.compile(r"^\.\. (\w+):: (\S+?)(?:\(\))?\n((?:   :.*\n)*)", re.MULTILINE)
HEADING = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
TARGET = re.compile(r"^\((\S+)\)=$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")


def without_code(text: str) -> str:
    """Return a page without its fenced blocks, in which a ``#`` begins no heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return what can be linked to in a page, as MyST names it: headings of three levels."""
    text = without_code(text)
    said = [re.sub(r"\]\([^)]*\)", "]", heading[1]) for heading in HEADING.findall(text)]
    slugs = [re.sub(r"[^\w\- ]", "", one.strip().lower().replace(" ", "-")) for one in said]
    repeated = Counter[str]()
    found = set(TARGET.findall(text))
    for slug in slugs:
        found.add(f"{slug}-{repeated[slug]}" if repeated[slug] else slug)
        repeated[slug] += 1
    return found


def described(text: str) -> Iterator[str]:
    """Yield the full names of what a page describes, with an entry in the index."""
    module = ""
    for kind, name, options in DIRECTIVE.findall(text):
        if kind == "currentmodule":
            module = name
        elif ":no-index:" in options or not kind.startswith("auto"):
            continue
        elif kind != "automodule":
            yield name if name.startswith("pmsim.") else f"{module}.{name}"
        else:
            yield name
            if ":members:" in options:
                yield from (f"{name}.{one}" for one in defined(name))


def defined(module: str) -> list[str]:
    """Return the names that a module defines, and not only imports."""
    there = import_module(module)
    return [
        name
        for name, value in vars(there).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module
    ]


def test_nothing_is_described_twice() -> None:
    names = Counter(name for page in PAGES for name in described(page.read_text(encoding="utf-8")))
    assert len(names) > 300
    twice = [name for name, times in names.items() if times > 1]
    assert twice == [], "one of them needs :no-index:"


def test_everything_described_is_there() -> None:
    for page in PAGES:
        for name in described(page.read_text(encoding="utf-8")):
            module, _, last = name.rpartition(".")
            assert hasattr(import_module(module), last), (page.name, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_anchor_that_a_page_links_to_is_a_heading(page: Path) -> None:
    broken = []
    for file, anchor in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        target = (page.parent / file).resolve() if file else page
        if target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
            broken.append(f"{file}#{anchor}")
    assert broken == []


def test_headings_are_named_as_the_site_names_them() -> None:
    text = (
        "# `a.b`: what?\n## Two\n## Two\n(mine)=\n#### Four\n```text\n# none\n```\n### [X](y.md)\n"
    )
    assert anchors(text) == {"ab-what", "two", "two-1", "mine", "x"}
