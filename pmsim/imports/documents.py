"""What an import says as a page, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version

from pmsim.escaping import escape
from pmsim.imports.found import Imported, WriteFile, text_file
from pmsim.report.html import table_html, words_html
from pmsim.report.markdown import list_markdown, section_markdown
from pmsim.report.page import whole_page


def reports(found: Imported) -> Mapping[str, WriteFile]:
    """Return the report in each of its forms, by the name of its file."""
    return {
        "report.html": text_file(imported_html(found, version("pmsim"))),
        "report.md": text_file(imported_markdown(found)),
        "report.json": text_file(imported_json(found)),
    }


def imported_html(found: Imported, release: str) -> str:
    """Return one page with everything in it, made by that release of pmsim."""
    tables = "\n".join(map(table_html, found.tables))
    body = (
        f'<article aria-labelledby="name">\n<h1 id="name">{escape(found.name)}</h1>\n'
        f'<p class="facts">{escape(found.format)}</p>\n{words_html(found.words)}\n'
        f"<h2>Tables</h2>\n{tables}\n</article>"
    )
    told = "Times are those of the file."
    return whole_page(f"{found.name}: pmsim import", body, "", release, told)


def imported_markdown(found: Imported) -> str:
    """Return the same for a mail or an issue."""
    parts = [f"# {found.name}", found.format[0].upper() + found.format[1:] + "."]
    parts += [list_markdown(found.words), *(section_markdown(one, 2) for one in found.tables)]
    return "\n\n".join(parts) + "\n"


def imported_json(found: Imported) -> str:
    """Return the same for programs: of each cell the number where it has one, or the text."""
    tables = {
        table.title: [
            {
                name: cell.text if cell.number is None else _whole(cell.number)
                for name, cell in zip(table.columns, row, strict=True)
            }
            for row in table.rows
        ]
        for table in found.tables
    }
    content = {"file": found.name, "format": found.format, "words": found.words, "tables": tables}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number
