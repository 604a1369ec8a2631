"""One page about results: everything in it, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, Final

from pmsim import formatting
from pmsim.escaping import escape
from pmsim.experiments.arms import names_apart
from pmsim.experiments.comparison import compare
from pmsim.experiments.constants.found import Sensitivity
from pmsim.experiments.results import Sweep
from pmsim.report.answer import answer_tables, answer_words
from pmsim.report.comparison_tables import comparison_tables
from pmsim.report.detail_tables import detail_tables
from pmsim.report.glossary import GLOSSARY
from pmsim.report.html import facts_html, figure_html, folded_html, table_html, words_html
from pmsim.report.sensitivity_tables import varied_constants
from pmsim.report.svg import DESK, PHONE, result_figures
from pmsim.report.sweep_answer import sweep_words
from pmsim.report.sweep_tables import sweep_tables
from pmsim.simulation.result.files import new_files
from pmsim.simulation.result.result import Result
from pmsim.units import S

Reported = Result | Sweep | Sensitivity
"""What a page can be about."""
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)
"""What the browser is told that the page may load: nothing but what is in it."""
WORDS: Final = "glossary"
"""The place of the words on a page."""


def write_report(found: Sequence[Reported], path: Path, *, force: bool = False) -> Path:
    """Write one page about some results, and return where it is.

    Parameters
    ----------
    found
        Results, sweeps and sensitivities, in the order of the page.
    path
        The file.
    force
        Whether a file that is there already is replaced.

    Raises
    ------
    OutputError
        If the file is there already, or cannot be written.
    ResultError
        If a table of a result cannot be read.
    """
    with new_files([path], force=force) as (half,):
        half.write_text(report_html(found), encoding="utf-8")
    return path


def report_html(found: Sequence[Reported]) -> str:
    """Return the page: the same results make the same bytes."""
    results = [one for one in found if isinstance(one, Result)]
    sides = dict(zip(names_apart([one.name for one in results]), results, strict=True))
    apart = iter(sides)
    names = [next(apart) if isinstance(one, Result) else one.name for one in found]
    parts = [
        _part(one, name, f"result-{number}")
        for number, (one, name) in enumerate(zip(found, names, strict=True), start=1)
    ]
    if len(sides) > 1:
        parts.insert(0, _comparison(sides))
    title = ", ".join(dict.fromkeys(one.name for one in found))
    body = "\n".join([*parts, _glossary()])
    contents = _contents(names, compared=len(sides) > 1)
    return whole_page(f"{title}: pmsim report", body, contents, _version(found))


def whole_page(
    title: str, body: str, contents: str, version: str, told: str = "Times are simulated."
) -> str:
    """Return a page with a body, its look and its script, and nothing that is loaded.

    Parameters
    ----------
    title
        Its title.
    body, contents
        HTML: what it says, and links to that; the second may be empty.
    version
        Of pmsim.
    told
        What the foot says of all times.
    """
    script, look = (files("pmsim.report").joinpath(f"page.{end}").read_text("utf-8")
                    for end in ("js", "css"))  # fmt: skip
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{look}</style>\n</head>\n<body>\n"
        f"{contents}<main>\n{body}\n</main>\n"
        f'<p class="said" role="status"></p>\n'
        f"<footer>Made by pmsim {escape(version)}. {escape(told)}</footer>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _contents(names: Sequence[str], *, compared: bool) -> str:
    """Return links to the results, where there are several."""
    if len(names) == 1:
        return ""
    targets = {f"result-{number}": name for number, name in enumerate(names, start=1)}
    if compared:
        targets = {"comparison": "Comparison", **targets}
    links = (f'<li><a href="#{place}">{escape(name)}</a></li>' for place, name in targets.items())
    return f'<nav aria-label="Results"><ul>{"".join(links)}</ul></nav>\n'


def _glossary() -> str:
    """Return what the words of the page mean."""
    lists = "\n".join(
        f"<h3>{escape(title)}</h3>\n{facts_html({one.name: one.told for one in terms})}"
        for title, terms in GLOSSARY.items()
    )
    return (
        f'<section id="{WORDS}" aria-label="Glossary"><h2>Glossary</h2>\n'
        f"<details><summary>What the words mean</summary>\n{lists}\n</details></section>"
    )


def _comparison(sides: Mapping[str, Result]) -> str:
    """Return what the page says about all results together."""
    base, *others = sides
    compared = compare(*sides.values())
    tables = "\n".join(map(table_html, comparison_tables(compared, sides)))
    return _article(
        f"<h1>{escape(', '.join(others))} compared with {escape(base)}</h1>\n"
        f"{words_html([*compared.doubts, *compared.sentences()])}\n{tables}",
        "comparison",
    )


def _part(one: Reported, name: str, place: str) -> str:
    """Return what the page says about one result."""
    prefix = f"{place}-"
    match one:
        case Sweep():
            body = _sweep(one, name, prefix)
        case Sensitivity():
            body = _sensitivity(one, name, prefix)
        case _:
            body = _result(one, name, prefix)
    return _article(body, place)


def _article(body: str, place: str) -> str:
    named = body.replace("<h1>", f'<h1 id="{place}-name">', 1)
    return f'<article id="{place}" aria-labelledby="{place}-name">\n{named}\n</article>'


def _result(result: Result, name: str, prefix: str) -> str:
    summary, manifest = result.summary, result.manifest
    runs = summary.replications
    facts = [
        f"{formatting.counted(summary.cpus, 'CPU')} of {_machine(manifest['scenario'])}",
        str(manifest["scenario"]["kernel"]["profile"]),
        f"{formatting.time(summary.duration_ps)} simulated"
        + (f" in {runs:,} runs" if runs > 1 else ""),
        f"seed {manifest['seed']}",
    ]
    figures = _figures(result, prefix)
    tables = "\n".join(map(table_html, [*answer_tables(result), *detail_tables(result)]))
    return (
        f"{_head(name, manifest['scenario'].get('description', ''), facts)}\n"
        f"{words_html(answer_words(result))}\n"
        f'<p class="note"><a href="#{WORDS}">What the words mean</a></p>\n'
        f"<h2>Figures</h2>\n{figures}\n<h2>Tables</h2>\n{tables}\n{_origin(manifest)}"
    )


def _sweep(sweep: Sweep, name: str, prefix: str) -> str:
    replications = int(sweep.cells["replications"].sum())
    facts = [
        formatting.counted(len(sweep.cells), "cell"),
        formatting.counted(replications, "run"),
        "finished" if sweep.complete else "unfinished",
        f"seed {sweep.manifest['seed']}",
    ]
    over = [f"Swept over {', '.join(sweep.axes)}."] if sweep.axes else []
    said = [*sweep_words(sweep), *over]
    figures = _figures(sweep, prefix)
    drawn = f"<h2>Figures</h2>\n{figures}\n" if figures else ""
    tables = "\n".join(map(table_html, sweep_tables(sweep)))
    return (
        f"{_head(name, sweep.manifest.get('description', ''), facts)}\n{words_html(said)}\n"
        f"{drawn}<h2>Tables</h2>\n{tables}\n{_origin(sweep.manifest)}"
    )


def _sensitivity(found: Sensitivity, name: str, prefix: str) -> str:
    what = found.found
    facts = [what.machine, what.kernel, f"{what.runs:,} runs", f"seed {what.seed}"]
    figures = _figures(found, prefix)
    drawn = f"<h2>Figures</h2>\n{figures}\n" if figures else ""
    return (
        f"{_head(f'{name}: how sure is that', what.description, facts)}\n"
        f"{words_html(found.sentences())}\n"
        f"{drawn}<h2>Tables</h2>\n{table_html(varied_constants(what))}\n{_origin(found.manifest)}"
    )


def _figures(found: Reported, prefix: str) -> str:
    """Return all figures twice: for a desktop, and for a phone, each of which shows one of them."""
    return "\n".join(
        figure_html(figure, screen)
        for screen, width in (("desk", DESK), ("phone", PHONE))
        for figure in result_figures(found, f"{prefix}{screen}-", width)
    )


def _head(name: str, description: str, facts: Sequence[str]) -> str:
    what = f"<p>{escape(description)}</p>" if description else ""
    return f'<h1>{escape(name)}</h1>\n{what}<p class="facts">{escape(" · ".join(facts))}</p>'


def _origin(manifest: Mapping[str, Any]) -> str:
    """Return where a result comes from, and the scenario as run."""
    host = manifest["host"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    facts: dict[str, Any] = {
        "seed": manifest["seed"],
        "runs": manifest["replications"],
        "scenario's SHA-256": manifest.get("scenario_sha256"),
        "sweep's SHA-256": manifest.get("fingerprint"),
        "versions": versions,
        "host": f"{host['name']}: {host['system']} {host['release']}, {host['machine']},"
        f" {formatting.counted(host['cpus'], 'CPU')}",
        "started": manifest.get("started"),
        "took": formatting.time(manifest["wall_s"] * S) if "wall_s" in manifest else None,
        **{f"hash of {name}": text for name, text in manifest.get("inputs", {}).items()},
        **{f"code of {name}": text for name, text in manifest.get("protocols", {}).items()},
    }
    known = {name: fact for name, fact in facts.items() if fact is not None}
    scenario = folded_html("Scenario as run, every value filled in", _yaml(manifest["scenario"]))
    return f"<h2>Where it comes from</h2>\n{facts_html(known)}\n{scenario}"


def _machine(scenario: Mapping[str, Any]) -> str:
    return str(scenario["machine"].get("name") or "an inline machine")


def _version(found: Sequence[Reported]) -> str:
    return ", ".join(dict.fromkeys(str(one.manifest["versions"]["pmsim"]) for one in found))


def _yaml(scenario: Mapping[str, Any]) -> str:
    """Return a scenario as a file that `pmsim run` would read."""
    from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.allow_unicode = True
    writer.width = 100
    text = StringIO()
    writer.dump(dict(scenario), text)
    return text.getvalue()
