"""A sweep answers in words: which axis matters, where a metric is highest, how sure that is."""

from __future__ import annotations

import pmsim
from pmsim.report.page import report_html
from pmsim.report.sweep_answer import sweep_words
from tests.experiments.small import small


def test_the_answer_names_both_ends_of_an_axis_with_the_means_there(swept: pmsim.Sweep) -> None:
    means = 100 * swept.frame.groupby("machine.costs.ipi.entry")["lost_share"].mean()
    words = sweep_words(swept)
    low, high = (f"{means[label]:.3g} % at" for label in ("200ns", "2us"))
    assert words[0].startswith(f"CPU time lost: {low} ipi entry = 200 ns, {high} 2 µs")
    assert "chance" not in words[0]
    assert not any("--replications" in one for one in words)


def test_an_axis_that_matters_to_nothing_is_told_so_and_one_run_has_no_interval() -> None:
    once = pmsim.sweep(small(), {"machine.costs.sched.context_switch": ["1us", "2us"]}, workers=1)
    words = sweep_words(once)
    assert words[0] == "CPU time lost: sched context switch changes nothing."
    assert words[-1] == "One run a cell: no intervals; --replications 5 gives them."


def test_a_switch_is_told_as_it_stands_in_a_file() -> None:
    path = "machine.costs.ipi.shorthand"
    several = {path: [True, False], "machine.cpus": [3, 4]}
    words = sweep_words(pmsim.sweep(small(), several, workers=1))
    assert not any("unknown" in one or "True" in one or "False" in one for one in words)
    assert any("shorthand = true" in one or "shorthand = false" in one for one in words)


def test_a_page_of_a_sweep_begins_with_the_answer(swept: pmsim.Sweep) -> None:
    page = report_html([swept])
    first = sweep_words(swept)[0]
    assert first in page
    assert page.index(first) < page.index("<h2>Tables</h2>")
