"""Tells noise from error: what a row may differ in from a noise-free prediction.

The codes are those of tests/data/README.md. Nothing is a tolerance: each difference has to be one
that a rule produces, to the page, and a deficit is explained by no rule but A and P.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from tests.ground_truth.observed import HUGE, SPANS_KEPT, Row

STACK = 5
"""Pages of a freed kernel stack, its guard page included."""

SEVERAL_STACKS = 10
"""The least span of several of them."""

MOST_PURGES = 2
"""How many such purges a row has at most."""

CEILING = 33
"""Pages above which a ranged flush is a full one."""

EXACT = (
    "n_set_memory_ro",
    "n_set_memory_rox",
    "n_set_memory_rw",
    "n_set_memory_x",
    "n_set_memory_nx",
    "n_set_memory_empty",
    "n_cpa_flush",
    "n_flush_tlb_all_by_cpa",
    "n_flush_tlb_all_by_other",
    "n_fkr_by_aliases",
    "n_cross_cpa",
    "n_cross_other",
    "n_sync_core_cross",
    "n_text_poke_bp_batch",
)
"""Counts that no noise touches."""

VARYING = (
    "n_flush_tlb_all",
    "n_flush_tlb_all_by_split",
    "n_flush_tlb_kernel_range",
    "n_fkr_by_purge",
    "n_cross_calls",
    "n_cross_full",
    "n_cross_range",
    "n_cross_after_ret",
    "n_cross_kworker",
    "targets",
    "n_vmalloc",
    "n_vfree",
    "vfree_pages_with_guard",
    "n_vm_unmap_aliases",
)
"""Counts that noise may raise."""


class UnexplainedError(Exception):
    """A difference that no rule produces."""


@dataclass(frozen=True)
class Counts:
    """A prediction of one row.

    Attributes
    ----------
    cpus
        CPUs of the machine.
    numbers
        Every count of `EXACT` and `VARYING`.
    spans
        Pages of each kernel-range flush, in order.
    attribute_flushes
        Pages of each flush of a ``set_memory`` call, in order.
    several
        The purges of this step cover several areas each (rule L instead of M).
    """

    cpus: int
    numbers: Mapping[str, int]
    spans: Sequence[int] = ()
    attribute_flushes: Sequence[int] = ()
    several: bool = False

    def __getitem__(self, column: str) -> int:
        return self.numbers[column]

    def with_numbers(self, **changes: int) -> Counts:
        """Return these counts, some of them raised (or lowered) by so much."""
        changed = {name: self.numbers[name] + by for name, by in changes.items()}
        return replace(self, numbers={**self.numbers, **changed})


@dataclass(frozen=True)
class OwnMemory:
    """What a module's own init allocates or its exit frees, beside a stack for every thread.

    Attributes
    ----------
    allocated
        Areas that its init allocates.
    freed, freed_pages
        Areas that its exit frees, and their pages with guards.
    """

    allocated: int = 0
    freed: int = 0
    freed_pages: int = 0


@dataclass
class _Case:
    """One row against one prediction, and the codes of the rules found at work so far."""

    predicted: Counts
    row: Row
    codes: set[str] = field(default_factory=set)

    def surplus(self, column: str, code: str) -> int:
        more = self.row.number(column) - self.predicted[column]
        if more < 0:
            raise UnexplainedError(f"{column} is {-more} fewer than predicted")
        if more:
            self.codes.add(code)
        return more

    def demand(self, column: str, value: int) -> None:
        if self.row.number(column) != value:
            raise UnexplainedError(f"{column} is {self.row.number(column)}, not {value}")


def explain(
    predicted: Counts,
    row: Row,
    *,
    aliases_probed: bool = True,
    own: OwnMemory | None = None,
    most_purges: int = MOST_PURGES,
) -> str:
    """Return the codes of the rules that make this row of the prediction, "" if it is exact.

    ``most_purges`` is how many purges of stacks it may have.

    Raises
    ------
    UnexplainedError
        If no rule does.
    """
    case = _Case(predicted, row)
    for column in EXACT:
        case.demand(column, predicted[column])
    if row.numbers("pages_per_cpa_flush") != list(predicted.attribute_flushes)[:SPANS_KEPT]:
        raise UnexplainedError("the flushes of set_memory calls have other sizes")
    case.demand("n_vm_unmap_aliases", predicted["n_vm_unmap_aliases"] if aliases_probed else 0)
    splits = case.surplus("n_flush_tlb_all_by_split", "S")
    purges = case.surplus("n_flush_tlb_kernel_range", "K")
    if purges > most_purges:
        raise UnexplainedError(f"{purges} purges more than predicted")
    case.demand("n_flush_tlb_all", predicted["n_flush_tlb_all"] + splits)
    case.demand("n_fkr_by_purge", predicted["n_fkr_by_purge"] + purges)
    _broadcasts(case, splits, purges)
    _memory(case, own)
    return "".join(sorted(case.codes))


def _broadcasts(case: _Case, splits: int, purges: int) -> None:
    predicted, row = case.predicted, case.row
    spans, truncated = row.spans(), row.number("n_flush_tlb_kernel_range") > SPANS_KEPT
    expected = list(predicted.spans)[: len(spans)] if truncated else list(predicted.spans)
    case.codes |= align(expected, spans, purges if not truncated else None, predicted.several)
    calls = predicted["n_cross_calls"] + splits + purges
    case.demand("n_cross_calls", calls)
    case.demand("targets", calls * (predicted.cpus - 1))
    parts = sum(row.number(f"n_cross_{kind}") for kind in ("full", "range", "cpa"))
    if parts != calls:
        raise UnexplainedError(f"the kinds of cross-calls add up to {parts}, not {calls}")
    if not truncated:
        ranged = sum(is_ranged(span) for span in spans)
        full = predicted["n_cross_full"] - sum(not is_ranged(span) for span in predicted.spans)
        case.demand("n_cross_range", ranged)
        case.demand("n_cross_full", full + splits + len(spans) - ranged)
    if row.numbers("handlers_per_cpu") != [calls] * predicted.cpus:
        raise UnexplainedError("some CPU ran another number of flush functions")
    # A split may fall into the freeing of an init area, which a worker does after the call.
    for column in ("n_cross_after_ret", "n_cross_kworker"):
        if not 0 <= row.number(column) - predicted[column] <= splits:
            raise UnexplainedError(f"{column} is {row.number(column)}, not {predicted[column]}")


def _memory(case: _Case, own: OwnMemory | None) -> None:
    row, predicted = case.row, case.predicted
    allocated = case.surplus("n_vmalloc", "I" if own else "B")
    areas = row.number("n_vfree") - predicted["n_vfree"]
    pages = row.number("vfree_pages_with_guard") - predicted["vfree_pages_with_guard"]
    if own is not None:
        if allocated < own.allocated:
            raise UnexplainedError(f"{allocated} areas were allocated by the init function")
        areas, pages = areas - own.freed, pages - own.freed_pages
        case.codes.add("I")
    if areas < 0 or pages != STACK * areas:
        raise UnexplainedError(f"{areas} more areas of {pages} pages were freed: no stacks")
    if areas:
        case.codes.add("F")


def align(
    expected: Sequence[int], seen: Sequence[int], inserted: int | None, several: bool = False
) -> set[str]:
    """Return the rules by which a list of spans becomes another.

    Parameters
    ----------
    expected, seen
        Spans in order.
    inserted
        How many of those seen are additional; None: any number (the lists were cut).
    several
        Whether each expected purge covers several areas.

    Raises
    ------
    UnexplainedError
        If stacks inserted (K) and purges widened (M, L) do not lead from one to the other.
    """
    if inserted is not None and len(seen) - len(expected) != inserted:
        raise UnexplainedError(f"{len(seen)} spans were seen, {len(expected)} expected")
    found = _aligned(tuple(expected), tuple(seen), "L" if several else "M", inserted is None)
    if found is None:
        raise UnexplainedError(
            f"spans {list(seen)} are not {list(expected)} with stacks among them"
        )
    return set(found)


@cache
def _aligned(expected: tuple[int, ...], seen: tuple[int, ...], wider: str, cut: bool) -> str | None:
    """Return the fewest codes that align the spans, or None if nothing does."""
    if not seen:
        return "" if cut or not expected else None
    ways = []
    if expected:
        fits = _widened(expected[0], seen[0], wider)
        rest = None if fits is None else _aligned(expected[1:], seen[1:], wider, cut)
        if fits is not None and rest is not None:
            ways.append(fits + rest)
    if seen[0] == STACK or seen[0] >= SEVERAL_STACKS:
        rest = _aligned(expected, seen[1:], wider, cut)
        if rest is not None:
            ways.append("K" + rest)
    return min(ways, key=len, default=None)


def _widened(expected: int, seen: int, code: str) -> str | None:
    if seen == expected:
        return ""
    least = expected + (STACK if code == "M" else 1)
    return code if expected != HUGE and seen >= least else None


def is_ranged(span: int) -> bool:
    return span != HUGE and span <= CEILING


@dataclass
class Tally:
    """How many rows of a table are exact, explained and unexplained."""

    table: str
    exact: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def add(self, label: str, verdict: Callable[[], str]) -> str | None:
        """Count one row; return its codes, None if it is unexplained."""
        try:
            codes = verdict()
        except UnexplainedError as error:
            self.unexplained.append(f"{label}\n    {error}")
            return None
        if codes:
            self.explained[codes] += 1
        else:
            self.exact += 1
        return codes

    def __str__(self) -> str:
        explained = self.explained.total()
        by_rule = ", ".join(f"{count} {codes}" for codes, count in self.explained.most_common())
        return (
            f"{self.table}: {self.exact + explained + len(self.unexplained)} rows: {self.exact}"
            f" exact, {explained} explained, {len(self.unexplained)} unexplained\n"
            f"    by rule: {by_rule or 'none'}"
        )
