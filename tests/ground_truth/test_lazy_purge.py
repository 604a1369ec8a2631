"""The lazy purge: after how many freed pages it fires, over what span, and what it finds again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache, partial
from itertools import accumulate
from typing import NamedTuple

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.units import NS, PAGE_SIZE, US
from tests.ground_truth.noise import SPANS_KEPT, STACK, Counts, Tally, UnexplainedError, is_ranged
from tests.ground_truth.observed import LINUX_6_1, LINUX_6_12, X86, Counted, Row, rows
from tests.ground_truth.simulated import Calls, Simulation, Step

POINTERS_PER_PAGE = 512
MOST_STACKS = 4
"""How many stacks freed in the background a purge has on its list at most."""

MOST_LATE = {LINUX_6_1: 0, LINUX_6_12: 22}
"""After how many more areas the purge starts at most."""

NEVER = ("ro", "rox", "rw", "x", "nx", "empty")


class Churn(NamedTuple):
    """A vmalloc and a vfree of an area of some pages, again and again."""

    cpus: int
    pages: int
    cycles: int
    kernel: Counted = LINUX_6_1

    @property
    def freed(self) -> tuple[int, ...]:
        """Pages with guards that each cycle frees, one area after the other."""
        pointers = -(-self.pages // POINTERS_PER_PAGE)
        return (self.pages + 1, pointers + 1) if pointers > 1 else (self.pages + 1,)

    def program(self) -> Step:
        def churn(kernel: KernelHandle) -> Calls:
            for _ in range(self.cycles):
                area = yield from kernel.vmalloc(self.pages * PAGE_SIZE)
                yield from kernel.vfree(area)

        return churn


@cache
def predict(churn: Churn) -> tuple[Counts, tuple[int, ...]]:
    """Return the counts of a churn, and how many pages were lazily freed at each purge."""
    simulation = Simulation(churn.cpus, churn.kernel)
    simulation.run([churn.program()])
    purges = [event.pages for event in simulation.step_events(0) if event.kind == "purge"]
    return simulation.counts(0, several=True), tuple(purges)


class Walk:
    """The frees of a churn, one after the other, beside what was on the list at each purge.

    Parameters
    ----------
    limit
        Pages that may gather.
    frees
        Pages of each free, in order.
    late
        Pages that may be freed until the purge starts.

    Attributes
    ----------
    codes
        Rules found at work: V for stacks on the list, R for frees made while a purge ran, D for a
        purge that is delayed.
    """

    def __init__(self, limit: int, frees: Iterable[int], late: int = 0) -> None:
        self.codes: set[str] = set()
        self._limit = limit
        self._late = late
        # Pages freed up to each free; what has been purged of them.
        self._sums = [0, *accumulate(frees)]
        self._purged = 0

    def purge(self, seen: int, *, second: bool) -> None:
        """Free until a purge finds ``seen`` pages, with as few stacks among them as can be.

        Raises
        ------
        UnexplainedError
            If none does.
        """
        for stacks in range(MOST_STACKS + 1):
            total = self._purged + seen - stacks * STACK
            if self._possible(seen, total, stacks, second):
                break
        else:
            raise UnexplainedError(f"nobody purges {seen} pages, where {self._limit} may gather")
        if seen <= self._limit:
            self.codes.add("R")
        elif seen - self._last(total, stacks) > self._limit:
            self.codes.add("D")
        if stacks:
            self.codes.add("V")
        self._purged = total

    def _possible(self, seen: int, total: int, stacks: int, second: bool) -> bool:
        """Return whether frees up to a total, and some stacks, make a purge of ``seen`` pages."""
        at = bisect_left(self._sums, total)
        if total <= self._purged or at == len(self._sums) or self._sums[at] != total:
            return False
        if seen <= self._limit:
            return second
        return seen - self._last(total, stacks) <= self._limit + self._late

    def _last(self, total: int, stacks: int) -> int:
        """Return the pages of what came last: an area, or a stack. It made it too much."""
        area = total - self._sums[bisect_left(self._sums, total) - 1]
        return max(area, STACK if stacks else 0)

    def rest(self) -> None:
        """Free what is left, which must not be too much."""
        left = self._sums[-1] - self._purged
        if left > self._limit:
            raise UnexplainedError(f"{left} pages are left, and nobody purges")


def walk(churn: Churn, limit: int, lazies: list[int]) -> set[str]:
    """Return the rules by which a churn is purged at such numbers of pages."""
    late = MOST_LATE[churn.kernel] * (churn.pages + 1)
    state = Walk(limit, churn.freed * churn.cycles, late)
    for number, seen in enumerate(lazies):
        state.purge(seen, second=number > 0)
    state.rest()
    return state.codes


def churn_of(row: Row) -> Churn:
    return Churn(*(row.number(name) for name in ("smp", "area_pages", "cycles")), row.kernel)


def judge(row: Row) -> str:
    """Return the codes of the rules that make this row of its prediction."""
    churn = churn_of(row)
    counts, predicted = predict(churn)
    lazies, spans = row.numbers("lazy_at_drain_work"), row.spans()
    limit = row.number("lazy_max_pages_formula")
    if sum(churn.freed[:1]) * churn.cycles != row.number("freed_pages_with_guard"):
        raise UnexplainedError("another number of pages was freed")
    codes = walk(churn, limit, lazies)
    if not codes and tuple(lazies) != predicted:
        raise UnexplainedError(f"{lazies} pages lazily freed, not {predicted}")
    _broadcasts(row, counts, len(lazies), spans)
    for span, lazy in zip(spans, lazies, strict=True):
        if span < lazy:
            raise UnexplainedError(f"a flush over {span} pages, of which {lazy} were freed")
        if span > lazy:
            codes.add("L")
    return "".join(sorted(codes))


def _broadcasts(row: Row, counts: Counts, purges: int, spans: list[int]) -> None:
    """Check every count of a row that was purged so often."""
    assert purges < SPANS_KEPT
    ranged = sum(is_ranged(span) for span in spans)
    expected = {
        **{f"n_set_memory_{name}": 0 for name in NEVER},
        **{name: counts[name] for name in counts.numbers if name.startswith("n_flush_tlb_all")},
        "n_drain_work": purges,
        "n_purge_nonempty": purges,
        "n_flush_tlb_kernel_range": purges,
        "n_fkr_by_purge": purges,
        "n_fkr_by_aliases": 0,
        "n_cpa_flush": 0,
        "n_cross_calls": purges,
        "n_cross_full": purges - ranged,
        "n_cross_range": ranged,
        "n_cross_cpa": 0,
        "n_cross_after_ret": counts["n_cross_after_ret"],
        "n_cross_kworker": purges,
        "n_cross_other": 0,
        "targets": purges * (counts.cpus - 1),
        "n_sync_core_cross": 0,
        "n_text_poke_bp_batch": 0,
    }
    for column, value in expected.items():
        if row.number(column) != value:
            raise UnexplainedError(f"{column} is {row.number(column)}, not {value}")
    if row.numbers("handlers_per_cpu") != [purges] * counts.cpus:
        raise UnexplainedError("some CPU ran another number of flush functions")


@pytest.fixture(scope="module", params=X86, ids=str)
def judged(request: pytest.FixtureRequest) -> tuple[Tally, list[tuple[Row, str | None]]]:
    tally, table = Tally(f"{request.param}: lazy_purge"), rows("lazy_purge", request.param)
    return tally, [(row, tally.add(str(row), partial(judge, row))) for row in table]


def test_every_row_is_predicted_exactly_or_explained_by_a_rule(
    judged: tuple[Tally, list[tuple[Row, str | None]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{judged[0]}")
    assert judged[0].unexplained == []


def test_the_limit_is_that_of_the_formula(
    judged: tuple[Tally, list[tuple[Row, str | None]]],
) -> None:
    for row, _ in judged[1]:
        kernel = Simulation(row.number("smp"), row.kernel)
        kernel.run([])
        assert kernel.kernel.purge.lazy_max_pages == row.number("lazy_max_pages_formula")


def test_every_row_has_purges_at_just_the_number_of_pages_that_was_predicted(
    judged: tuple[Tally, list[tuple[Row, str | None]]],
) -> None:
    for row, _ in judged[1]:
        _, predicted = predict(churn_of(row))
        assert set(predicted) & set(row.numbers("lazy_at_drain_work")), row


@pytest.mark.parametrize("pages", [1, 3, 7])
def test_what_a_simulated_purge_finds_again_obeys_the_same_rule(pages: int) -> None:
    # The worker purges where the churn was; as on the real machine that moves to another CPU
    # meanwhile, and comes back. A third CPU answers late, so that there is time to free something.
    frees = [0, 0]

    def churn(kernel: KernelHandle, cpu: int) -> Calls:
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        while cpu == 1 and frees[0] < 60_000 and kernel.kernel.purge.purge_lock.owner is None:
            yield from kernel.task.compute(100 * NS)
        yield from kernel.vfree(area)
        frees[cpu] += pages + 1

    def elsewhere(kernel: KernelHandle) -> Calls:
        while frees[0] < 60_000:
            yield from churn(kernel, 1)

    def late(task: Task) -> Calls:
        while frees[0] < 60_000:
            yield from task.irqs_off(20 * US)

    def here(kernel: KernelHandle) -> Calls:
        machine = kernel.kernel.machine
        machine.spawn(1, lambda task: elsewhere(KernelHandle(kernel.kernel, task)))
        machine.spawn(2, late)
        while frees[0] < 60_000:
            yield from churn(kernel, 0)

    simulation = Simulation(4)
    simulation.run([here])
    lazies = [event.pages for event in simulation.step_events(0) if event.kind == "purge"]
    both = Churn(4, pages, sum(frees) // (pages + 1))
    assert walk(both, simulation.kernel.purge.lazy_max_pages, lazies) == {"R"}


@pytest.mark.parametrize(
    ("kernel", "lazies", "codes"),
    [
        (LINUX_6_1, [12, 12, 12], ""),
        (LINUX_6_1, [12, 4, 12, 12], "R"),
        (LINUX_6_1, [13, 12, 12], "V"),
        (LINUX_6_1, [12, 9, 15, 12], "RV"),
        (LINUX_6_12, [12, 12, 12], ""),
        (LINUX_6_12, [12, 22, 6], "DR"),
    ],
)
def test_stacks_second_and_late_purges_are_told_apart(
    kernel: Counted, lazies: list[int], codes: str
) -> None:
    # At most 10 pages may gather; areas of 1 page and a guard, and stacks of 5 pages.
    assert walk(Churn(2, 1, 20, kernel), 10, lazies) == set(codes)


@pytest.mark.parametrize("lazies", [[10], [14], [12, 3], [4, 12], [12], [12, 12, 12, 13]])
def test_what_no_rule_produces_is_not_explained(lazies: list[int]) -> None:
    with pytest.raises(UnexplainedError):
        walk(Churn(2, 1, 20), 10, lazies)
