"""What guests get done of their share of a host: on sweeps that nobody ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pandas as pd
import pytest

import pmsim
from pmsim.errors import ResultError
from pmsim.figures import overcommitted
from pmsim.figures.gallery import drawings
from pmsim.figures.overcommitted import HELD_UP, OVERCOMMIT, PV_FLUSH, RATE, Guests
from pmsim.report.guest_words import guest_words

EXIT: Final = "machine.host.exit"
DONE: Final[Mapping[tuple[int, bool], float]] = {
    (1, False): 900.0, (2, False): 45.0, (3, False): 30.0,
    (1, True): 900.0, (2, True): 450.0, (3, True): 330.0,
}  # fmt: skip
"""Shootdowns a second by how many share a CPU, and whether frozen ones are left out."""


@dataclass
class OfGuests:
    """A sweep of guests that nobody ran; an exit makes a hundredth of difference."""

    axes: Mapping[str, tuple[Any, ...]]

    @property
    def cells(self) -> pd.DataFrame:
        return pd.DataFrame(list(product(*self.axes.values())), columns=list(self.axes))

    @property
    def frame(self) -> pd.DataFrame:
        cells = self.cells
        rates = [
            DONE[row[OVERCOMMIT], bool(row.get(PV_FLUSH, False))]
            * (1.01 if row.get(EXIT) == "0ns" else 1.0)
            for row in cells.to_dict("records")
        ]
        named = cells.assign(cell=range(len(cells)), replication=0)
        frozen = [float("nan") if row[OVERCOMMIT] == 1 else 1e9 * row[OVERCOMMIT]
                  for row in cells.to_dict("records")]  # fmt: skip
        return named.assign(
            broadcasts_per_s=rates, latency_mean_ps=[1e9 / one for one in rates], held_up_ps=frozen
        )

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        mean = self.frame[name]
        return self.cells.assign(mean=mean, low=float("nan"), high=float("nan"), n=1)


SWEEP: Final = OfGuests({OVERCOMMIT: (1, 2, 3), PV_FLUSH: (False, True), EXIT: ("785ns", "0ns")})


def taken(sweep: OfGuests, metric: str = RATE) -> Guests:
    found = overcommitted.of_guests(sweep, metric)
    assert found is not None
    return found


def test_a_share_is_what_is_done_times_how_many_share_by_what_is_done_alone() -> None:
    done = taken(SWEEP).done
    assert done[False,].tolist() == pytest.approx([1, 2 * 45 / 900, 3 * 30 / 900])
    assert done[True,].tolist() == pytest.approx([1, 2 * 450 / 900, 3 * 330 / 900])


def test_gains_are_by_how_many_share() -> None:
    gains = taken(SWEEP).gains
    assert gains is not None
    assert gains.tolist() == pytest.approx([1, 10, 11])
    assert taken(OfGuests({OVERCOMMIT: (1, 2)})).gains is None


def test_what_makes_next_to_no_difference_has_no_lines() -> None:
    found = taken(SWEEP)
    assert [axis.path for axis in found.others] == [PV_FLUSH]
    assert [axis.path for axis in found.same] == [EXIT]
    label = pmsim.plot.guests(SWEEP).get_label()  # type: ignore[arg-type]
    assert "Host exit (0 ns, 785 ns) makes less than 10 % of difference" in str(label)


def test_the_answer_tells_shares_and_gains() -> None:
    shares, gains, held_up = guest_words(SWEEP)  # type: ignore[arg-type]
    assert "ordinary flushes 10 % with 2 to a CPU, 10 % with 3 to a CPU" in shares
    assert "paravirtual flushes 100 % with 2 to a CPU, 110 % with 3 to a CPU" in shares
    assert "1 times with 1, 10 times with 2, 11 times with 3" in gains
    assert "(lock-holder preemption): 2 ms with 2 to a CPU, 3 ms with 3 to a CPU." in held_up


def test_holders_of_locks_are_frozen_for_nothing_where_each_has_a_cpu() -> None:
    (row,) = taken(SWEEP, HELD_UP).values.values()
    assert row.tolist() == [0, 2e9, 3e9]
    axes = pmsim.plot.guests(SWEEP, HELD_UP)  # type: ignore[arg-type]
    assert axes.get_yscale() == "linear"
    assert "lock holders frozen" in axes.get_ylabel().lower() or axes.get_title()


def test_a_sweep_that_was_interrupted_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = OfGuests.intervals
    monkeypatch.setattr(OfGuests, "intervals", lambda *of: whole(*of).iloc[:1])
    assert overcommitted.of_guests(SWEEP, RATE) is None


@pytest.mark.parametrize(
    "axes",
    [{OVERCOMMIT: (2, 3)}, {PV_FLUSH: (False, True), OVERCOMMIT: (1,)}],
    ids=["nobody alone", "nothing shared"],
)
def test_other_sweeps_are_refused_and_not_drawn(axes: dict[str, tuple[Any, ...]]) -> None:
    sweep = OfGuests(axes)
    assert guest_words(sweep) == []  # type: ignore[arg-type]
    assert "guests" not in [one.name for one in drawings(sweep, [RATE])]
    with pytest.raises(ResultError, match=r"a sweep over machine\.host\.overcommit, from 1 on"):
        pmsim.plot.guests(sweep)  # type: ignore[arg-type]
