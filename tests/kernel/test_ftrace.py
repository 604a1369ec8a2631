"""Function tracing (kernel/trace/ftrace.c and ``arch/*/kernel/ftrace.c``)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.units import MS, S
from tests.kernel.booted import Booted, Ear, Flush, full, ranged
from tests.kernel.steps import flushes_by_step
from tests.kernel.text.test_bpf import kinds
from tests.kernel.text.test_text_poke import BATCHES, KICK, PER_SITE, SYNC, UNMAP

Calls = Generator[Any, Any, Any]

CHANGE = full("attributes")
ENTRY = [SYNC] * 6
"""The two calls of the common entry, patched one by one."""
LAST = [KICK, *ENTRY]
"""What follows the sites where the entry is to call another function than the list of tracers."""
MODULE = ModuleSegments(2, 1, 1, 0, 2, 1, 0, 0, 1)


def switched(
    booted: Booted, sites: int, *, trampoline: bool = True, modules: int = 0
) -> tuple[list[Flush], list[Flush]]:
    """Switch tracing on and off and return the broadcasts of both."""
    tracers: list[Any] = []

    def load(kernel: KernelHandle) -> Calls:
        for _ in range(modules):
            assert (yield from kernel.load_module(MODULE)) is not None
        yield from kernel.task.sleep(S)
        yield from kernel.vm_unmap_aliases()

    def enable(kernel: KernelHandle) -> Calls:
        tracers.append((yield from kernel.ftrace_enable(sites, trampoline=trampoline)))

    def disable(kernel: KernelHandle) -> Calls:
        yield from kernel.ftrace_disable(tracers[0])

    _, on, off = flushes_by_step(booted, load, enable, disable)
    return on, off


@pytest.mark.parametrize("profile", PER_SITE)
@pytest.mark.parametrize("modules", [0, 1, 5])
def test_4_16_opens_and_closes_all_text_around_one_pass(profile: str, modules: int) -> None:
    booted = Booted(profile=profile)
    on, off = switched(booted, 40_000, trampoline=False, modules=modules)
    opened = [CHANGE] * (1 + modules)
    assert on == off == [*opened, *ENTRY, *[SYNC] * 3, *LAST, *opened]
    # Two calls for each module each way: the init part is gone, but still asked for.
    (first, _) = booted.of_kind("ftrace_enable"), booted.of_kind("ftrace_disable")
    calls = [
        row
        for row in booted.operations
        if row["kind"].startswith("set_memory_") and row["parent"] == first[0]["id"]
    ]
    assert len(calls) == 2 * 2 * modules


def test_a_new_tracer_of_4_16_gets_a_trampoline_that_is_patched_and_locked() -> None:
    on, off = switched(Booted(profile="linux-4.16-x86_64"), 40_000)
    sites = [SYNC] * 3
    assert on == [*sites, CHANGE, CHANGE, *ENTRY, *sites, CHANGE]
    # Not executable, writable; then freed lazily.
    assert off == [CHANGE, *ENTRY, *sites, *LAST, CHANGE, CHANGE, CHANGE]


@pytest.mark.parametrize("profile", BATCHES)
@pytest.mark.parametrize(("sites", "batches"), [(1, 1), (256, 1), (257, 2), (40_000, 157)])
def test_later_ones_serialise_three_times_for_256_sites(
    profile: str, sites: int, batches: int
) -> None:
    on, off = switched(Booted(profile=profile), sites, trampoline=False)
    assert on == off == [*ENTRY, *[SYNC] * 3 * batches, *LAST]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("profile", "again"),
    # Since 6.2 not where it calls the list already (bd604f3db49c).
    [("linux-5.15-x86_64", ENTRY), ("linux-6.1-x86_64", ENTRY), ("linux-6.6-x86_64", []),
     ("linux-6.12-x86_64", [])],
)  # fmt: skip
def test_the_entry_is_patched_when_the_second_tracer_comes_and_not_for_the_third(
    dynamic: bool, profile: str, again: list[Flush]
) -> None:
    tracers: list[Any] = []

    def first(kernel: KernelHandle) -> Calls:
        tracers.append((yield from kernel.ftrace_enable(1, trampoline=False)))

    def enable(kernel: KernelHandle) -> Calls:
        tracers.append((yield from kernel.ftrace_enable(300, trampoline=dynamic)))

    def disable(kernel: KernelHandle) -> Calls:
        yield from kernel.ftrace_disable(tracers.pop())

    steps = first, enable, enable, disable, disable
    calls = [
        [flush for flush in flushes if flush.cause == "text_poke"]
        for flushes in flushes_by_step(Booted(profile=profile), *steps)
    ]
    sites = [SYNC] * 6
    assert calls[1:] == [[*ENTRY, *sites], sites, sites, [*again, *sites, *LAST]]


def test_a_new_tracer_is_called_through_the_list_even_if_it_is_alone() -> None:
    on, off = switched(Booted(profile="linux-6.12-x86_64"), 1)
    assert [flush for flush in on if flush.cause == "text_poke"] == [*ENTRY, *[SYNC] * 3]
    assert [flush for flush in off if flush.cause == "text_poke"] == [*[SYNC] * 3, *LAST]


@pytest.mark.parametrize(
    ("profile", "made", "again"),
    [
        ("linux-5.15-x86_64", [CHANGE, ranged("attributes", 1)], ENTRY),
        ("linux-6.1-x86_64", [CHANGE, ranged("attributes", 1)], ENTRY),
        ("linux-6.6-x86_64", [CHANGE], []),
        ("linux-6.12-x86_64", [CHANGE], []),
    ],
)
def test_the_trampoline_of_a_new_tracer_is_protected_first_and_freed_last(
    profile: str, made: list[Flush], again: list[Flush]
) -> None:
    on, off = switched(Booted(profile=profile), 256)
    assert on == [*made, *ENTRY, *[SYNC] * 3]
    assert kinds(off) == [*kinds([*again, *[SYNC] * 3, *LAST]), ("reset_perms", "full")]


def test_on_6_18_a_trampoline_is_cut_from_executable_memory_and_made_writable_first() -> None:
    booted = Booted(profile="linux-6.18-x86_64")
    switched(booted, 256)
    (enable,), (disable,) = booted.of_kind("ftrace_enable"), booted.of_kind("ftrace_disable")

    def calls(operation: dict[str, Any]) -> list[str]:
        made = [row for row in booted.operations if row["parent"] == operation["id"]]
        made.sort(key=lambda row: row["start_ps"])
        names = [row["kind"].removeprefix("set_memory_") for row in made]
        return [name for name in names if name in ("nx", "rw", "rox")]

    assert calls(enable) == ["rox", "nx", "rw", "rox"]  # the block; then the piece
    assert calls(disable) == ["nx", "rw", "rox"]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("linux-4.16-arm64", [UNMAP] * 10),
        ("linux-6.1-arm64", [UNMAP] * 10),
        ("linux-6.18-arm64", [UNMAP] * 10),
        ("linux-6.1-arm32", [KICK]),  # the machine is stopped once
    ],
)
def test_arm_patches_site_by_site_or_stops_the_machine_once(
    profile: str, expected: list[Flush]
) -> None:
    on, off = switched(Booted(profile=profile), 10)
    assert on == off == expected


@pytest.mark.parametrize("profile", ["linux-6.1-riscv64", "linux-6.12-riscv64"])
def test_riscv_stops_the_machine_once(profile: str) -> None:
    on, off = switched(Booted(profile=profile), 10)
    assert [(flush.cause, flush.kind) for flush in on + off] == [("text_poke", "empty")] * 2


def test_a_tracer_of_no_function_patches_the_common_entry_alone() -> None:
    on, off = switched(Booted(), 0, trampoline=False)
    assert on == off == [*ENTRY, *LAST]


def test_ftrace_lock_is_held_over_all_batches() -> None:
    booted = Booted()
    for cpu in (0, 1):
        booted.spawn(lambda kernel: kernel.ftrace_enable(1000, trampoline=False), cpu)
    booted.run()
    first, second = sorted(booted.of_kind("ftrace_enable"), key=lambda row: row["end_ps"])
    assert second["lock_wait_ps"] >= first["end_ps"] - first["start_ps"]


def test_a_tracer_without_room_for_its_trampoline_is_refused_and_patches_nothing() -> None:
    found = Ear()

    def program(kernel: KernelHandle) -> Calls:
        found((yield from kernel.ftrace_enable(10)))
        yield from kernel.ftrace_disable(None)

    booted = Booted(modules_size="4KiB").run(program)
    assert found.heard == [None]
    assert booted.of_kind("text_poke_bp_batch") == []


def test_a_tracer_is_taken_away_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        tracer = yield from kernel.ftrace_enable(10)
        yield from kernel.ftrace_disable(tracer)
        yield from kernel.ftrace_disable(tracer)

    with pytest.raises(UndefinedBehaviour, match="second time"):
        Booted().run(program)


def test_a_negative_number_of_sites_is_no_call_of_a_kernel() -> None:
    with pytest.raises(ProgramError, match="-1 sites"):
        Booted().run(lambda kernel: kernel.ftrace_enable(-1))


@pytest.mark.parametrize(("trampoline", "waits"), [(True, True), (False, False)])
def test_a_trampoline_is_freed_after_a_grace_period(trampoline: bool, waits: bool) -> None:
    def program(kernel: KernelHandle) -> Calls:
        tracer = yield from kernel.ftrace_enable(1, trampoline=trampoline)
        yield from kernel.ftrace_disable(tracer)

    booted = Booted(costs=KernelCosts(rcu_grace_period=30 * MS)).run(program)
    (row,) = booted.of_kind("ftrace_disable")
    assert (row["end_ps"] - row["start_ps"] >= 30 * MS) == waits
