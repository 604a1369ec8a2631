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
from pmsim.figures import isolation, side_by_side, wakeups
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
        (of,) = self.axes.keys() - {"machine.cpus"}
        fixed = self.cells[of].map(lambda name: COSTS[name][0])
        each = self.cells[of].map(lambda name: COSTS[name][1])
        waits = fixed + each * self.cells["machine.cpus"]
        waited = {"latency_mean_ps": waits, "operation_mean_ps[pmalloc_protect_pool]": 64 * waits}
        return self.cells.assign(**waited, taken_mean_ps=2 * waits, pool_stale_ps=3 * waits)

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        mean = self.frame[name]
        return self.cells.assign(mean=mean, low=float("nan"), high=float("nan"), n=1)


SWEEP = OfProtocols({"kernel.shootdown": tuple(COSTS), "machine.cpus": CPUS})
VARIANTS = OfProtocols({"together": tuple(COSTS), "machine.cpus": CPUS})


@dataclass
class Made:
    """A sweep over one axis that nobody ran, with metrics by column."""

    axis: str
    labels: tuple[Any, ...]
    metrics: Mapping[str, tuple[float, ...]]

    @property
    def axes(self) -> Mapping[str, tuple[Any, ...]]:
        return {self.axis: self.labels}

    @property
    def cells(self) -> pd.DataFrame:
        return pd.DataFrame({self.axis: self.labels})

    @property
    def frame(self) -> pd.DataFrame:
        return self.cells.assign(**self.metrics)

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        mean = self.frame[name]
        return self.cells.assign(mean=mean, low=float("nan"), high=float("nan"), n=1)


ISOLATED = Made(
    "kernel.shootdown",
    ("ipi", "deferred", "deferred,defers=all"),
    {
        "latency_mean_ps": (3e6, 2e6, 1e6),
        "isolated_interrupts_per_s": (2.0, 1.0, 0.0),
        "isolated_own_share": (1 - 1e-9, 1 - 2e-9, 1.0),
        "isolated_longest_ps": (5e5, 9e5, 0.0),
    },
)
PACES = Made(
    "workloads.policies.arrival.every",
    ("15us", "1ms", "10ms"),
    {
        "latency_mean_ps": (8e6, 1e8, 1.4e8),
        "waking_share": (0.25, 0.9, 0.95),
        "woken": (550.0, 550.0, 550.0),
        "broadcasts": (10.0, 10.0, 10.0),
    },
)


def test_a_day_of_an_isolated_cpu_is_drawn_with_a_bar_for_each_protocol() -> None:
    """2 a second are 172,800 a day; a billionth of a day is 86.4 µs."""
    found = isolation.of_isolated(ISOLATED, "isolated_interrupts_per_s")
    assert found is not None
    assert found.values.tolist() == [172_800, 86_400, 0]
    taken = isolation.of_isolated(ISOLATED, "isolated_own_share")
    assert taken is not None
    assert taken.values == pytest.approx([86.4e6, 172.8e6, 0], rel=1e-5)
    assert isolation.message(taken).endswith(": 0 s (deferred,defers=all) to 173 µs (deferred)")
    assert isolation.of_isolated(PACES, "isolated_own_share") is None


def test_what_of_a_latency_is_waking_is_told_where_it_is_most() -> None:
    found = wakeups.parts(PACES)
    assert found is not None
    assert found.waking.tolist() == pytest.approx([2e6, 9e7, 1.33e8])
    assert found.woken.tolist() == [55, 55, 55]
    assert wakeups.message(found) == "95 % of a shootdown's 140 µs is waking CPUs at 10 ms"
    assert wakeups.says(found)
    awake = Made(PACES.axis, PACES.labels, {**PACES.metrics, "waking_share": (0.0, 0.01, 0.02)})
    assert not wakeups.says(wakeups.parts(awake))
    with pytest.raises(ResultError, match="one axis of numbers"):
        pmsim.plot.waking(SWEEP)


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


def test_variants_of_several_keys_are_compared_by_what_protecting_a_pool_takes() -> None:
    metric = "operation_mean_ps[pmalloc_protect_pool]"
    found = side_by_side.side_by_side(VARIANTS, metric, side_by_side.TOGETHER)
    assert found is not None
    assert found.values["ipi"].tolist() == [64 * (1e6 + 1e5 * cpus) for cpus in CPUS]
    assert [(one.cheaper, one.dearer) for one in found.crossings] == [
        ("tlbi,repeat_sync=per_sync", "ipi")
    ]
    assert "variants" in [one.name for one in drawings(VARIANTS, [metric])]
    assert "protocols" not in [one.name for one in drawings(VARIANTS, ["latency_mean_ps"])]
