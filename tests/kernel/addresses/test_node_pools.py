"""Pools of recently freed areas (6.9 and later)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.addresses.area_locks import AreaLocks
from pmsim.kernel.addresses.areas import Areas
from pmsim.kernel.addresses.node_pools import MOST_NODES, NodePools
from pmsim.kernel.addresses.ranges import AddressRange, FreedArea, address_ranges
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, PAGE_SIZE
from tests.kernel.booted import Booted, full

Calls = Generator[Any, Any, Any]
PROFILE = "linux-6.12-x86_64"
START = 1024


def pools(cpus: int = 4) -> tuple[NodePools, AddressRange, AddressRange]:
    ranges = address_ranges((START * PAGE_SIZE, 1 << 22), (1 << 30, 1 << 22), PAGE_SIZE)
    return NodePools(cpus, ranges["vmalloc"]), ranges["vmalloc"], ranges["modules"]


def freed(pages: int, *starts: int, where: AddressRange) -> list[FreedArea]:
    return [FreedArea(start, pages, where) for start in starts]


def purge(nodes: NodePools, areas: list[FreedArea], *, full: bool = False) -> list[int]:
    """Purge areas as the kernel does; return the nodes that they belonged to."""
    nodes.before_purge(full=full)
    shares = nodes.shares(sorted(areas))
    for share in shares:
        nodes.give(share, full=full)
    return [node for node, _ in shares]


@pytest.mark.parametrize(("cpus", "nodes"), [(1, 1), (2, 2), (128, 128), (255, 128)])
def test_there_is_a_node_for_each_cpu_up_to_128(cpus: int, nodes: int) -> None:
    assert pools(cpus)[0].nodes == nodes
    assert MOST_NODES == 128


def test_a_purged_area_waits_for_a_request_of_its_size_from_its_own_cpu() -> None:
    nodes, vmalloc, _ = pools()
    pages = [nodes.take(1, vmalloc, 5, 1) for _ in range(3)]
    assert pages == [START, START + 5, START + 10]
    assert purge(nodes, freed(5, START, where=vmalloc)) == [1]
    assert nodes.take(2, vmalloc, 5, 1) == START + 15
    assert nodes.take(1, vmalloc, 4, 1) == START + 20
    assert nodes.take(1, vmalloc, 5, 1) == START


def test_each_node_has_locks_of_its_own_for_its_pool_its_areas_and_what_was_freed_of_them() -> None:
    nodes, vmalloc, modules = pools(4)
    names = ["vmap_node.pool_lock", "vmap_node.busy.lock", "vmap_node.lazy.lock"]
    assert list(nodes.locks) == ["free_vmap_area_lock", *(4 * names)]
    # CPU 1 asks; the address lies in a zone of 16 pages of node 0 (1024 / 16 = 64).
    assert nodes.search_lock(1, vmalloc, 5) == 0
    assert nodes.take(1, vmalloc, 5, 1) == START
    assert nodes.busy_lock(START) == 1 + 3 * 0 + 1
    assert nodes.lazy_lock(START) == 1 + 3 * 1 + 2
    purge(nodes, freed(5, START, where=vmalloc))
    assert nodes.search_lock(1, vmalloc, 5) == 1 + 3 * 1 + 0
    # Other sizes, other CPUs and modules find nothing there.
    assert [nodes.search_lock(1, vmalloc, 4), nodes.search_lock(0, vmalloc, 5)] == [0, 0]
    assert nodes.search_lock(1, modules, 5) == 0
    # A module is nobody's, so it goes by its address.
    assert nodes.lazy_lock(START + 16) == 1 + 3 * 1 + 2


def test_the_area_that_was_pooled_last_serves_first() -> None:
    # A node's areas are pooled by address, so the highest is the last.
    nodes, vmalloc, _ = pools()
    for _ in range(3):
        nodes.take(1, vmalloc, 2, 1)
    purge(nodes, freed(2, START + 4, START, START + 2, where=vmalloc))
    assert [nodes.take(1, vmalloc, 2, 1) for _ in range(3)] == [START + 4, START + 2, START]


def test_areas_go_back_to_the_node_that_asked_for_them_whoever_frees_them() -> None:
    nodes, vmalloc, _ = pools()
    for cpu in (3, 0, 2):
        nodes.take(cpu, vmalloc, 2, 1)
    assert purge(nodes, freed(2, START, START + 2, START + 4, where=vmalloc)) == [0, 2, 3]
    assert nodes.take(3, vmalloc, 2, 1) == START


def test_what_no_node_asked_for_belongs_to_that_of_its_address() -> None:
    # Zones of 16 pages, one node after the other (addr_to_node).
    nodes, _, modules = pools(4)
    first = modules.start // PAGE_SIZE // 64 * 64
    areas = freed(1, first, first + 15, first + 16, first + 47, first + 48, where=modules)
    assert [(node, len(own)) for node, own in nodes.shares(areas)] == [
        (0, 2),
        (1, 1),
        (2, 1),
        (3, 1),
    ]


def test_modules_are_not_pooled() -> None:
    nodes, _, modules = pools()
    page = nodes.take(1, modules, 2, 1)
    assert page is not None
    free = modules.space.free
    purge(nodes, freed(2, page, where=modules))
    assert modules.space.free == free + 2


@pytest.mark.parametrize(("pages", "pooled"), [(256, True), (257, False)])
def test_areas_of_up_to_256_pages_with_their_guard_are_pooled(pages: int, pooled: bool) -> None:
    nodes, vmalloc, _ = pools()
    nodes.take(1, vmalloc, pages, 1)
    free = vmalloc.space.free
    purge(nodes, freed(pages, START, where=vmalloc))
    assert vmalloc.space.free == free + (0 if pooled else pages)


def test_each_purge_frees_a_quarter_of_a_pool() -> None:
    nodes, vmalloc, _ = pools()
    total = vmalloc.space.free
    for _ in range(9):
        nodes.take(1, vmalloc, 2, 1)
    purge(nodes, freed(2, *range(START, START + 18, 2), where=vmalloc))
    kept = []
    for _ in range(5):
        purge(nodes, [])
        kept.append((total - vmalloc.space.free) // 2)
    # 9 less 2, less 1, less 1, less 1, less 1: the last three stay.
    assert kept == [7, 6, 5, 4, 3]


def test_a_full_purge_keeps_nothing() -> None:
    nodes, vmalloc, _ = pools()
    total = vmalloc.space.free
    for _ in range(4):
        nodes.take(1, vmalloc, 2, 1)
    purge(nodes, freed(2, START, START + 2, where=vmalloc))
    purge(nodes, freed(2, START + 4, START + 6, where=vmalloc), full=True)
    assert vmalloc.space.free == total
    assert vmalloc.space.blocks() == [(START, total)]


def test_an_area_that_is_not_aligned_as_asked_lets_the_next_ones_come_first() -> None:
    nodes, vmalloc, _ = pools()
    assert [nodes.take(1, vmalloc, 3, 1) for _ in range(2)] == [START, START + 3]
    purge(nodes, freed(3, START, START + 3, where=vmalloc))
    # START + 3 is tried first and goes to the end of the pool; a fresh place serves this time.
    assert nodes.take(1, vmalloc, 3, 8) == START + 8
    assert nodes.take(1, vmalloc, 3, 8) == START


def test_one_node_pools_nothing() -> None:
    nodes, vmalloc, _ = pools(cpus=1)
    assert nodes.take(0, vmalloc, 2, 1) == START
    free = vmalloc.space.free
    purge(nodes, freed(2, START, where=vmalloc))
    assert vmalloc.space.free == free + 2


def churn(kernel: KernelHandle, times: int) -> Calls:
    for _ in range(times):
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))


def test_after_a_purge_a_cpu_uses_its_own_addresses_again_from_the_top() -> None:
    seen = []

    def program(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 10)
        yield from kernel.vm_unmap_aliases()
        for _ in range(3):
            area = yield from kernel.vmalloc(PAGE_SIZE)
            seen.append(area.address)

    Booted(profile=PROFILE).run(program)
    start = 0xFFFFC90000000000
    assert seen == [start + 2 * PAGE_SIZE * k for k in (9, 8, 7)]


@pytest.mark.parametrize(("limits", "helpers"), [(1, []), (2, [1]), (3, [1, 2])])
def test_for_each_further_limit_that_has_gathered_a_worker_frees_one_node(
    limits: int, helpers: list[int]
) -> None:
    # A limit of 3 x 64 pages. CPUs 1 to 3 allocate, CPU 0 frees while nobody can purge.
    booted = Booted(4, profile=PROFILE, lazy_max_unit="256KiB")
    purge_lock = booted.kernel.purge.purge_lock
    areas: list[Any] = []

    def owner(kernel: KernelHandle) -> Calls:
        for _ in range(limits * 192 // 6 + 1):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))

    def user(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(10**9)
        yield from purge_lock.lock(kernel.task)
        for area in areas:
            yield from kernel.vfree(area)
        purge_lock.unlock(kernel.task)

    for cpu in range(1, 4):
        booted.spawn(owner, cpu)
    booted.spawn(user, 0)
    booted.run()
    assert [row["pages"] for row in booted.of_kind("purge")] == [2 * len(areas)]
    # CPU 0's worker runs the purge itself.
    workers = sorted(task.cpu for task in booted.machine.tasks.values())
    assert workers == [0, *helpers]
    assert booted.kernel.vmalloc.lazy_pages == 0


def test_cpus_whose_pools_serve_them_do_not_wait_for_each_other() -> None:
    def waited(**keys: Any) -> int:
        booted = Booted(8, lazy_max_unit="256KiB", **keys)
        for cpu in range(8):
            booted.spawn(lambda kernel: churn(kernel, 2000), cpu)
        booted.run()
        return sum(row["lock_wait_ps"] for row in booted.of_kind("vmalloc")[8_000:])

    # From the second half of the requests on; the first purges have filled the pools by then.
    assert waited(profile=PROFILE) < waited(profile="linux-6.6-x86_64") / 10


def test_who_finds_its_pool_emptied_goes_on_to_the_tree_of_all() -> None:
    # The pool of CPU 0 has one area. Who wants it has used up its quantum of 3 ms as it comes
    # to the lock; another task of the CPU takes the area, and only then has the first the lock.
    booted = Booted(2, profile=PROFILE)
    areas, locks = booted.kernel.context.part(Areas), booted.kernel.context.part(AreaLocks)
    entered: list[tuple[str, int]] = []
    enter = locks.enter

    def noted(task: Any, number: int) -> Any:
        entered.append((task.name, number))
        return enter(task, number)

    def filler(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(4 * PAGE_SIZE)
        yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()
        locks.enter = noted

    def wants(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(10 * MS - kernel.task.now)
        yield from kernel.task.compute(3 * MS)
        yield from areas.alloc_vmap_area(kernel.task, 5)

    def takes(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(11 * MS - kernel.task.now)
        yield from areas.alloc_vmap_area(kernel.task, 5)

    for program in (filler, wants, takes):
        booted.spawn(program)
    booted.run()
    of_the_pool, of_the_tree = 1, 0
    searches = [(name, number) for name, number in entered if number in (0, 1)]
    assert searches == [
        ("program 2", of_the_pool),
        ("program 3", of_the_pool),
        ("program 2", of_the_tree),
    ]


def test_exhaustion_empties_the_pools_of_all_nodes() -> None:
    # Room for 16 areas of 4 pages. CPU 1's wait in its pool; CPU 0 needs larger ones.
    def filler(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(16):
            areas.append((yield from kernel.vmalloc(3 * PAGE_SIZE)))
        for area in areas:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(10**9)
        area = yield from kernel.vmalloc(31 * PAGE_SIZE)
        assert area is not None

    booted = Booted(profile=PROFILE, vmalloc_size="256KiB")
    booted.spawn(filler, 1)
    booted.spawn(other, 0)
    # The purge that the request makes finds nothing to flush; it only lets go of the pools.
    assert booted.run().flushes == [full("purge", 64)]
