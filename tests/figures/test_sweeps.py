from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import ContourSet

from pmsim.errors import ResultError, UnitError
from pmsim.figures import curves, flush_cost, heat_map, phase_diagram, tornado
from pmsim.figures.choice import sweep_figures
from pmsim.figures.gallery import drawings
from pmsim.figures.measures import measure_of
from pmsim.figures.swept import axis_of
from pmsim.simulation.answer.estimates import estimate

RATE = "workloads.modules.arrival.poisson"
AXES: Mapping[str, tuple[Any, ...]] = {
    "machine.cpus": (2, 8, 56),
    RATE: ("100/s", "2/s", "20/s"),
}


@dataclass
class MadeUpSweep:
    """A grid whose metrics are a share of the number of CPUs, and whose replications differ."""

    axes: Mapping[str, tuple[Any, ...]]
    share: Callable[..., float]
    n: int = 5
    spread: float = 0.1

    @property
    def points(self) -> list[tuple[Any, ...]]:
        return list(product(*self.axes.values()))

    @property
    def cells(self) -> pd.DataFrame:
        return pd.DataFrame(self.points, columns=list(self.axes))

    @property
    def frame(self) -> pd.DataFrame:
        rows = [
            {"cell": cell, **dict(zip(self.axes, values, strict=True)), "replication": number,
             "lost_share": self.share(*values) * (1 + self.spread * (number - (self.n - 1) / 2)),
             "latency_mean_ps": 1e6 * (cell + 1)}
            for cell, values in enumerate(self.points)
            for number in range(self.n)
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        rows = [
            {"cell": cell, **self.cells.loc[cell].to_dict(),
             **estimate(name, rows[name].to_numpy(), 1, level).as_dict()}
            for cell, rows in self.frame.groupby("cell")
        ]  # fmt: skip
        return pd.DataFrame(rows).astype({"low": float, "high": float, "mean": float})


class Chosen(MadeUpSweep):
    """Points of the space instead of a grid: each axis's values are those of one point each."""

    @property
    def points(self) -> list[tuple[Any, ...]]:
        return list(zip(*self.axes.values(), strict=True))


def lost(cpus: int, rate: str = "20/s", *_: Any) -> float:
    return cpus * float(rate.removesuffix("/s")) / 1e5


PLANE = MadeUpSweep(AXES, lost)
LINE = MadeUpSweep({"machine.cpus": (2, 8, 56)}, lost)


def title(ax: Any) -> str:
    return str(ax.get_title(loc="left")).replace("\n", " ")


def test_axes_are_drawn_in_the_order_of_their_quantities():
    axis = axis_of(PLANE, RATE)
    assert axis.labels == ("2/s", "20/s", "100/s")
    assert axis.numbers == (2, 20, 100)
    assert axis.logarithmic


def test_a_line_joins_the_means_of_its_cells():
    ax = curves(PLANE, "lost_share", x=RATE)
    assert [line.get_label() for line in ax.get_lines()] == ["2", "8", "56"]
    assert ax.get_lines()[2].get_ydata() == pytest.approx([0.00112, 0.0112, 0.056])
    assert [text.get_text() for text in ax.texts[:3]] == ["2 CPUs", "8 CPUs", "56 CPUs"]
    assert title(ax) == "CPU time lost, 56 CPUs: from 0.112 % at 2/s to 5.6 % at 100/s"
    assert ax.get_xlabel() == "arrival poisson (modules)"


def test_bands_are_the_intervals():
    ax = curves(LINE)
    (band,) = ax.collections
    rows = LINE.intervals("lost_share")
    drawn = band.get_paths()[0].vertices[:, 1]
    assert {rows["low"].min(), rows["high"].max()} <= set(drawn)


@pytest.mark.parametrize(("spread", "seen"), [(0.2, True), (1e-4, False)])
def test_bands_that_are_too_narrow_to_be_seen_are_not_spoken_of(spread: float, seen: bool):
    ax = curves(MadeUpSweep(LINE.axes, lost, spread=spread))
    said = ax.texts[-1].get_text()
    assert ("Bands: 95 % intervals of the means." in said) == seen
    assert ("narrower than the lines" in said) != seen


def test_too_few_replications_have_no_band_and_the_figure_says_so():
    ax = curves(MadeUpSweep(LINE.axes, lost, n=2))
    assert "five replications" in ax.texts[-1].get_text()


@pytest.mark.parametrize("scale", [1e-6, 1e9])
def test_without_bands_the_axis_ends_just_above_the_largest_mean(scale: float):
    ax = curves(MadeUpSweep(LINE.axes, lambda cpus: (100 + cpus) * scale, n=2))
    assert ax.get_ylim() == pytest.approx((0, 156 * scale * 1.05))


def test_a_heat_map_has_the_means_a_row_for_each_value_of_y():
    ax = heat_map(PLANE, "lost_share", RATE, "machine.cpus")
    mesh = np.asarray(ax.collections[0].get_array()).reshape(3, 3)
    assert mesh[2] == pytest.approx([0.00112, 0.0112, 0.056])
    assert [text.get_text() for text in ax.texts[:3]] == ["0.004 %", "0.04 %", "0.2 %"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["2", "8", "56"]


def test_a_phase_diagram_says_from_where_on_the_threshold_is_passed():
    ax = phase_diagram(PLANE, "lost_share", RATE, "machine.cpus", 0.01)
    assert title(ax) == "CPU time lost: above 1 % from 20/s on, at 56 CPUs"


def test_cells_whose_interval_holds_the_threshold_are_hatched():
    ax = phase_diagram(PLANE, "lost_share", RATE, "machine.cpus", 0.01)
    hatched = [one for one in ax.collections if one.get_hatch()]
    rows = PLANE.intervals("lost_share")
    undecided = (rows["low"] <= 0.01) & (rows["high"] > 0.01)
    assert [len(one.get_paths()) for one in hatched] == [undecided.sum()]
    # Each mean by 2.776 * 0.158 / sqrt(5) = 19.6 %: 0.8 % ends at 0.957 %, 1.12 % begins at 0.9 %.
    assert undecided.sum() == 1


def test_the_line_of_a_phase_diagram_is_where_the_metric_is_the_threshold():
    # Both axes are powers of two, so cell (i, j) loses 2 ** (i + j) / 1e5 and the line is straight.
    axes = {"machine.cpus": (1, 2, 4, 8, 16), RATE: ("1/s", "2/s", "4/s", "8/s", "16/s")}
    ax = phase_diagram(MadeUpSweep(axes, lost), "lost_share", RATE, "machine.cpus", 2**4.5 / 1e5)
    (line,) = [one for one in ax.collections if isinstance(one, ContourSet)]
    (points,) = line.allsegs[0]
    inside = points[((points >= 0) & (points <= 4)).all(axis=1)]
    assert len(inside) > 4
    assert inside.sum(axis=1) == pytest.approx(4.5)


def test_a_number_on_a_tile_gives_way_to_the_line():
    ax = phase_diagram(PLANE, "lost_share", RATE, "machine.cpus", 0.0112)
    (line,) = [one for one in ax.collections if isinstance(one, ContourSet)]
    crossed = next(text for text in ax.texts if text.get_text() == "1.12 %")
    others = [text for text in ax.texts[:9] if text is not crossed]
    assert np.abs(line.allsegs[0][0] - crossed.get_position()).max(axis=1).min() > 0.1
    assert crossed.get_position() != (1, 2)
    assert sum(text.get_position() == (round(text.get_position()[0]), round(text.get_position()[1]))
               for text in others) >= 5  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "text", "said"),
    [
        ("lost_share", "1%", "above 1 % from 20/s on, at 56 CPUs"),
        ("lost_share", "0.01", "above 1 % from 20/s on, at 56 CPUs"),
        ("latency_mean_ps", "8.5us", "above 8.5 µs from 100/s on, at 56 CPUs"),
    ],
)
def test_a_threshold_can_be_text_with_the_unit_of_the_metric(metric: str, text: str, said: str):
    # Cells are numbered along the rates 100/s, 2/s, 20/s: the ninth, of 56 CPUs, takes 9 us.
    sweep = MadeUpSweep({**AXES, RATE: ("2/s", "20/s", "100/s")}, lost)
    assert title(phase_diagram(sweep, metric, RATE, "machine.cpus", text)).endswith(said)


@pytest.mark.parametrize("text", ["", "much", "3us", "-1%", "0", "nan", "inf%", "1 % %"])
def test_a_threshold_that_is_no_share_is_an_error_that_says_what_would_be(text: str):
    with pytest.raises(UnitError, match=r"1% or 0\.01"):
        phase_diagram(PLANE, "lost_share", threshold=text)


@pytest.mark.parametrize("text", ["", "30", "1%", "-3us", "0us"])
def test_a_threshold_that_is_no_time_is_an_error_that_says_what_would_be(text: str):
    with pytest.raises(UnitError, match="20us"):
        phase_diagram(PLANE, "latency_mean_ps", threshold=text)


def test_words_have_bars_of_their_own_and_no_band_between_them():
    sweep = MadeUpSweep({"kernel": ("linux-6.1-x86_64", "linux-6.18-x86_64")}, lambda _: 0.01)
    ax = curves(sweep)
    (bars,) = ax.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    rows = sweep.intervals("lost_share")
    assert ends == [pytest.approx([row.low, row.high]) for row in rows.itertuples()]
    assert ax.texts[-1].get_text().startswith("Bars")


def test_long_words_below_the_axes_are_slanted_and_short_ones_are_not():
    names = tuple(f"linux-6.{number}-x86_64" for number in range(8))
    ax = curves(MadeUpSweep({"kernel": names}, lambda _: 0.01))
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {30}
    assert {label.get_rotation() for label in curves(LINE).get_xticklabels()} == {0}


def test_numbers_go_from_left_to_right_even_where_there_are_more_words():
    axes = {"kernel": ("a", "b", "c", "d"), "machine.cpus": (2, 8)}
    sweep = MadeUpSweep(axes, lambda _kernel, cpus: cpus)
    assert heat_map(sweep).get_xlabel() == curves(sweep).get_xlabel() == "CPUs"


@pytest.mark.parametrize(
    ("per_cpu", "said"),
    [
        (0.0, "CPU time lost: 0 % at 2 CPUs as at 56 CPUs"),
        (1e-8, "CPU time lost: < 0.001 % at 2 CPUs and at 56 CPUs"),  # 28 times as much
    ],
)
def test_what_is_too_little_to_be_written_is_not_told_as_equal(per_cpu: float, said: str):
    assert title(curves(MadeUpSweep(LINE.axes, lambda cpus: cpus * per_cpu))) == said


def test_p99_stays_a_symbol_where_a_sentence_begins_with_it():
    assert measure_of("latency_p99_ps").title.startswith("p99 of the latency")
    assert measure_of("latency_mean_ps").title.startswith("Mean latency")


def test_no_title_is_cut_off_beside_long_names():
    path = "workloads.a_name_that_somebody_chose.arrival.poisson"
    ax = tornado(MadeUpSweep({path: ("1/s", "2/s"), "machine.cpus": (2, 8)},
                             lambda rate, cpus: lost(cpus, rate) * 100))  # fmt: skip
    ax.figure.canvas.draw()
    for text in (ax.title, ax._left_title, *ax.texts):
        assert text.get_window_extent().x1 <= ax.figure.bbox.x1
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[1] == "arrival poisson\n(a_name_that_somebody_chose)"


def test_of_chosen_points_a_tornado_compares_the_outer_thirds():
    # 30 points; the metric is the rate alone: means of 1 to 10 and of 21 to 30 thousandths.
    rates = [(7 * number) % 31 + 0.123456 for number in range(1, 31)]
    axes = {RATE: tuple(f"{rate:.6f}/s" for rate in rates), "machine.cpus": tuple(range(2, 32))}
    ax = tornado(Chosen(axes, lambda rate, _cpus: float(rate[:-2]) / 1000))
    assert ax.get_yticklabels()[0].get_text() == "arrival poisson\n(modules)"
    ends = sorted(bar.get_x() + bar.get_width() for bar in ax.patches[:2])
    assert ends == pytest.approx([0.005623456, 0.025623456])
    assert {"1.12/s to 10.1/s", "21.1/s to 30.1/s"} <= {text.get_text() for text in ax.texts}
    assert "lowest and the highest third" in ax.texts[-1].get_text().replace("\n", " ")


def test_the_axis_of_a_tornado_has_no_ticks_where_the_metric_cannot_be():
    ax = tornado(LINE)
    assert min(ax.get_xticks()) >= 0 > ax.get_xlim()[0]


@pytest.mark.parametrize("figure", [curves, heat_map, phase_diagram, tornado, flush_cost])
def test_a_figure_of_a_sweep_is_drawn_on_the_axes_given(figure: Callable[..., Any]):
    ax = plt.figure().add_subplot()
    assert figure(PLANE, ax=ax) is ax
    assert ax.get_label()
    assert not ax.get_title(loc="left")


def test_a_tornado_puts_the_axis_that_matters_most_on_top():
    weak = MadeUpSweep({"workloads.a.order": (1, 2), **LINE.axes}, lambda order, cpus: cpus + order)
    ax = tornado(weak)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["CPUs", "order (a)"]
    ends = sorted(bar.get_x() + bar.get_width() for bar in ax.patches[:2])
    assert ends == pytest.approx([3.5, 57.5])


def test_flush_cost_of_a_sweep_is_the_mean_latency_along_its_axis():
    ax = flush_cost(LINE)
    assert ax.get_lines()[0].get_ydata() == pytest.approx([1e6, 2e6, 3e6])
    assert ax.get_ylabel() == "Mean latency of a shootdown"


def test_the_figures_fit_the_number_of_axes():
    def kinds(sweep: MadeUpSweep) -> list[str]:
        return [name.partition("-")[0] for name in sweep_figures(sweep, ["lost_share"])]

    assert kinds(LINE) == ["curves"]
    assert kinds(PLANE) == ["curves", "heat_map", "phase_diagram"]
    assert kinds(MadeUpSweep({**AXES, "seed": (1, 2)}, lost)) == ["tornado"]
    # Between two names there is no place for a line.
    named = {"machine.cpus": (2, 8), "kernel.shootdown": ("ipi", "rar")}
    assert kinds(MadeUpSweep(named, lambda cpus, _protocol: lost(cpus, "2/s"))) == [
        "curves", "heat_map",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: curves(LINE, "lost_shares"), "did you mean lost_share"),
        (lambda: curves(LINE, x="machine.cpu"), "did you mean machine.cpus"),
        (lambda: heat_map(LINE), "needs 2 axes"),
        (lambda: heat_map(MadeUpSweep({**AXES, "seed": (1, 2)}, lost)), "seed too: choose"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_names_the_way_out(call, said):
    with pytest.raises(ResultError, match=said):
        call()


def test_a_value_of_a_further_axis_is_chosen_with_where():
    sweep = MadeUpSweep({**AXES, "seed": (1, 2)}, lambda cpus, rate, seed: seed * lost(cpus, rate))
    ax = heat_map(sweep, x=RATE, y="machine.cpus", where={"seed": 2})
    assert np.nanmax(ax.collections[0].get_array()) == pytest.approx(0.112)


@pytest.mark.parametrize("metric", ["lost_share", "latency_mean_ps"])
def test_nothing_that_is_written_around_a_figure_of_a_sweep_is_cut_off(metric):
    for drawing in drawings(PLANE, [metric]):
        figure = drawing._drawn()
        FigureCanvasAgg(figure).draw()
        for ax in figure.axes:
            around = ax.get_tightbbox()
            assert min(around.x0, around.y0) >= 0, drawing.name
            assert around.x1 <= figure.bbox.width, drawing.name
            assert around.y1 <= figure.bbox.height, drawing.name
