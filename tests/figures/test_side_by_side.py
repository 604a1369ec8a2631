"""Protocols side by side: what each costs along the number of CPUs, and where two of them meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
import pytest

import pmsim
from pmsim.errors import ResultError
from pmsim.figures import side_by_side
from pmsim.figures.form import form_of, formed
from pmsim.figures.gallery import drawings

COSTS: Mapping[str, tuple[float, float]] = {
    "ipi": (1e6, 1e5),
    "tlbi,repeat_sync=per_sync": (5e6, 0.0),
    "coherent": (0.0, 0.0),
}
"""What a shootdown costs on no CPU, and for each; picoseconds."""
CPUS = (2, 8, 64, 512)


@dataclass
class OfProtocols:
    """A sweep of protocols and CPUs that nobody ran; costs are straight lines."""

    axes: Mapping[str, tuple[Any, ...]]

    @property
    def cells(self) -> pd.DataFrame:
        return pd.DataFrame(list(product(*self.axes.values())), columns=list(self.axes))

    @property
    def frame(self) -> pd.DataFrame:
        fixed = self.cells["kernel.shootdown"].map(lambda name: COSTS[name][0])
        each = self.cells["kernel.shootdown"].map(lambda name: COSTS[name][1])
        waits = fixed + each * self.cells["machine.cpus"]
        return self.cells.assign(latency_mean_ps=waits, taken_mean_ps=2 * waits)

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        mean = self.frame[name]
        return self.cells.assign(mean=mean, low=float("nan"), high=float("nan"), n=1)


SWEEP = OfProtocols({"kernel.shootdown": tuple(COSTS), "machine.cpus": CPUS})


def test_two_protocols_meet_where_they_cost_the_same() -> None:
    """1 + 0.1 n is 5 where n is 40."""
    found = side_by_side.side_by_side(SWEEP, "latency_mean_ps")
    assert found is not None
    (crossing,) = found.crossings
    assert (crossing.cheaper, crossing.dearer) == ("tlbi,repeat_sync=per_sync", "ipi")
    assert crossing.at == pytest.approx(40)
    assert [name for name, _ in found.ranking(0)] == [
        "coherent", "ipi", "tlbi,repeat_sync=per_sync",
    ]  # fmt: skip
    assert found.ranking(3)[-1] == ("ipi", 1e6 + 512 * 1e5)


def test_the_figure_draws_a_line_for_each_protocol_and_tells_the_far_end() -> None:
    found = side_by_side.side_by_side(SWEEP, "latency_mean_ps")
    assert found is not None
    assert side_by_side.says(found)
    ax = pmsim.plot.protocols(SWEEP)
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [4, 4, 4]
    title = str(ax.get_title(loc="left")).replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert title == ("A shootdown's initiator waits: 0 s (coherent) to 52.2 µs (ipi) at 512 CPUs")
    assert {"ipi", "coherent", "tlbi, per_sync"} <= {text.get_text() for text in ax.texts}


def test_a_sweep_of_something_else_is_refused_with_what_is_needed() -> None:
    only_cpus = OfProtocols({"machine.cpus": CPUS, "kernel.shootdown": ("ipi",)})
    with pytest.raises(ResultError, match=r"needs a sweep over kernel\.shootdown and one axis"):
        pmsim.plot.protocols(only_cpus)
    with pytest.raises(ResultError, match="no metric 'latency'"):
        pmsim.plot.protocols(SWEEP, "latency")


def test_it_is_drawn_of_sweeps_that_vary_protocols_and_a_number_and_of_no_others() -> None:
    assert "protocols" in [one.name for one in drawings(SWEEP)]
    with formed(form_of("3.3in")):
        names = [one.name for one in drawings(SWEEP)]
    assert {"protocols_latency_mean_ps", "protocols_taken_mean_ps"} <= set(names)
    for axes in (
        {"machine.cpus": CPUS, "kernel.shootdown": ("ipi",)},
        {"kernel.shootdown": tuple(COSTS), "machine.cpus": (2,)},
        {"kernel.shootdown": tuple(COSTS), "machine.cpus": CPUS, "kernel.rodata": ("on", "full")},
    ):
        found = side_by_side.side_by_side(OfProtocols(axes), "latency_mean_ps")
        assert not side_by_side.says(found)
