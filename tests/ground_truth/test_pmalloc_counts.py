"""Every row of the pool's tables of counts, predicted by the simulated kernel."""

from __future__ import annotations

from collections import defaultdict
from functools import cache, partial
from itertools import groupby
from typing import NamedTuple

import pytest

from pmsim.kernel.addresses.vm_area import VmArea
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.page_blocks import PageBlock
from pmsim.kernel.pmalloc.pools import Pool, PoolStatistics
from pmsim.units import PAGE_SIZE
from tests.ground_truth.noise import Counts, Tally, UnexplainedError, explain
from tests.ground_truth.observed import X86, Counted, Row, rows
from tests.ground_truth.simulated import Calls, Simulation, Step


class PoolTest(NamedTuple):
    """Parameters of a test of the pool; the refill is in pages."""

    refill: int
    align_order: int
    n: int
    size: int
    every: int


class Predicted(NamedTuple):
    """Counts of the two steps of a pool's test, and what the pool had done after each."""

    create: Counts
    destroy: Counts
    pool: PoolStatistics


@cache
def predict_pool(kernel: Counted, cpus: int, test: PoolTest) -> Predicted:
    pools: list[Pool] = []

    def create(handle: KernelHandle) -> Calls:
        pool = yield from handle.pmalloc_create_pool(test.refill * PAGE_SIZE, test.align_order)
        pools.append(pool)
        for number in range(1, test.n + 1):
            yield from handle.pmalloc(pool, test.size)
            if test.every and number % test.every == 0:
                yield from handle.pmalloc_protect_pool(pool)
        yield from handle.pmalloc_protect_pool(pool)

    def drain(handle: KernelHandle) -> Calls:
        yield from handle.vm_unmap_aliases()

    def destroy(handle: KernelHandle) -> Calls:
        yield from handle.pmalloc_destroy_pool(pools[0])

    simulation = Simulation(cpus, kernel)
    simulation.run([create, drain, destroy])
    return Predicted(simulation.counts(0), simulation.counts(2), pools[0].statistics)


class Memory:
    """The commands of the tests of single areas (v...) and direct-map blocks (d...)."""

    def __init__(self) -> None:
        self.areas: list[VmArea] = []
        self.block: PageBlock | None = None

    def step(self, command: str) -> Step:
        name, *arguments = command.split("_")
        values = dict(argument.split("=") for argument in arguments)
        numbers = {key: int(value) for key, value in values.items()}
        return lambda kernel: getattr(self, name)(kernel, **numbers)

    def valloc(self, kernel: KernelHandle, pages: int, n: int) -> Calls:
        for _ in range(n):
            area = yield from kernel.vmalloc(pages * PAGE_SIZE)
            assert area is not None
            self.areas.append(area)

    def vro(self, kernel: KernelHandle) -> Calls:
        for area in self.areas:
            yield from kernel.set_memory_ro(area.address, area.pages)

    def vrw(self, kernel: KernelHandle) -> Calls:
        for area in self.areas:
            yield from kernel.set_memory_rw(area.address, area.pages)

    def vrelease(self, kernel: KernelHandle) -> Calls:
        for area in self.areas:
            yield from kernel.vfree(area)

    def drain(self, kernel: KernelHandle) -> Calls:
        yield from kernel.vm_unmap_aliases()

    def dalloc(self, kernel: KernelHandle, order: int) -> Calls:
        self.block = yield from kernel.alloc_pages(order)

    def dro(self, kernel: KernelHandle) -> Calls:
        assert self.block is not None
        yield from kernel.set_memory_ro(self.block.address, self.block.pages)

    def drw(self, kernel: KernelHandle) -> Calls:
        assert self.block is not None
        yield from kernel.set_memory_rw(self.block.address, self.block.pages)

    def dfree(self, kernel: KernelHandle) -> Calls:
        yield from kernel.free_pages(self.block)


@cache
def predict_memory(kernel: Counted, cpus: int, commands: tuple[str, ...]) -> list[Counts]:
    memory = Memory()
    simulation = Simulation(cpus, kernel)
    simulation.run([memory.step(command) for command in commands])
    several = len(memory.areas) > 1
    return [
        simulation.counts(step, several=several and command == "drain")
        for step, command in enumerate(commands)
    ]


class Judged(NamedTuple):
    """A row, what it is a repetition of, and the codes that explain it (None: nothing does)."""

    row: Row
    key: tuple[object, ...]
    codes: str | None


def judge_pool_rows(found: list[Row], tally: Tally) -> list[Judged]:
    judged = []
    for create, destroy in zip(found[::2], found[1::2], strict=True):
        columns = ("p_refill", "p_align", "p_n", "p_size", "p_k")
        test = PoolTest(*(create.number(column) for column in columns))
        predicted = predict_pool(create.kernel, create.number("smp"), test)
        for row, counts in ((create, predicted.create), (destroy, predicted.destroy)):
            codes = tally.add(str(row), partial(pool_row, row, counts, predicted.pool))
            judged.append(Judged(row, (row["step"], *test), codes))
    return judged


def pool_row(row: Row, counts: Counts, pool: PoolStatistics) -> str:
    expected = {
        "pool_areas": pool.areas,
        "pool_pages": pool.pages,
        "pool_requested": pool.requested,
        "pool_waste": pool.wasted,
        "pool_relinquished": pool.relinquished,
        "pool_protects": pool.protects,
    }
    for column, value in expected.items():
        if row.number(column) != value:
            raise UnexplainedError(f"{column} is {row.number(column)}, not {value}")
    return explain(counts, row, aliases_probed=False)


def judge_memory_rows(found: list[Row], tally: Tally) -> list[Judged]:
    judged = []
    for (cpus, mode, _), group in groupby(found, lambda r: (r["smp"], r["mode"], r["rep"])):
        steps = list(group)
        predicted = predict_memory(steps[0].kernel, int(cpus), tuple(row["cmd"] for row in steps))
        for number, (row, counts) in enumerate(zip(steps, predicted, strict=True)):
            codes = tally.add(str(row), partial(explain, counts, row))
            judged.append(Judged(row, (mode, number), codes))
    return judged


@pytest.fixture(scope="module", params=X86, ids=str)
def judged(request: pytest.FixtureRequest) -> tuple[list[Judged], list[Tally]]:
    table, name = rows("pmalloc_counts", request.param), f"{request.param}: pmalloc_counts"
    pools, memory = Tally(f"{name}, pools"), Tally(f"{name}, areas and blocks")
    found = judge_pool_rows([row for row in table if row["mode"] == "grid"], pools)
    found += judge_memory_rows([row for row in table if row["mode"] != "grid"], memory)
    assert len(found) == len(table)
    return found, [pools, memory]


def test_every_row_is_predicted_exactly_or_explained_by_a_rule(
    judged: tuple[list[Judged], list[Tally]], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print()
        for tally in judged[1]:
            print(tally)
    assert [tally.unexplained for tally in judged[1]] == [[], []]


def test_every_set_of_parameters_has_a_repetition_whose_broadcasts_no_noise_touched(
    judged: tuple[list[Judged], list[Tally]],
) -> None:
    repetitions: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for one in judged[0]:
        repetitions[one.key].append("U" if one.codes is None else one.codes)
    # What is left are stacks freed meanwhile (F), and the spans of purges of several areas (L). Of
    # some sets of parameters the table shows one repetition only.
    touched = [
        key
        for key, repeated in repetitions.items()
        if len(repeated) > 1 and all(set(codes) & set("KMSU") for codes in repeated)
    ]
    assert touched == []
