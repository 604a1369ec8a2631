from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import pmsim.figures
from pmsim.errors import OutputError
from pmsim.figures import draw_all, look
from pmsim.figures.gallery import drawings
from tests.figures.made_up import (
    MS,
    MadeUp,
    cpu_timeline,
    interruptions,
    many_crosscalls,
    one_call,
    operations,
    timeline,
)
from tests.summaries import transient, with_transients


def whole(n_cpus: int, calls: int) -> MadeUp:
    rng = np.random.default_rng(4)
    shape = (n_cpus, 20)
    taken = {"vmalloc_pages": np.arange(20) % 5 + 9, "vmalloc_hole_pages": np.full(20, 80)}
    return MadeUp(
        operations=operations((0, None, "flush_tlb_all", calls, 5_000_000, 0, 3_000_000, 0)),
        crosscalls=many_crosscalls(calls, n_cpus),
        timeline=timeline(rng.poisson(5, 20) + 1, 10 * MS, **taken),
        interruptions=interruptions(
            (2, 0, 0, 10**6, True, "purge"), (2, MS, MS, MS + 3 * 10**5, True, "purge")
        ),
        cpu_timeline=cpu_timeline(rng.random(shape) * MS, rng.random(shape) * MS, 10 * MS),
        anatomy=pd.concat(
            one_call(which, {1: ("idle_exit", 10**6), 2: ("ride", 500)}, n_cpus, 10**5)
            for which in ("median", "p99", "slowest")
        ),
        summary=with_transients(transient(50 * MS, per_s_after=500.0)),
    )


def ink(path: Path) -> float:
    """Return the share of pixels that are not paper."""
    pixels = np.asarray(Image.open(path).convert("L"))
    return float((pixels < 250).mean())


TELLING = [
    "operation_cost", "flush_cost", "broadcast_timeline", "interruption_lengths", "address_space",
    "cpus_over_time",
]  # fmt: skip


def names(result: MadeUp) -> list[str]:
    return [drawing.name for drawing in drawings(result)]


@pytest.mark.parametrize("result", [whole(4, 10), whole(448, 5000)])
def test_every_figure_is_a_picture_with_something_on_it(result, tmp_path):
    files = draw_all(result, tmp_path)
    assert [file.stem for file in files] == names(result)
    for file in files:
        assert 0.001 < ink(file) < 0.7, file.name


def test_nothing_is_drawn_of_a_run_in_which_nothing_happened(tmp_path):
    assert draw_all(MadeUp(), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_latencies_that_are_all_the_same_have_no_distribution():
    assert names(whole(4, 1)) == [*TELLING, "anatomy_slowest"]
    assert "latency_distribution" in names(whole(4, 10))


def test_broadcasts_in_one_interval_alone_have_no_timeline():
    counts = np.zeros(20, dtype=int)
    counts[7] = 4
    once = replace(whole(4, 10), timeline=timeline(counts, 10 * MS))
    assert "broadcast_timeline" not in names(once)
    counts[9] = 1
    twice = replace(whole(4, 10), timeline=timeline(counts, 10 * MS))
    assert "broadcast_timeline" in names(twice)


def of_cpus(stolen: np.ndarray, spin: np.ndarray) -> list[str]:
    """Return what the panels of CPUs against time show."""
    result = replace(whole(4, 10), cpu_timeline=cpu_timeline(stolen, spin, 10 * MS))
    found = [drawing for drawing in drawings(result) if drawing.name == "cpus_over_time"]
    return [data.paid for drawing in found for _, data in drawing.panels]


def test_cpus_of_one_colour_are_not_drawn():
    even, none = np.full((4, 20), MS), np.zeros((4, 20))
    assert of_cpus(even, none) == []
    one_of_many = np.full((56, 20), MS)
    one_of_many[0] = 0
    assert of_cpus(one_of_many, np.zeros((56, 20))) == []
    one_of_many[0] = 3 * MS
    assert of_cpus(one_of_many, np.zeros((56, 20))) == ["stolen"]
    uneven, late = even.copy(), even.copy()
    uneven[2] *= 2
    late[:, 15:] *= 2
    assert of_cpus(uneven, none) == ["stolen"]
    assert of_cpus(late, uneven) == ["stolen", "spin"]


def anatomies(**calls: dict[int, tuple[str, int]]) -> list[str]:
    frames = [one_call(which, waits, 4, 10**5) for which, waits in calls.items()]
    return [name for name in names(replace(whole(4, 10), anatomy=pd.concat(frames)))
            if name.startswith("anatomy")]  # fmt: skip


def test_calls_that_look_like_a_slower_one_are_not_drawn():
    late, later = {1: ("irqs_off", 10**7)}, {1: ("irqs_off", 10**7 + 10**6 // 2)}
    much_later = {2: ("irqs_off", 2 * 10**7)}
    asleep = {1: ("idle_exit", 10**7)}
    drawn = anatomies(median=late, p99=late, slowest=much_later)
    assert drawn == ["anatomy_p99", "anatomy_slowest"]
    drawn = anatomies(median=asleep, p99=late, slowest=later)
    assert drawn == ["anatomy_median", "anatomy_slowest"]


def test_no_text_leaves_the_picture(tmp_path):
    for file in draw_all(whole(448, 5000), tmp_path):
        pixels = np.asarray(Image.open(file).convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() > 240, file.name


def test_axes_stand_at_the_same_places_whatever_the_format_of_the_file(tmp_path):
    for drawing in drawings(whole(4, 300)):
        with look.themed():
            figure = drawing._drawn()
            figure.savefig(tmp_path / "fine.png")
            places = [ax.get_position().bounds for ax in figure.axes]
            figure.savefig(tmp_path / "in_points.svg")
        for ax, place in zip(figure.axes, places, strict=True):
            assert ax.get_position().bounds == pytest.approx(place, abs=0.01), drawing.name


def test_each_format_is_written(tmp_path):
    files = draw_all(whole(4, 10), tmp_path / "new", formats=("png", "svg"))
    assert {file.suffix for file in files} == {".png", ".svg"}
    assert len(files) == 2 * len(names(whole(4, 10)))
    assert all(file.stat().st_size for file in files)


def test_the_same_result_gives_the_same_bytes(tmp_path):
    first, second = (draw_all(whole(4, 10), tmp_path / name) for name in ("a", "b"))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_an_unknown_format_is_an_error_that_names_it(tmp_path):
    with pytest.raises(OutputError, match="gifx"):
        draw_all(whole(4, 10), tmp_path, formats=("gifx",))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        draw_all(whole(4, 10), tmp_path / "file")


def test_drawing_all_leaves_no_open_window_and_no_changed_setting(tmp_path):
    before, settings = plt.get_fignums(), dict(mpl.rcParams)
    draw_all(whole(4, 10), tmp_path)
    assert plt.get_fignums() == before
    assert dict(mpl.rcParams) == settings


def test_completion_offers_the_figures_and_nothing_else():
    assert dir(pmsim.figures) == sorted(pmsim.figures.__all__)


OF_SWEEPS = (
    "curves", "guests", "heat_map", "pareto", "phase_diagram", "protocols", "tornado", "waking",
)  # fmt: skip
OF_SENSITIVITIES = ("constants",)
OF_POINTS = (
    "error_distribution", "experiment_curve", "misses_by_series", "predicted_against_measured",
)  # fmt: skip
FIGURES = [
    getattr(pmsim.figures, name)
    for name in pmsim.figures.__all__
    if name not in ("draw_all", "style", *OF_SWEEPS, *OF_SENSITIVITIES, *OF_POINTS)
]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_drawn_on_the_axes_given(figure):
    ax = plt.figure().add_subplot()
    assert figure(whole(4, 10), ax=ax) is ax
    assert ax.get_label()
    assert not ax.get_title(loc="left")


@pytest.mark.parametrize("figure", FIGURES)
def test_every_axis_says_what_it_shows_and_in_which_unit(figure):
    ax = figure(whole(4, 10))
    ax.figure.canvas.draw()
    assert ax.get_xlabel()
    ticks = " ".join(label.get_text() for label in ax.get_xticklabels())
    assert any(unit in ax.get_xlabel() + ticks for unit in ("(s)", "(ms)", "(µs)", " µs"))
