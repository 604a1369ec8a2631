"""Every figure in the column of a paper: read without a glass, in print, and by everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

import pmsim.figures
from pmsim.errors import UnitError
from pmsim.figures import look
from pmsim.figures.choice import sweep_figures
from pmsim.figures.form import COLUMN, form_of, formed
from pmsim.figures.gallery import GALLERY, Drawing, drawings
from pmsim.figures.parts import MARKS
from pmsim.figures.published import experiment_drawings, truth_drawings
from pmsim.figures.swept import in_words
from tests.figures.made_up import (
    MS,
    PROTECT,
    MadeUp,
    cpu_timeline,
    interruptions,
    many_crosscalls,
    one_call,
    operations,
    timeline,
)
from tests.figures.test_designs import SWEEP as DESIGNS
from tests.figures.test_overcommitted import SWEEP as GUESTS
from tests.figures.test_published import points
from tests.figures.test_side_by_side import ISOLATED, PACES, VARIANTS
from tests.figures.test_side_by_side import SWEEP as PROTOCOLS
from tests.figures.test_sweeps import MadeUpSweep
from tests.figures.test_swings import Constant, Found, Sensitivity
from tests.summaries import transient, with_transients

KINDS = ("load_module", "do_init_module", "__vmalloc_node_range_noprof", "set_direct_map_ro")


def a_result(n_cpus: int) -> MadeUp:
    """Return a result with long names, long keys, a late transient and a tail."""
    rng = np.random.default_rng(7)
    rows = list(PROTECT) + [(10 + i, None, kind, 3, 10**9 >> i, 500, 10**8 >> i, 10**7)
                            for i, kind in enumerate(KINDS)]  # fmt: skip
    counts = np.concatenate([rng.poisson(90, 60), rng.poisson(2, 140)])
    grid = rng.random((n_cpus, 200)) ** 8 * MS
    waits = {1: ("idle_exit", 10**6), 2: ("ride", 500), 3: ("irqs_off", 2 * 10**6)}
    return MadeUp(
        operations=operations(*rows),
        crosscalls=many_crosscalls(5000, n_cpus),
        timeline=timeline(counts, MS, **ranges_of_addresses(rng)),
        interruptions=interruptions(
            *(
                (cpu, start, start, start + int(length), True, cause)
                for cpu in (2, 3)
                for start, length in enumerate(rng.lognormal(14, 1, 1000))
                for cause in [("purge", "attributes", "text_poke")[start % 3]]
            )
        ),
        cpu_timeline=cpu_timeline(grid, grid[::-1], MS),
        anatomy=pd.concat(
            one_call(which, waits if which == "slowest" else {}, n_cpus, step)
            for which, step in (("median", 10**5), ("p99", 3 * 10**5), ("slowest", 9 * 10**5))
        ),
        summary=with_transients(transient(60 * MS, per_s_after=2000.0)),
    )


def ranges_of_addresses(rng: np.random.Generator) -> dict[str, Any]:
    """Return a vmalloc range of 32 bits in which areas are purged, and another of modules."""
    lazy = np.arange(200) * 150 % 6000
    modules = 900 + rng.integers(0, 80, 200)
    return {
        "lazy_pages": lazy, "vmalloc_pages": 20_000 + lazy, "vmalloc_hole_pages": 9000 - lazy,
        "modules_pages": modules, "modules_hole_pages": np.full(200, 300_000),
    }  # fmt: skip


def a_sweep(**axes: tuple[Any, ...]) -> MadeUpSweep:
    named = {name.replace("__", "."): values for name, values in axes.items()}
    weights = np.linspace(1, 3, len(named))

    def lost(*values: Any) -> float:
        places = [
            list(axis).index(value) for axis, value in zip(named.values(), values, strict=True)
        ]
        return 0.002 * (1 + float(weights @ np.array(places)))

    return MadeUpSweep(named, lost)


KERNELS = ("linux-5.10-arm64", "linux-6.1-x86_64", "linux-6.12-x86_64-invlpgb")
SWEEPS = {
    "line": a_sweep(machine__cpus=(2, 8, 56, 112, 224, 448)),
    "lines": a_sweep(
        workloads__first__pool__refill=("64KiB", "256KiB", "1MiB"), kernel__profile=KERNELS
    ),
    "plane": a_sweep(
        machine__cpus=(2, 8, 56, 112, 448), workloads__modules__arrival__poisson=("2/s", "20/s")
    ),
    "wide plane": a_sweep(
        machine__cpus=tuple(range(2, 40)), workloads__modules__arrival__poisson=("2/s", "20/s")
    ),
    "space": a_sweep(
        machine__cpus=(2, 448),
        kernel__profile=KERNELS[1:],
        workloads__first__pool__refill=("64KiB", "1MiB"),
        workloads__modules__arrival__poisson=("2/s", "20/s"),
        kernel__costs__purge_area_lookup=("5ns", "20ns"),
    ),
}
SENSITIVITY = Sensitivity(
    Found(
        tuple(
            Constant(
                f"costs.ipi.delivery_other_socket_{n}", 0.5 / n, 0.02 - 0.01 / n, 0.02 + 0.02 / n
            )
            for n in range(1, 9)
        )
    )
)
POINTS = points(*((10 * 2**n, 8 * 2**n * (1 + n % 3)) for n in range(9)))


def every_drawing() -> Iterator[tuple[str, Drawing]]:
    for drawing in drawings(a_result(8)):
        yield f"{drawing.name} of 8 CPUs", drawing
    for drawing in drawings(a_result(448)):
        if "anatomy" in drawing.name:
            yield f"{drawing.name} of 448 CPUs", drawing
    for name, sweep in SWEEPS.items():
        for drawing in drawings(sweep, ["lost_share"]):
            yield f"{drawing.name} of a {name}", drawing
    answered = {
        "latency_mean_ps": (PROTOCOLS, PACES, GUESTS),
        "isolated_interrupts_per_s": (ISOLATED,),
    }
    for metric, sweep in ((name, one) for name, several in answered.items() for one in several):
        for drawing in drawings(sweep, [metric]):
            yield f"{drawing.name} of answers to {len(sweep.cells)}", drawing
    for drawing in drawings(VARIANTS, ["operation_mean_ps[pmalloc_protect_pool]"]):
        if drawing.name.startswith("variants"):
            yield drawing.name, drawing
    for drawing in drawings(DESIGNS, ["pool_paid_ps"]):
        yield f"{drawing.name} of designs", drawing
    for drawing in [*drawings(SENSITIVITY), *truth_drawings(POINTS)]:
        yield drawing.name, drawing
    for drawing in experiment_drawings(POINTS, "CPUs that run"):
        yield "experiment", drawing


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    """Return every figure in the column of a paper, drawn, with places for all that is on it."""
    drawn = {}
    with formed(COLUMN), look.themed():
        for name, drawing in every_drawing():
            figure = drawing._drawn()
            FigureCanvasAgg(figure).draw()
            drawn[name] = figure
    return drawn


def texts(figure: Figure) -> list[Text]:
    """Return the texts that are seen."""
    every = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    ticks = {
        id(label)
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
    }
    shown = {
        id(label)
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        if ax.axison
        for tick in axis._update_ticks()
        for label in (tick.label1, tick.label2)
    }
    return [text for text in every
            if text.get_text().strip()
            and (id(text) not in ticks or id(text) in shown)]  # fmt: skip


def boxes(figure: Figure) -> list[tuple[str, Any]]:
    renderer = figure.canvas.get_renderer()
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))  # without the arrow of a note
        for text in texts(figure)
    ]


def test_all_kinds_of_figures_are_looked_at(figures: dict[str, Figure]) -> None:
    kinds = {name.split(" of ")[0].split("-")[0] for name in figures}
    assert kinds == {
        "operation_cost", "flush_cost", "broadcast_timeline", "latency_distribution",
        "interruption_lengths", "address_space_vmalloc", "address_space_modules",
        "cpus_over_time_stolen", "cpus_over_time_spin", "anatomy_median", "anatomy_p99",
        "anatomy_slowest", "curves", "heat_map", "phase_diagram", "tornado", "constants",
        "agreement", "misses", "sides", "experiment", "protocols_latency_mean_ps",
        "protocols_taken_mean_ps", "protocols_pool_stale_ps",
        "isolation_isolated_interrupts_per_s",
        "isolation_isolated_own_share", "waking", "pareto", "guests_broadcasts_per_s",
        "guests_latency_mean_ps", "guests_held_up_ps", "variants_operation_mean_ps",
        "variants_pool_stale_ps",
    }  # fmt: skip


def test_figures_are_as_large_as_a_column_allows(figures: dict[str, Figure]) -> None:
    assert {tuple(figure.get_size_inches()) for figure in figures.values()} == {(3.3, 2.4)}


def test_no_letters_are_too_small_to_be_read(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for text in texts(figure):
            assert 6.5 <= text.get_fontsize() <= 8, (name, text.get_text())


def test_no_text_lies_on_another(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for (one, a), (other, b) in combinations(boxes(figure), 2):
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            # Boxes of texts are a little higher than their letters.
            assert width <= 1 or height <= 0.2 * min(a.height, b.height), (name, one, other)


def test_no_text_leaves_the_figure(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for text, box in boxes(figure):
            assert min(box.x0, box.y0) >= -1, (name, text)
            assert box.x1 <= figure.bbox.x1 + 1, (name, text)
            assert box.y1 <= figure.bbox.y1 + 1, (name, text)


def test_no_text_lies_on_data_but_numbers_on_their_tiles(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        if name.startswith(("heat_map", "phase_diagram")):
            continue
        places = boxes(figure)
        seen = texts(figure)
        for one in seen:
            one.set_alpha(0)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        grey = np.asarray(canvas.buffer_rgba())[::-1, :, :3].mean(axis=2)
        for text, box in places:
            # The middle of the letters, where strokes of an axis or a grid do not come.
            x0, x1 = int(box.x0) + 1, int(np.ceil(box.x1)) - 1
            y0, y1 = int(box.y0 + 0.25 * box.height), int(box.y1 - 0.25 * box.height)
            under = grey[max(y0, 0) : y1, max(x0, 0) : x1]
            assert not under.size or (under < 215).mean() < 0.02, (name, text)


def lightness(colour: Any) -> float:
    """Return L* of CIE 1976: what is left of a colour in print without colours."""
    luminance = float(_linear(colour) @ np.array([0.2126, 0.7152, 0.0722]))
    return 116 * float(np.cbrt(luminance)) - 16


def _linear(colour: Any) -> np.ndarray:
    part = np.array(to_rgb(colour))
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision
# Deficiency, IEEE TVCG 15(6), 2009, table 1: severity 1, of linear red, green and blue.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# From linear sRGB to XYZ, for D65 (IEC 61966-2-1).
XYZ = np.array([
    [0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505],
])  # fmt: skip


def seen_by(colour: Any, matrix: Any) -> np.ndarray:
    """Return L*, a*, b* of a colour as somebody sees it."""
    linear = np.clip(np.array(matrix) @ _linear(colour), 0, 1)
    x, y, z = np.cbrt(XYZ @ linear / (XYZ @ np.ones(3)))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def keys(figure: Figure) -> Iterator[list[tuple[str, Any, Any]]]:
    """Yield what each key names: the words, the colour, and the hatching, stroke or marker."""
    for legend in figure.findobj(Legend):
        handles = zip(legend.legend_handles, legend.get_texts(), strict=True)
        yield [
            (
                text.get_text(),
                getattr(handle, "get_facecolor", getattr(handle, "get_color", None))(),
                getattr(handle, "get_hatch", lambda: None)()
                or getattr(handle, "get_linestyle", lambda: None)(),
                getattr(handle, "get_marker", lambda: None)(),
            )
            for handle, text in handles
        ]


APART = 8.0
"""Differences of L*, or in the space of L*, a* and b*, that one sees at a glance: a just noticeable
one is 2.3 (Mahy, Van Eycken, Oosterlinck 1994)."""


def told_apart(figures: dict[str, Figure], far: Callable[[Any, Any], float]) -> None:
    for name, figure in figures.items():
        for named in keys(figure):
            for one, other in combinations(named, 2):
                if one[2:] == other[2:]:
                    assert far(one[1], other[1]) >= APART, (name, one[0], other[0])


def test_what_a_key_names_is_told_apart_in_greys(figures: dict[str, Figure]) -> None:
    told_apart(figures, lambda a, b: abs(lightness(a) - lightness(b)))


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_what_a_key_names_is_told_apart_by_the_colour_blind(
    figures: dict[str, Figure], deficiency: str
) -> None:
    matrix = DEFICIENCIES[deficiency]
    told_apart(figures, lambda a, b: float(np.linalg.norm(seen_by(a, matrix) - seen_by(b, matrix))))


def test_matrices_of_deficiencies_keep_greys() -> None:
    for matrix in DEFICIENCIES.values():
        assert np.array(matrix).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_any_two_parts_of_a_latency_differ_in_lightness_or_in_hatching() -> None:
    """All but those that no figure shows together: of calls by hardware, and exits of handlers."""
    for one, other in combinations(MARKS, 2):
        if "exit" in (one, other) and {"server", "service", "round_trip"} & {one, other}:
            continue
        a, b = MARKS[one], MARKS[other]
        far = abs(lightness(a.colour) - lightness(b.colour))
        assert a.hatch != b.hatch or far >= APART, (one, other)


OF_A_RESULT = (
    pmsim.figures.operation_cost, pmsim.figures.flush_cost, pmsim.figures.broadcast_timeline,
    pmsim.figures.latency_distribution, pmsim.figures.interruption_lengths,
    pmsim.figures.address_space, pmsim.figures.cpus_over_time, pmsim.figures.call_anatomy,
)  # fmt: skip


@pytest.mark.parametrize("figure", OF_A_RESULT)
def test_axes_of_a_column_given_by_somebody_do_not_collapse(figure: Any) -> None:
    """Warnings are errors: "axes sizes collapsed" would be one."""
    drawn, ax = plt.subplots(figsize=(3.3, 2.4), layout="constrained")
    figure(a_result(56), ax=ax)
    drawn.canvas.draw()
    assert ax.get_title(loc="left") == ax.get_title() == ""
    assert len(ax.get_label()) > 20
    assert ax.get_position().height > 0.25
    assert ax.get_position().width > 0.4


def test_a_style_holds_until_it_is_left() -> None:
    before = plt.rcParams["font.size"]
    with pmsim.figures.style("column"):
        ax = pmsim.figures.flush_cost(a_result(8))
        assert tuple(ax.figure.get_size_inches()) == (3.3, 2.4)
        assert plt.subplots()[0].get_size_inches() == pytest.approx([3.3, 2.4], abs=0.1)
        assert plt.rcParams["font.size"] == 7
    assert plt.rcParams["font.size"] == before
    assert pmsim.figures.flush_cost(a_result(8)).figure.get_size_inches()[0] == 9
    pmsim.figures.style("84mm")
    assert plt.rcParams["font.size"] == 7
    pmsim.figures.style("screen")


@pytest.mark.parametrize(
    ("width", "inches"), [("3.3in", 3.3), ("84mm", 3.307), ("8.4cm", 3.307), ("504pt", 7.0)]
)
def test_widths_have_units(width: str, inches: float) -> None:
    assert form_of(width).width == pytest.approx(inches, abs=1e-3)


@pytest.mark.parametrize(
    "width", ["3.3", "in", "-3in", "0in", "1in", "40in", "wide", "3.3 furlongs"]
)
def test_what_is_no_width_is_said_so(width: str) -> None:
    with pytest.raises(UnitError):
        form_of(width)


def test_letters_of_a_pdf_are_in_the_file(tmp_path: Any) -> None:
    path = tmp_path / "flush_cost.pdf"
    with formed(COLUMN):
        flush_cost = GALLERY["flush_cost"][0]
        Drawing("", ((flush_cost, flush_cost.take(a_result(8))),)).save(path)
    content = path.read_bytes()
    assert b"/FontFile2" in content  # a TrueType face, embedded
    assert b"/Type3" not in content
    assert b"/MediaBox [ 0 0 237.6 172.8 ]" in content


def test_sweep_figures_name_their_axes_by_words() -> None:
    panels = sweep_figures(SWEEPS["plane"])["curves-lost_share"]
    with formed(COLUMN), look.themed():
        ax = (
            Drawing("curves", tuple((one, one.take(SWEEPS["plane"])) for one in panels))
            ._drawn()
            .axes[0]
        )
    assert ax.get_xlabel() == "CPUs"
    assert in_words("workloads.first.pool.refill") == "pool refill (first)"
    assert in_words("kernel.costs.purge_area_lookup") == "purge area lookup"
