"""One page about reproduced experiments: everything in it, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pmsim.escaping import escape
from pmsim.report.html import facts_html, figure_html, table_html, words_html
from pmsim.report.page import whole_page
from pmsim.report.svg import Inline, inline_svg
from pmsim.report.truth_tables import (
    experiment_table,
    lacking,
    truth_tables,
    truth_words,
)
from pmsim.reproduction.experiment import Experiment
from pmsim.reproduction.reproduction import Reproduction
from pmsim.reproduction.scores import Score

if TYPE_CHECKING:
    import pandas as pd

    from pmsim.figures.gallery import Drawing


def truth_html(found: Reproduction) -> str:
    """Return the page: the same predictions make the same bytes."""
    points, scores = found.points, found.scores
    parts = [_together(found, points)]
    for one in found.experiments:
        mine = [score for score in scores if score.experiment == one.name]
        parts.append(_one(one, mine, points[points["experiment"] == one.name]))
    links = "".join(
        f'<li><a href="#{escape(one.name)}">{escape(one.name)}</a></li>'
        for one in found.experiments
    )
    contents = f'<nav aria-label="Experiments"><ul>{links}</ul></nav>\n'
    title = "pmsim: predicted against measured"
    return whole_page(title, "\n".join(parts), contents, metadata.version("pmsim"))


def _together(found: Reproduction, points: pd.DataFrame) -> str:
    """Return what the page says about all experiments."""
    from pmsim.figures.published import truth_drawings

    figures = "\n".join(map(figure_html, _inline(truth_drawings(points))))
    tables = "\n".join(map(table_html, truth_tables(found)))
    lacks = f"<h3>What the model lacks there</h3>\n{facts_html(lacking(found))}"
    return (
        '<article id="together" aria-labelledby="together-name">\n'
        '<h1 id="together-name">Predicted against measured</h1>\n'
        f"{words_html(truth_words(found))}\n{figures}\n{tables}\n{lacks}\n</article>"
    )


def _one(one: Experiment, found: Sequence[Score], points: pd.DataFrame) -> str:
    """Return what the page says about one experiment."""
    from pmsim.figures.published import experiment_drawings

    figures = "\n".join(map(figure_html, _inline(experiment_drawings(points, one.axis))))
    place = escape(one.name)
    return (
        f'<article id="{place}" aria-labelledby="{place}-name">\n'
        f'<h1 id="{place}-name">{place}</h1>\n<p>{escape(one.title)}.</p>\n'
        f"{facts_html(experiment_facts(one))}\n{figures}\n"
        f"{table_html(experiment_table(one, found))}\n</article>"
    )


def experiment_facts(one: Experiment) -> dict[str, str]:
    """Return what is known of an experiment, by what it is."""
    facts = {
        "source": one.source,
        "machine": one.machine,
        "assumed": " ".join(one.assumes),
        "chosen after seeing": one.seen,
        "what the model lacks": one.missing,
    }
    return {name: text for name, text in facts.items() if text}


def _inline(drawings: Iterable[Drawing]) -> Iterator[Inline]:
    with TemporaryDirectory() as folder:
        for drawing in drawings:
            path = Path(folder) / f"{drawing.name}.svg"
            drawing.save(path)
            yield inline_svg(path, "figure-")
