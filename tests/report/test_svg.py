from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from pmsim.figures import look
from pmsim.report.svg import Inline, inline_svg


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A figure with a clipped line, a marker, a picture and a message of two lines."""
    figure: Figure = look.canvas((6, 3))
    with look.themed():
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], "o-", color=look.RED)
        ax.imshow([[0, 1], [1, 0]], cmap="gray")
        ax.bar([0], [1], color="#dde2e1")
        look.say(ax, "A message so long that it needs a second line to be told to its very end")
        path = tmp_path_factory.mktemp("svg") / "made_up.svg"
        figure.savefig(path, metadata={"Date": None})
    return path


@pytest.fixture(scope="module")
def found(drawn: Path) -> Inline:
    return inline_svg(drawn, "first-")


def test_the_message_is_read_whole(found: Inline) -> None:
    assert found.message == (
        "A message so long that it needs a second line to be told to its very end"
    )
    assert f'aria-label="{found.message}"' in found.svg


def test_identifiers_begin_with_the_prefix_and_are_referred_to(found: Inline) -> None:
    ids = re.findall(r' id="([^"]+)"', found.svg)
    used = set(re.findall(r"url\(#([^)]+)\)", found.svg))
    used |= set(re.findall(r'href="#([^"]+)"', found.svg))
    assert ids
    assert set(ids) == used
    assert all(one.startswith("first-made_up-") for one in ids)


def test_names_do_not_depend_on_chance(drawn: Path, found: Inline) -> None:
    salted = drawn.read_text()
    for number, one in enumerate(set(re.findall(r'id="([mp][0-9a-f]{10})"', salted))):
        salted = salted.replace(one, f"other{number}")
    other = drawn.with_name("other") / drawn.name
    other.parent.mkdir()
    other.write_text(salted)
    assert inline_svg(other, "first-") == found


def test_colours_of_the_page_take_the_place_of_those_of_paper(found: Inline) -> None:
    for colour in (look.PAPER, look.INK, look.FAINT, look.RED):
        assert colour not in found.svg
    assert "fill: var(--pale-dde2e1, var(--pale, #dde2e1))" in found.svg


def test_no_names_of_other_documents_are_left(found: Inline) -> None:
    for mark in ("ns0:", "xlink", "xmlns", "<metadata", "<style"):
        assert mark not in found.svg
