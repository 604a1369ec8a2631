"""The plan: what is measured, what of it is held out; and which cells count."""

from __future__ import annotations

import pytest

from pmsim.calibration.calibrate import idle_times
from pmsim.calibration.cells import HELD_OUT, Cell, plan
from pmsim.calibration.measured import FEWEST, judged
from tests.calibration.made_up import ONE, measured


def test_every_third_cell_is_held_out_and_no_cell_stands_twice() -> None:
    for cells in (plan(33, [], [], []), plan(33, range(1, 64), (32,), (100_000, 2_000_000))):
        assert len(set(cells)) == len(cells)
        assert len({cell.name for cell in cells}) == len(cells)
        held = [at for at, cell in enumerate(cells) if cell.held_out]
        assert held == list(range(1, len(cells), HELD_OUT))


def test_both_sides_of_the_ceiling_are_measured() -> None:
    for ceiling in (33, 64, 512):
        pages = {cell.pages for cell in plan(ceiling, [1], [], []) if cell.call == "mprotect"}
        assert {ceiling - 1, ceiling} <= pages


def test_with_one_cpu_only_calls_by_themselves_are_measured() -> None:
    assert {cell.others for cell in plan(33, [], [], [])} == {"none"}


def test_other_threads_are_one_near_one_of_each_distance_and_doubled_up_to_all() -> None:
    cells = plan(33, range(1, 12), (8,), [])
    counts = {len(cell.cpus) for cell in cells if cell.others == "spinning"}
    assert counts == {1, 2, 4, 8, 11}
    assert {cell.cpus for cell in cells if len(cell.cpus) == 1} == {(1,), (8,)}


def test_sleepers_are_idle_for_as_long_as_each_state_of_the_nearest_platform_takes() -> None:
    # On kvm-milan a CPU that has been idle for 200 µs is halted.
    shallow, deep = idle_times("kvm-milan")
    assert shallow * 5 / 4 < 200_000 < deep * 3 / 4


SPINS = Cell("mprotect", others="spinning", cpus=ONE)


@pytest.mark.parametrize(
    ("interrupts", "silent", "why"),
    [
        (0.9, False, ""),
        (0.89, False, "only 0.89 interrupts a sample"),
        (None, False, "interrupts cannot be counted"),
        (0.0, True, ""),  # a broadcast interrupts nobody
    ],
)
def test_a_cell_counts_only_if_interrupts_are_proven(
    interrupts: float | None, silent: bool, why: str
) -> None:
    assert judged(SPINS, [5000] * FEWEST, interrupts, silent=silent).refused == why


def test_cells_that_tell_nobody_need_no_proof_but_samples() -> None:
    alone = Cell("mprotect")
    assert judged(alone, [5000] * FEWEST, None, silent=False).counts
    few = judged(alone, [5000] * (FEWEST - 1), None, silent=False)
    assert few.refused == "only 19 samples"
    assert judged(alone, [], None, silent=False).refused == "only 0 samples"
    nothing = judged(alone, [-3] * FEWEST, None, silent=False)
    assert nothing.refused == "not longer than reading the clock"


def test_the_median_stands_though_a_third_of_the_samples_were_interrupted() -> None:
    samples = [1000] * 70 + [1_000_000] * 30
    one = judged(Cell("mprotect"), samples, None, silent=False)
    assert one.ns == 1000
    assert one.between == (1000, 1000)
    assert one.noise == 0


def test_noise_is_what_order_statistics_say_of_the_median() -> None:
    one = judged(Cell("mprotect"), list(range(1, 101)), None, silent=False)
    # Binomial, 100 samples: the 40th and the 61st hold the median in 95 of 100 (Conover 1999).
    assert one.between[0] == pytest.approx(40, abs=1)
    assert one.between[1] == pytest.approx(61, abs=1)


def test_made_up_cells_have_the_median_that_they_were_made_with() -> None:
    assert measured(SPINS, 5000).ns == 5000
