"""Figures as parts of a page: drawn by `pmsim.figures`, adapted to an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as Xml

from pmsim.figures import look
from pmsim.figures.form import SCREEN, form_of

if TYPE_CHECKING:
    from pmsim.experiments.constants.found import Sensitivity
    from pmsim.experiments.results import Sweep
    from pmsim.simulation.result.result import Result

COLOURS: Final = {
    look.PAPER: "var(--paper)",
    look.INK: "var(--ink)",
    look.FAINT: "var(--faint)",
    str(look.STYLE["grid.color"]): "var(--line)",
    look.RED: "var(--red)",
    look.PURPLE: "var(--purple)",
}
"""What the page has its own colours for, in the light and in the dark."""

# Phones have no DejaVu; Verdana has the same widths.
FACES: Final = {
    look.MONOSPACE: '"DejaVu Sans Mono", Menlo, Consolas, monospace',
    "DejaVu Sans": '"DejaVu Sans", Verdana, system-ui, sans-serif',
}
"""What stands in for the faces of the figures where those are not installed."""

_SVG: Final = "{http://www.w3.org/2000/svg}"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
# All of red, green and blue high: no ground for the light letters of a dark page.
_PALE: Final = re.compile(r"#((?:[b-f][0-9a-f]){3})")


@dataclass(frozen=True, slots=True)
class Inline:
    """A figure as an element of a page.

    Attributes
    ----------
    message
        What it says, in a sentence or two.
    svg
        The element.
    """

    message: str
    svg: str


DESK, PHONE = "9in", "3.3in"
"""The widths of a page's figures, all of them alike: on a desktop, and where that has no room."""


def result_figures(
    result: Result | Sweep | Sensitivity, prefix: str = "", width: str = DESK
) -> Iterator[Inline]:
    """Yield every figure of a result, so wide, the identifiers in it beginning with a prefix."""
    from pmsim.figures.gallery import draw_all

    with TemporaryDirectory() as folder:
        for path in draw_all(result, folder, ("svg",), width=width):
            yield inline_svg(path, prefix)


def inline_svg(path: Path, prefix: str = "") -> Inline:
    """Return a figure's file as an element that can stand among others in an HTML page.

    Its identifiers are numbered, after a prefix and the name of the file: the same figure has the
    same bytes. Its message is the name that screen readers say.
    """
    root = Xml.parse(path).getroot()
    for part in ("metadata", "defs"):
        found = root.find(_SVG + part)
        if found is not None and (part == "metadata" or found.find(f"{_SVG}style") is not None):
            root.remove(found)
    names = _renamed(root, prefix + path.stem)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _adapt(element, names)
    message = _message(root) or path.stem.replace("_", " ")
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": message}
    text = Xml.tostring(root, encoding="unicode", short_empty_elements=False)
    return Inline(message, text)


def _renamed(root: Xml.Element, stem: str) -> dict[str, str]:
    """Return new names for what is referred to; the others need none."""
    text = Xml.tostring(root, encoding="unicode")
    used = set(_REFERENCE.findall(text)) | set(re.findall(r'href="#([^"]+)"', text))
    known = [one.attrib["id"] for one in root.iter() if one.attrib.get("id") in used]
    return {name: f"{stem}-{number}" for number, name in enumerate(known, start=1)}


def _adapt(element: Xml.Element, names: dict[str, str]) -> None:
    """Give an element the names and colours of the page."""
    attributes = element.attrib
    if "id" in attributes:
        name = names.get(attributes.pop("id"))
        if name is not None:
            attributes["id"] = name
    if _LINK in attributes:
        link = attributes.pop(_LINK)
        attributes["href"] = f"#{names[link[1:]]}" if link.startswith("#") else link
    if "clip-path" in attributes:
        attributes["clip-path"] = _REFERENCE.sub(
            lambda found: f"url(#{names[found[1]]})", attributes["clip-path"]
        )
    if "style" in attributes:
        said = attributes["style"]
        for old, new in COLOURS.items():
            said = said.replace(old, new)
        for face, stack in FACES.items():
            said = said.replace(f"'{face}'", stack)
        said = _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", said)
        attributes["style"] = _PALE.sub(r"var(--pale-\g<1>, var(--pale, \g<0>))", said)


def _message(root: Xml.Element) -> str:
    """Return what is printed largest, above each panel: a sentence, perhaps in several lines."""
    sizes = [f"font-size: {form.title:g}px" for form in (SCREEN, form_of(DESK), form_of(PHONE))]
    panels = (
        " ".join(
            _words(line)
            for line in group.findall("text")
            if any(size in line.get("style", "") for size in sizes)
        )
        for group in root.iter("g")
    )
    return "; ".join(filter(None, panels))


def _words(element: Xml.Element) -> str:
    return " ".join("".join(element.itertext()).split())
