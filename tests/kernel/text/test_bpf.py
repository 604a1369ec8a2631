"""BPF programs on every generation (kernel/bpf/core.c, include/linux/filter.h)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.topology import Topology
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.pagetables.entries import NX, RW
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.text.bpf_images import PackedImages
from pmsim.units import MIB, PAGE_SIZE, S
from tests.kernel.booted import Booted, Ear, Flush, full, ranged, small_machine
from tests.kernel.steps import Step, flushes_by_step
from tests.kernel.text.test_text_poke import FENCE, KICK, UNMAP

Calls = Generator[Any, Any, Any]

SMALL = 600
"""Bytes of a socket filter: one page of its own, or 10 chunks of a pack."""
PACKS = [f"linux-{version}-x86_64" for version in ("6.1", "6.6", "6.12", "6.18")]
RO = X = RW_AGAIN = full("attributes")


def kinds(flushes: list[Flush]) -> list[tuple[str, str]]:
    """Return why and how; the span of a reset depends on where frames lie."""
    return [(flush.cause, flush.kind) for flush in flushes]


class Shelf:
    """Programs that steps put down and pick up again."""

    def __init__(self) -> None:
        self.programs: list[Any] = []

    def load(self, size: int = SMALL, *, verified: int = 0) -> Step:
        def step(kernel: KernelHandle) -> Calls:
            self.programs.append((yield from kernel.bpf_prog_load(size, verified=verified)))

        return step

    def free(self, which: int = 0) -> Step:
        return lambda kernel: kernel.bpf_prog_free(self.programs.pop(which))


def without_programs(profile: str) -> Booted:
    """Boot a kernel in which no program is there from boot."""
    return Booted(profile=profile, bpf_boot_program=False)


def load_and_free(profile: str, programs: int = 1) -> list[list[Flush]]:
    """Load so many programs, free them in their order; return the broadcasts of each step."""
    shelf = Shelf()
    steps = [shelf.load() for _ in range(programs)] + [shelf.free() for _ in range(programs)]
    return flushes_by_step(without_programs(profile), *steps)


@pytest.mark.parametrize("profile", PACKS)
def test_where_a_program_is_there_from_boot_neither_load_nor_free_broadcasts(profile: str) -> None:
    shelf = Shelf()
    steps = [shelf.load(), shelf.load(5000), shelf.free(), shelf.free()]
    assert flushes_by_step(Booted(profile=profile), *steps) == [[]] * 4


def test_a_pack_is_made_when_that_of_boot_is_full_and_goes_when_its_last_program_does() -> None:
    shelf = Shelf()
    large = 2 * MIB - 32 * PAGE_SIZE
    steps = [shelf.load(large), shelf.load(large), shelf.free(), shelf.free()]
    first, second, one, other = flushes_by_step(Booted(profile="linux-6.12-x86_64"), *steps)
    assert (first, second, one) == ([], [RO], [])
    assert kinds(other) == [("reset_perms", "full")]


@pytest.mark.parametrize(
    ("instructions", "pages"),
    # As counted on 6.12: 80 bytes an instruction, and 8 with 9 more, in units of 64; with guards.
    [(8, 1 + 1 + 1 + 1), (100, 2 + 1 + 1 + 1), (1000, 20 + 1 + 2 + 1), (4000, 79 + 1 + 8 + 1)],
)
def test_a_load_by_bpf_2_frees_two_arrays_lazily_and_a_classic_filter_none(
    instructions: int, pages: int
) -> None:
    for verified, freed in ((instructions, pages), (0, 0)):
        booted = Booted(profile="linux-6.12-x86_64")
        booted.run(Shelf().load(8 * instructions, verified=verified))
        assert booted.kernel.purge.lazy_pages == freed


def test_the_arrays_of_the_verifier_are_purged_with_the_first_change_of_permissions() -> None:
    shelf = Shelf()
    (load,) = flushes_by_step(Booted(profile="linux-5.15-x86_64"), shelf.load(verified=SMALL // 8))
    assert load == [ranged("purge", 2 + 1 + 1 + 1), RO, ranged("attributes", 1)]


def test_4_16_locks_code_and_struct_of_each_program() -> None:
    load, free = load_and_free("linux-4.16-x86_64")
    assert load == [RO, RO]
    # Both are made writable again; on the way the code, freed lazily, is purged with its guard.
    assert free == [RW_AGAIN, ranged("purge", 2), RW_AGAIN]


def test_4_16_without_a_jit_locks_the_struct_alone() -> None:
    load, free = load_and_free("linux-4.16-x86_32")
    assert (load, free) == ([RO], [RW_AGAIN])


def test_later_ones_without_a_jit_lock_the_struct_and_reset_it_when_it_is_freed() -> None:
    shelf = Shelf()
    booted = Booted(profile="linux-6.1-x86_64", bpf_images="interpreted")
    load, free = flushes_by_step(booted, shelf.load(), shelf.free())
    assert load == [RO]
    assert kinds(free) == [("reset_perms", "full")]


def test_5_15_makes_each_program_read_only_then_executable() -> None:
    load, free = load_and_free("linux-5.15-x86_64")
    assert load == [RO, ranged("attributes", 1)]
    assert kinds(free) == [("reset_perms", "full")]


@pytest.mark.parametrize("profile", PACKS)
def test_packs_cost_when_they_are_made_and_when_the_last_program_leaves(profile: str) -> None:
    first, second, third, one, other, last = load_and_free(profile, 3)
    assert first == ([RO, X] if profile == "linux-6.1-x86_64" else [RO])
    assert (second, third, one, other) == ([], [], [], [])
    assert kinds(last) == [("reset_perms", "full")]


@pytest.mark.parametrize(
    ("profile", "load", "free"),
    [
        ("linux-4.16-arm64", 2, 2),  # code and struct read-only, and back
        ("linux-6.1-arm64", 4, 1),  # KICK; alias and range read-only, executable; one flush
        ("linux-6.1-arm32", 2, 1),
        ("linux-6.1-riscv64", 3, 1),  # FENCE, read-only, executable
    ],
)
def test_other_architectures_protect_each_program_too(profile: str, load: int, free: int) -> None:
    assert [len(step) for step in load_and_free(profile)] == [load, free]


@pytest.mark.parametrize(
    ("profile", "told"), [("linux-6.1-arm64", KICK), ("linux-6.1-riscv64", FENCE)]
)
def test_new_code_is_announced_before_it_is_protected(profile: str, told: Flush) -> None:
    load, _ = load_and_free(profile)
    assert load[0] == told
    assert told not in load[1:]


@pytest.mark.parametrize(
    ("profile", "copied", "overwritten"),
    [
        ("linux-6.18-arm64", [UNMAP, KICK, KICK], [UNMAP, KICK]),
        ("linux-6.12-riscv64", [FENCE, FENCE], [FENCE]),
    ],
)
def test_in_a_pack_copying_and_overwriting_code_tells_all_cpus_there(
    profile: str, copied: list[Flush], overwritten: list[Flush]
) -> None:
    _, load, free, _ = load_and_free(profile, 2)
    assert (load, free) == (copied, overwritten)


# 600 bytes and a header of 8 and 16 to spare are 10 chunks of 64; a pack of 2 MiB has 32,768.
@pytest.mark.parametrize(("size", "in_a_pack"), [(1, 32_768), (600, 3276), (4096, 504)])
def test_a_pack_is_full_after_so_many_programs(size: int, in_a_pack: int) -> None:
    booted = without_programs("linux-6.12-x86_64")
    images = booted.kernel.bpf._images
    assert isinstance(images, PackedImages)
    packs = Ear()

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(in_a_pack):
            yield from kernel.bpf_prog_load(size)
        packs(len(images.packs))
        yield from kernel.bpf_prog_load(size)
        packs(len(images.packs))

    booted.run(program)
    assert packs.heard == [1, 2]


def test_freed_chunks_are_used_again_lowest_first() -> None:
    def program(kernel: KernelHandle) -> Calls:
        programs = []
        for _ in range(3):
            programs.append((yield from kernel.bpf_prog_load(SMALL)))
        low = programs[0].image.address
        yield from kernel.bpf_prog_free(programs[0])
        yield from kernel.bpf_prog_free(programs[1])
        yield from kernel.task.sleep(S)
        large = yield from kernel.bpf_prog_load(2 * SMALL)
        # 600 + 24 bytes are 10 chunks, 1200 + 24 are 20: just what two neighbours left.
        assert large.image.address == low
        assert programs[2].image.address == low + 20 * 64

    Booted(profile="linux-6.12-x86_64").run(program)


def test_a_pack_has_two_mib_for_each_node() -> None:
    small = small_machine(2)
    machine = Machine(
        Topology(packages=4), MachineCosts(small.costs.ipi, small.costs.tlb, small.costs.sched)
    )
    kernel = Kernel(machine, load_profile("linux-6.12-x86_64"))
    images = kernel.bpf._images
    assert isinstance(images, PackedImages)
    assert images.pack_size == 8 * MIB


def test_a_program_larger_than_a_pack_has_pages_of_its_own() -> None:
    shelf = Shelf()
    booted = Booted(profile="linux-6.12-x86_64")
    load, free = flushes_by_step(booted, shelf.load(2 * MIB), shelf.free())
    assert load == [RO]
    assert kinds(free) == [("reset_perms", "full")]
    # 2 MiB of code, a header of 8 bytes and 16 to spare: a page more than 512.
    (call,) = booted.of_kind("set_memory_rox")
    assert call["pages"] == 513


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-5.15-x86_64", *PACKS])
def test_code_is_executable_and_read_only_wherever_it_lies(profile: str) -> None:
    booted = without_programs(profile)

    def program(kernel: KernelHandle) -> Calls:
        loaded = yield from kernel.bpf_prog_load(SMALL)
        leaf = booted.kernel.pagetable.walk(loaded.image.address)
        assert leaf is not None
        assert not leaf.entry & (NX | RW)
        assert not (yield from kernel.write(loaded.image.address, 1))

    booted.run(program)


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-5.15-x86_64", *PACKS])
def test_all_memory_comes_back(profile: str) -> None:
    booted = Booted(profile=profile)
    frames = booted.kernel.frames.free
    shelf = Shelf()
    flushes_by_step(booted, shelf.load(), shelf.load(5000), shelf.free(), shelf.free())
    assert booted.kernel.bpf.programs == 0
    assert booted.kernel.frames.free == frames
    assert len(booted.kernel.vmalloc.areas) == 0


def test_programs_are_freed_by_a_worker_of_the_cpu_that_lets_go_of_them() -> None:
    booted = Booted(profile="linux-5.15-x86_64")

    def program(kernel: KernelHandle) -> Calls:
        loaded = yield from kernel.bpf_prog_load(SMALL)
        yield from kernel.bpf_prog_free(loaded)

    booted.spawn(program, 2)
    booted.run()
    (free,) = booted.of_kind("bpf_prog_free_deferred")
    assert (free["cpu"], free["crosscalls"]) == (2, 1)
    assert free["workload"].startswith("kworker")
    assert booted.of_kind("bpf_prog_free")[0]["crosscalls"] == 0


@pytest.mark.parametrize("profile", ["linux-5.15-x86_64", "linux-6.1-x86_64"])
def test_the_struct_of_a_freed_program_stays_on_the_lazy_list(profile: str) -> None:
    shelf = Shelf()
    booted = Booted(profile=profile)

    def purge(kernel: KernelHandle) -> Calls:
        yield from kernel.vm_unmap_aliases()

    # Two programs, so that the pack of 6.1 stays and takes nothing along.
    *_, purged = flushes_by_step(booted, shelf.load(), shelf.load(), shelf.free(), purge)
    assert purged == [ranged("purge", 1 + 1)]


def test_loading_holds_pack_mutex_over_a_new_pack() -> None:
    booted = without_programs("linux-6.1-x86_64")
    for cpu in (0, 1):
        booted.spawn(lambda kernel: kernel.bpf_prog_load(SMALL), cpu)
    booted.run()
    assert booted.flushes.count(RO) == 2
    assert sum(row["lock_wait_ps"] > 0 for row in booted.of_kind("bpf_prog_load")) == 1


@pytest.mark.parametrize("profile", ["linux-5.15-x86_64", "linux-6.12-x86_64"])
def test_a_program_without_room_for_its_code_is_refused_and_leaves_nothing(profile: str) -> None:
    booted = Booted(profile=profile, modules_size="4KiB", bpf_boot_program=False)
    found = Ear()

    def program(kernel: KernelHandle) -> Calls:
        found((yield from kernel.bpf_prog_load(SMALL)))

    booted.run(program)
    assert found.heard == [None]
    assert (len(booted.kernel.vmalloc.areas), booted.kernel.bpf.programs) == (0, 0)


def test_an_empty_program_is_refused() -> None:
    found = Ear()

    def program(kernel: KernelHandle) -> Calls:
        found((yield from kernel.bpf_prog_load(0)))
        yield from kernel.bpf_prog_free(None)

    assert Booted().run(program).calls == []
    assert found.heard == [None]


def test_a_program_is_freed_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        loaded = yield from kernel.bpf_prog_load(SMALL)
        yield from kernel.bpf_prog_free(loaded)
        yield from kernel.bpf_prog_free(loaded)

    with pytest.raises(UndefinedBehaviour, match="second time"):
        Booted().run(program)


def test_a_negative_size_is_no_call_of_a_kernel() -> None:
    with pytest.raises(ProgramError, match="-1 bytes"):
        Booted().run(lambda kernel: kernel.bpf_prog_load(-1))


def test_pages_of_an_image_are_those_that_it_touches() -> None:
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.bpf_prog_load(PAGE_SIZE - 64 - 24)
        second = yield from kernel.bpf_prog_load(200)
        # 4032 bytes end a chunk before the page does; the next image reaches over its end.
        assert (first.image.pages(PAGE_SIZE), second.image.pages(PAGE_SIZE)) == (1, 2)

    without_programs("linux-6.12-x86_64").run(program)
