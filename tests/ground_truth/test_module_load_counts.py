"""Every row of the module loader's tables of counts, predicted by the simulated kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import combinations_with_replacement, product

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import known_modules, segments_of
from pmsim.units import PAGE_SIZE
from tests.ground_truth.noise import (
    STACK,
    Counts,
    OwnMemory,
    Tally,
    UnexplainedError,
    explain,
    is_ranged,
)
from tests.ground_truth.observed import HUGE, LINUX_6_1, LINUX_6_12, X86, Counted, Row, rows
from tests.ground_truth.replay import Left, replays
from tests.ground_truth.simulated import GUARD, Calls, Simulation

JFS_LOAD = OwnMemory(allocated=2)
JFS_UNLOAD = OwnMemory(freed=2, freed_pages=1473)
"""The only module of the table whose init allocates areas of its own: two tables."""


def load_and_unload(kernel: Counted, cpus: int, name: str) -> Simulation:
    """Run the load of a module and its unload, each from a drained kernel."""
    loaded: list[Module | None] = []

    def load(handle: KernelHandle) -> Calls:
        loaded.append((yield from handle.load_module(segments_of(name, kernel.modules))))

    def unload(handle: KernelHandle) -> Calls:
        yield from handle.unload_module(loaded[0])

    simulation = Simulation(cpus, kernel)
    simulation.run([load, unload])
    return simulation


@cache
def predict(kernel: Counted, cpus: int, name: str) -> dict[str, Counts]:
    simulation = load_and_unload(kernel, cpus, name)
    return {"insmod": simulation.counts(0), "rmmod": simulation.counts(1)}


def predicted_for(row: Row) -> Counts:
    return predict(row.kernel, row.number("smp"), row["module"])[row["op"]]


def own_memory(row: Row) -> OwnMemory | None:
    if row["module"] != "jfs":
        return None
    return JFS_LOAD if row["op"] == "insmod" else JFS_UNLOAD


def single_row(row: Row) -> str:
    return explain(predicted_for(row), row, own=own_memory(row))


def control_row(row: Row) -> str:
    """Check a row without probes: all interrupts of whatever cause, never fewer than predicted."""
    predicted = predicted_for(row)
    others = predicted.cpus - 1
    ours = predicted["targets"] + others * predicted["n_sync_core_cross"]
    if row.number("cal_delta_end") < ours:
        raise UnexplainedError(f"{row.number('cal_delta_end')} interrupts, {ours} predicted")
    return "" if row.number("cal_delta_end") == ours else "C"


def chain_row(row: Row) -> str:
    """Explain a row of a chain, in which init areas are freed some steps later (rules R and A)."""
    base = predicted_for(row)
    ways = [("", base)]
    if row["op"] == "insmod":
        cpus, module = row.number("smp"), row["module"]
        for left in left_before(row):
            ways += [("R", replay.counts) for replay in replays(row.kernel, cpus, module, left)]
        # Only where several areas are freed in one step, which no replay does.
        ways += [("A", counts) for counts in moved(base, row)]
    reasons = []
    for code, predicted in ways:
        try:
            return code + explain(predicted, row, own=own_memory(row))
        except UnexplainedError as error:
            reasons.append(str(error))
    raise UnexplainedError("; ".join(dict.fromkeys(reasons)))


def left_before(row: Row) -> list[Left]:
    """Return what the load before can have left, which the row frees besides the file."""
    file = predicted_for(row).spans[0]
    areas, pages = row.number("n_vfree") - 1, row.number("vfree_pages_with_guard") - file
    if row.kernel == LINUX_6_1:
        own = segments_of(row["module"], row.kernel.modules).init
        return [Left(0, pages - GUARD if areas == 1 else own)]
    # Where text and data have areas of their own, that of text is of one page in every module.
    return [Left(0, pages - GUARD)] * (areas == 1) + [Left(1, pages - 1 - 2 * GUARD)] * (areas == 2)


@cache
def init_areas(kernel: Counted) -> list[int]:
    """Return the sizes that an init area of a module can have, guard included, in pages."""
    modules = known_modules(kernel.modules).values()
    if kernel == LINUX_6_1:
        return sorted({segments.init + GUARD for segments in modules})
    return sorted({pages + GUARD for m in modules for pages in (m.init_text, m.init_data) if pages})


@cache
def sums_of(kernel: Counted, areas: int) -> list[int]:
    """Return what so many init areas can have together."""
    return sorted({sum(some) for some in combinations_with_replacement(init_areas(kernel), areas)})


def moved(base: Counts, row: Row) -> Iterator[Counts]:
    """Yield what the row would count if other init areas than its own were freed in it.

    Each is freed by a flush that takes along what is on the lazy list: the file buffer of this row
    does not need a flush of its own where one falls between its freeing and its purge. Of each
    chain the table shows some steps only, so the areas are those of any module.
    """
    file_span, own = base.spans[0], base.spans.count(HUGE)
    own_pages = base["vfree_pages_with_guard"] - file_span
    inits = row.spans().count(HUGE)
    for taken, freed in product((False, True) if inits else (False,), sums_of(row.kernel, inits)):
        ranged = is_ranged(file_span)
        changed = base.with_numbers(
            n_flush_tlb_kernel_range=inits - own - taken,
            n_fkr_by_purge=inits - own - taken,
            n_cross_calls=inits - own - taken,
            n_cross_full=inits - own - (taken and not ranged),
            n_cross_range=-(taken and ranged),
            targets=(inits - own - taken) * (base.cpus - 1),
            n_cross_kworker=inits - own,
            n_cross_after_ret=min(row.number("n_cross_after_ret"), inits) - own,
            n_vfree=inits - own,
            vfree_pages_with_guard=freed - own_pages,
            n_vm_unmap_aliases=inits - own,
        )
        for spans in arrangements([] if taken else [file_span], inits):
            yield Counts(base.cpus, changed.numbers, spans, base.attribute_flushes)


def arrangements(file: list[int], inits: int) -> list[tuple[int, ...]]:
    """Return the orders in which the flush of a file buffer can fall among those of init areas."""
    if not file:
        return [(HUGE,) * inits]
    return [
        (HUGE,) * before + (file[0],) + (HUGE,) * (inits - before) for before in range(inits + 1)
    ]


@pytest.fixture(scope="module", params=X86, ids=str)
def table(request: pytest.FixtureRequest) -> list[Row]:
    return [row for row in rows("module_load_counts", request.param) if row["exp"] != "E2"]


def test_every_single_load_and_unload_is_predicted_exactly_or_explained_by_a_rule(
    table: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{table[0].kernel}: module_load_counts"
    single, control, chained = Tally(f"{name}, single"), Tally(f"{name}, control"), Tally(name)
    chained.table += ", chain"
    for row in table:
        if row["mode"] == "control":
            control.add(str(row), partial(control_row, row))
        elif row["mode"] == "chain":
            chained.add(str(row), partial(chain_row, row))
        else:
            single.add(str(row), partial(single_row, row))
    with capsys.disabled():
        print(f"\n{single}\n{chained}\n{control}")
    assert single.unexplained + chained.unexplained + control.unexplained == []


def test_a_kernel_stack_that_was_left_behind_is_what_the_rule_for_stacks_says() -> None:
    def left_behind(kernel: KernelHandle) -> Calls:
        stack = yield from kernel.vmalloc(4 * PAGE_SIZE)
        yield from kernel.vfree(stack)

    def load(kernel: KernelHandle) -> Calls:
        yield from kernel.load_module(segments_of("fuse", LINUX_6_1.modules))

    simulation = Simulation(2)
    simulation.run([left_behind, load])
    purges = simulation.counts(1).spans
    assert purges == (STACK, *predict(LINUX_6_1, 2, "fuse")["insmod"].spans)


def test_every_load_and_unload_has_a_repetition_whose_broadcasts_no_noise_touched(
    table: list[Row],
) -> None:
    repetitions: dict[Sequence[str], list[str]] = defaultdict(list)
    for row in table:
        if row["mode"] in ("drained", "asis", "stack"):
            repetitions[row["op"], row["module"]].append(single_row(row))
    touched = [
        key
        for key, repeated in repetitions.items()
        if all(set(codes) & set("KMS") for codes in repeated)
    ]
    assert touched == []
    assert len(repetitions) == {LINUX_6_1: 18, LINUX_6_12: 20}[table[0].kernel]
