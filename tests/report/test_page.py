from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import pmsim
from pmsim.errors import OutputError, ResultError
from pmsim.figures.form import COLUMN, form_of, formed
from pmsim.figures.gallery import drawings
from pmsim.report.page import report_html, write_report
from pmsim.simulation.words.sentences import sentences


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.code = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "code" in self.open:
            self.code += data

    def all(self, attribute: str) -> list[str]:
        return [value for _, some in self.elements if (value := some.get(attribute)) is not None]


@pytest.fixture(scope="module")
def text(result: pmsim.Result, swept: pmsim.Sweep) -> str:
    return report_html([result, result, swept])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_element_is_closed(page: Page) -> None:
    assert page.open == []


def test_the_same_results_make_the_same_page(
    text: str, result: pmsim.Result, swept: pmsim.Sweep
) -> None:
    assert report_html([result, result, swept]) == text


def test_identifiers_are_unique_though_a_result_comes_twice(page: Page) -> None:
    ids = page.all("id")
    assert len(set(ids)) == len(ids)


def test_everything_that_is_referred_to_is_there(page: Page, text: str) -> None:
    wanted = [link[1:] for link in page.all("href") if link.startswith("#")]
    wanted += re.findall(r"url\(#([^)]+)\)", text)
    wanted += page.all("aria-labelledby")
    assert len(wanted) > 20
    assert set(wanted) <= set(page.all("id"))


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for value in [*page.all("src"), *page.all("href"), *page.all("xlink:href")]:
        assert value.startswith(("#", "data:image/png;base64,"))
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in page.elements}
    policy = next(some["content"] for _, some in page.elements if "http-equiv" in some)
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_a_report_says_what_the_terminal_says(text: str, result: pmsim.Result) -> None:
    for sentence in sentences(result.summary):
        assert sentence in text
    for title in ("Where tasks lost CPU time", "Shootdowns by cause", "Slowest shootdowns", "CPUs"):
        assert f"<h3>{title}</h3>" in text


def test_every_figure_that_says_something_is_there_with_its_message_as_its_name(
    page: Page, result: pmsim.Result, swept: pmsim.Sweep
) -> None:
    drawn = [some for tag, some in page.elements if tag == "svg"]
    count = 0
    for form in (form_of("9in"), COLUMN):  # for a desktop, and for a phone
        with formed(form):
            count += 2 * len(drawings(result)) + len(drawings(swept))
    assert len(drawn) == count
    names = [some["aria-label"] or "" for some in drawn]
    assert all(some["role"] == "img" for some in drawn)
    assert any(name.startswith("A shootdown takes") for name in names)
    assert all(len(name.split()) > 3 for name in names)


def test_the_scenario_of_a_report_is_the_one_that_ran(result: pmsim.Result) -> None:
    code = Page(report_html([result])).code
    again = pmsim.Scenario.from_text(code).resolve()
    assert again.as_dict() == result.manifest["scenario"]


def test_names_and_descriptions_are_text_and_no_elements(text: str) -> None:
    assert "Is &lt;it&gt; worth &amp; safe?" in text


def test_provenance_tells_seed_hash_versions_and_host(text: str, result: pmsim.Result) -> None:
    manifest = result.manifest
    for fact in (manifest["scenario_sha256"], manifest["host"]["name"], manifest["started"]):
        assert f"{fact}" in text
    for name, version in manifest["versions"].items():
        assert f"{name} {version}" in text


def test_a_sweep_shows_its_cells_and_their_means(swept: pmsim.Sweep) -> None:
    text = report_html([swept])
    assert "2 cells · 12 runs · finished" in text
    assert "machine.costs.ipi.entry" in text
    for label in ("CPU time lost", "shootdowns per second", "mean latency of a shootdown"):
        assert label in text
    assert re.search(r"± [\d.]+ %", text)
    assert "<h2>Figures</h2>" in text
    assert text.count("<svg") >= 3


def test_a_report_is_small(text: str) -> None:
    assert len(text.encode()) < 1_000_000


def test_a_report_is_written_once(tmp_path: Path, swept: pmsim.Sweep) -> None:
    path = write_report([swept], tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == report_html([swept])
    with pytest.raises(OutputError, match="exists already"):
        write_report([swept], path)
    write_report([swept], path, force=True)


def test_a_report_of_a_damaged_result_leaves_nothing_behind(
    result: pmsim.Result, tmp_path: Path
) -> None:
    copy = result.save(tmp_path / "copy")
    table = copy.path / "crosscalls.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(ResultError, match=r"crosscalls\.parquet cannot be read"):
        write_report([copy], tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
