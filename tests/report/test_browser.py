"""The page as a person sees it: in a browser, on a large screen and on a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pmsim
from pmsim.report.page import write_report
from tests.report.browser import Browser

TABLE = "[aria-label='Kernel operations, nested ones too'] table"
COLUMN = (
    f'Array.from(document.querySelectorAll("{TABLE} tbody tr"),'
    " row => Number(row.cells[1].dataset.number))"
)
WORDS = (
    f'Array.from(document.querySelectorAll("{TABLE} tbody tr"), row => row.cells[0].textContent)'
)
STATE = f"document.querySelector(\"{TABLE} th:nth-child(2)\").getAttribute('aria-sort')"

CONTRAST = """
(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  return Array.from(document.querySelectorAll('svg text, p, li, td, th, dt, dd'), (one) => {
    const style = getComputedStyle(one);
    const ink = light(one.tagName === 'text' ? style.fill : style.color);
    return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  });
})()
"""
"""The contrast of all text with the page, as WCAG counts it."""


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, result: pmsim.Result, swept: pmsim.Sweep
) -> Path:
    return write_report([result, swept], tmp_path_factory.mktemp("page") / "report.html")


def test_a_browser_has_nothing_to_complain_of_and_loads_nothing(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    assert browser.value("document.title") == "test: pmsim report"
    assert browser.complaints == []
    loaded = [url for url in browser.loaded if not url.startswith("data:image/png;base64,")]
    assert loaded == [page.as_uri()]


def test_a_click_sorts_a_table_and_another_one_turns_it_round(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = browser.value(COLUMN)
    assert browser.value(STATE) is None
    browser.click(f"{TABLE} th:nth-child(2) button")
    assert browser.value(COLUMN) == sorted(before, reverse=True)
    assert browser.value(STATE) == "descending"
    browser.click(f"{TABLE} th:nth-child(2) button")
    assert browser.value(COLUMN) == sorted(before)
    assert browser.value(STATE) == "ascending"
    assert browser.complaints == []


def test_words_are_sorted_as_words_and_rows_stay_whole(browser: Browser, page: Path) -> None:
    browser.open(page)
    rows = dict(zip(browser.value(WORDS), browser.value(COLUMN), strict=True))
    browser.click(f"{TABLE} th:nth-child(1) button")
    words = browser.value(WORDS)
    assert words == sorted(words)
    assert dict(zip(words, browser.value(COLUMN), strict=True)) == rows
    assert browser.value(STATE) is None


def test_the_keyboard_sorts_and_a_screen_reader_is_told(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value(f'document.querySelector("{TABLE} th:nth-child(2) button").focus()')
    browser.press("Enter")
    assert browser.value(STATE) == "descending"
    said = browser.value("document.querySelector('[role=status]').textContent")
    assert said == "sorted by number, descending"


def test_what_is_unknown_stands_last_either_way(browser: Browser, tmp_path: Path) -> None:
    from pmsim.report.html import table_html
    from pmsim.report.table import Cell, Table, count, word

    rows = tuple((word(name), cell) for name, cell in
                 (("a", count(2)), ("b", Cell("unknown")), ("c", count(10))))  # fmt: skip
    script = Path(pmsim.__path__[0], "report", "page.js").read_text()
    table = table_html(Table("some", ("who", "how many"), rows))
    path = tmp_path / "table.html"
    path.write_text(
        f"<!DOCTYPE html>{table}<p class='said'></p><script>{script}</script>", encoding="utf-8"
    )
    browser.open(path)
    names = "Array.from(document.querySelectorAll('tbody th'), cell => cell.textContent).join('')"
    order = []
    for _ in range(2):
        browser.click("th:nth-child(2) button")
        order.append(browser.value(names))
    assert order == ["cab", "acb"]


def test_the_comparison_of_two_results_is_a_table_that_sorts_by_the_difference(
    browser: Browser, result: pmsim.Result, tmp_path: Path
) -> None:
    from tests.experiments.small import POLICY, small

    slow = small(POLICY, replications=2).with_(**{"machine.costs.ipi.entry": "2us"})
    other = pmsim.run(slow, tmp_path / "other")
    browser.open(write_report([result, other], tmp_path / "page.html"))
    table = "[aria-label='Differences from test (1)'] table"
    numbers = (
        f'Array.from(document.querySelectorAll("{table} tbody tr"),'
        " row => Number(row.cells[3].dataset.number))"
    )
    before = browser.value(numbers)
    assert any(before)
    browser.click(f"{table} th:nth-child(4) button")
    assert browser.value(numbers) == sorted(before, reverse=True)
    assert browser.value("document.querySelector('main h1').textContent") == (
        "test (2) compared with test (1)"
    )
    assert browser.complaints == []


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width)
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("window.innerWidth") == width


def test_on_paper_no_table_is_wider_than_the_page(browser: Browser, page: Path) -> None:
    # A4 between margins of 1 cm, in pixels of 1/96 inch
    browser.open(page, 718)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    widths = browser.value("Array.from(document.querySelectorAll('table'), one => one.offsetWidth)")
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert len(widths) > 8
    assert max(widths) <= 718


def test_on_a_phone_rows_of_wide_tables_are_stacked_and_each_cell_says_what_it_is(
    browser: Browser, page: Path
) -> None:
    browser.open(page, 390)
    widths = browser.value(
        "Array.from(document.querySelectorAll('table.wide'),"
        " one => [one.scrollWidth, one.parentElement.clientWidth])"
    )
    assert len(widths) > 5
    assert all(table <= box for table, box in widths)
    labels = browser.value(
        "Array.from(document.querySelectorAll('table.wide td.number'))"
        ".filter(one => one.offsetParent !== null)"
        ".map(one => [getComputedStyle(one, '::before').content, one.dataset.label])"
    )
    assert len(labels) > 20
    assert all(shown == f'"{label}"' for shown, label in labels)
    columns = browser.value(
        "Array.from(document.querySelectorAll('table'), one => one.tHead.rows[0].cells.length"
        " >= 5 === one.classList.contains('wide'))"
    )
    assert all(columns)


LINES = """
Array.from(document.querySelectorAll('td.number'), cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return new Set(Array.from(range.getClientRects(), box => Math.round(box.top))).size;
})
"""
"""On how many lines each number stands."""


def test_on_a_phone_no_number_is_broken_beside_a_long_label(
    browser: Browser, tmp_path: Path
) -> None:
    from pmsim.report.html import table_html
    from pmsim.report.table import Table, count, word

    labels = ("point", *(f"with one of {place} points fitted by hand" for place in range(4)))
    table = table_html(Table("some", labels, ((word("a"), *map(count, [1_436_000] * 4)),)))
    style = Path(pmsim.__path__[0], "report", "page.css").read_text()
    path = tmp_path / "table.html"
    path.write_text(
        "<!DOCTYPE html><meta name='viewport' content='width=device-width'>"
        f"<style>{style}</style><main>{table}</main>", encoding="utf-8",
    )  # fmt: skip
    browser.open(path, 390)
    assert browser.value(LINES) == [1] * 4


def test_what_scrolls_by_itself_can_be_reached_by_the_keyboard_and_nothing_else(
    browser: Browser, page: Path
) -> None:
    for width in (390, 700):
        browser.open(page, width)
        boxes = browser.value(
            "Array.from(document.querySelectorAll('.scroll'),"
            " box => [box.scrollWidth > box.clientWidth, box.tabIndex])"
        )
        assert all(wide == (index == 0) for wide, index in boxes)
    assert [True, 0] in boxes


def test_on_a_phone_the_text_is_as_large_as_elsewhere(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    size = "parseFloat(getComputedStyle(document.querySelector('.words li')).fontSize)"
    assert browser.value(size) >= 16


@pytest.mark.parametrize(
    ("width", "seen", "hidden"), [(390, "phone", "desk"), (1280, "desk", "phone")]
)
def test_figures_are_those_for_the_screen_and_all_as_wide_as_the_page(
    browser: Browser, page: Path, width: int, seen: str, hidden: str
) -> None:
    browser.open(page, width)
    widths = "Array.from(document.querySelectorAll('figure.{} svg'), one => one.clientWidth)"
    shown = browser.value(widths.format(seen))
    assert len(shown) > 3
    assert set(shown) == {browser.value("document.querySelector('main').clientWidth")}
    assert set(browser.value(widths.format(hidden))) == {0}


def test_long_tables_show_their_first_rows_and_all_when_asked(browser: Browser, page: Path) -> None:
    browser.open(page)
    rows = (
        "Array.from(document.querySelector('table:has(tbody tr:nth-child(16))').tBodies[0].rows)"
        ".filter(row => row.offsetHeight).length"
    )
    assert browser.value(rows) == 10
    browser.value("document.querySelector('button.unfold').click()")
    assert browser.value(rows) > 15


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_in_the_light_and_in_the_dark(
    browser: Browser, page: Path, dark: bool
) -> None:
    browser.open(page, dark=dark)
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(23, 25, 28)" if dark else "rgb(255, 255, 255)")
    contrasts = browser.value(CONTRAST)
    assert len(contrasts) > 200
    assert min(contrasts) >= 4.5


def test_without_its_script_the_page_shows_all_the_same(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    text = page.read_text(encoding="utf-8")
    bare = tmp_path / "bare.html"
    bare.write_text(text[: text.index("<script>")], encoding="utf-8")
    browser.open(bare)
    assert browser.value(COLUMN)
    assert browser.value("document.querySelectorAll('button').length") == 0
    assert browser.complaints == []


def test_a_description_cannot_run_anything(browser: Browser, tmp_path: Path) -> None:
    from tests.experiments.small import small

    bad = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
    run = pmsim.run(small(description=bad), tmp_path / "run")
    browser.open(write_report([run], tmp_path / "page.html"))
    assert browser.value("document.title") == "test: pmsim report"
    assert json.dumps(bad)[1:-1] in browser.value("document.body.textContent")
    assert browser.complaints == []
