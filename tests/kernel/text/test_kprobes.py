"""Kprobes: their pages of slots, and arming them (kernel/kprobes.c, ``arch/*/kernel/kprobes``)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, S
from tests.kernel.booted import Booted, Ear, Flush, dvm, full, ranged, sbi
from tests.kernel.steps import flushes_by_step
from tests.kernel.text.test_text_poke import KICK, SYNC

Calls = Generator[Any, Any, Any]

RO = ROX = full("attributes")
JUMPS = {"patched": ([SYNC] * 3, [SYNC] * 3), "synced": ([SYNC] * 3, [SYNC] * 2)}
"""What other CPUs notice of a jump that comes and goes."""


@pytest.mark.parametrize(
    ("profile", "page", "arming"),
    [
        ("linux-4.16-x86_64", [RO], []),
        ("linux-4.16-x86_32", [RO], []),
        ("linux-5.15-x86_64", [RO, ranged("attributes", 1)], [SYNC]),
        ("linux-6.1-x86_64", [RO, ranged("attributes", 1)], [SYNC]),
        ("linux-6.6-x86_64", [ROX], [SYNC]),
        ("linux-6.12-x86_64", [ROX], [SYNC]),
        ("linux-6.18-x86_64", [ROX], [SYNC]),  # a new block of executable memory
        ("linux-4.16-arm64", [], [KICK]),  # the machine is stopped
        ("linux-6.1-arm64", [], [KICK]),
        ("linux-6.18-arm64", [dvm("attributes", 1)] * 3, [KICK]),  # alias and page, then x
        ("linux-6.1-arm32", [], [KICK]),
        ("linux-6.1-riscv64", [], [sbi(KICK)]),
        ("linux-6.12-riscv64", [], [sbi(KICK)]),
    ],
)
def test_the_first_probe_needs_a_page_and_every_probe_is_armed(
    profile: str, page: list[Flush], arming: list[Flush]
) -> None:
    probes: list[Any] = []

    def register(kernel: KernelHandle) -> Calls:
        probes.append((yield from kernel.register_kprobe()))

    def unregister(kernel: KernelHandle) -> Calls:
        yield from kernel.unregister_kprobe(probes.pop())

    booted = Booted(profile=profile)
    first, second, disarmed = flushes_by_step(booted, register, register, unregister)
    jump, back = JUMPS.get(booted.kernel.profile.kprobe_jumps, ([], []))
    # Slots for instructions and for detours are pages of their own, but of one block in 6.18.
    pages = page * 2 if jump and profile != "linux-6.18-x86_64" else page
    assert first == pages + arming + jump
    assert second == arming + jump
    assert disarmed == back + arming
    assert len(booted.of_kind("register_kprobe")) == 2
    assert len(booted.of_kind("unregister_kprobe")) == 1


def many(booted: Booted, probes: int) -> list[Any]:
    """Register probes one after the other."""
    made: list[Any] = []

    def program(kernel: KernelHandle) -> Calls:
        for _ in range(probes):
            made.append((yield from kernel.register_kprobe()))

    booted.run(program)
    return made


# 15 bytes a slot on x86, two words of 4 bytes elsewhere.
@pytest.mark.parametrize(
    ("profile", "slots"), [("linux-6.1-x86_64", 273), ("linux-6.1-arm64", 512)]
)
def test_a_page_has_as_many_slots_as_instructions_fit(profile: str, slots: int) -> None:
    booted = Booted(profile=profile)
    made = many(booted, slots + 1)
    first, second = booted.kernel.kprobes.slots.pages
    assert (first.used, second.used) == (slots, 1)
    assert made[-1].page is second


@pytest.mark.parametrize(
    ("profile", "flushes"),
    [
        ("linux-4.16-x86_64", [("attributes", "full")] * 2),  # not executable, writable; then lazy
        ("linux-6.12-x86_64", [("reset_perms", "full")]),
    ],
)
def test_an_empty_page_is_freed_unless_it_is_the_last(
    profile: str, flushes: list[tuple[str, str]]
) -> None:
    booted = Booted(profile=profile)
    probes: list[Any] = []

    def register(kernel: KernelHandle) -> Calls:
        for _ in range(274):
            probes.append((yield from kernel.register_kprobe()))

    def of_the_second_page(kernel: KernelHandle) -> Calls:
        yield from kernel.unregister_kprobe(probes.pop())

    def of_the_first_page(kernel: KernelHandle) -> Calls:
        while probes:
            yield from kernel.unregister_kprobe(probes.pop())

    _, freed, _ = flushes_by_step(booted, register, of_the_second_page, of_the_first_page)
    # A jump is taken away first, with the breakpoint in 6.12.
    sync = [("text_poke", "sync_core")] * 3
    assert [(flush.cause, flush.kind) for flush in freed] == [*sync, *flushes]
    (page,) = booted.kernel.kprobes.slots.pages
    assert page.used == 0


def test_an_unregistered_probe_keeps_its_slot_for_a_grace_period() -> None:
    booted = Booted(costs=KernelCosts(rcu_grace_period=30 * MS))

    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe()
        yield from kernel.unregister_kprobe(probe)

    booted.run(program)
    (row,) = booted.of_kind("unregister_kprobe")
    assert row["delay_ps"] >= 30 * MS


def test_a_probe_without_room_for_its_slot_is_refused_and_nothing_is_armed() -> None:
    found = Ear()

    def program(kernel: KernelHandle) -> Calls:
        found((yield from kernel.register_kprobe()))
        yield from kernel.unregister_kprobe(None)

    booted = Booted(modules_size="4KiB").run(program)
    assert found.heard == [None]
    assert SYNC not in booted.flushes


def test_a_probe_is_unregistered_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe()
        yield from kernel.unregister_kprobe(probe)
        yield from kernel.unregister_kprobe(probe)

    with pytest.raises(UndefinedBehaviour, match="second time"):
        Booted().run(program)


def test_on_6_18_slots_come_from_the_cache_of_executable_memory() -> None:
    booted = Booted(profile="linux-6.18-x86_64")
    many(booted, 274)
    # One block of 2 MiB serves both pages; each piece is executable as it is.
    assert len(booted.of_kind("set_memory_rox")) == 1
    assert len(booted.kernel.kprobes.slots.pages) == 2


def test_a_probe_that_goes_before_its_jump_comes_was_a_breakpoint_only() -> None:
    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe()
        yield from kernel.disable_kprobe(probe)
        yield from kernel.disable_kprobe(probe)

    booted = Booted(profile="linux-6.12-x86_64").run(program)
    assert [flush for flush in booted.flushes if flush == SYNC] == [SYNC] * 2


def test_a_probe_that_is_armed_again_in_time_keeps_its_jump() -> None:
    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe(disabled=True)
        yield from kernel.enable_kprobe(probe)
        yield from kernel.task.sleep(S)
        yield from kernel.disable_kprobe(probe)
        yield from kernel.enable_kprobe(probe)
        yield from kernel.task.sleep(S)

    booted = Booted(profile="linux-6.12-x86_64").run(program)
    assert [flush for flush in booted.flushes if flush == SYNC] == [SYNC] * 4


def test_a_probe_with_a_jump_gives_both_slots_back() -> None:
    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe()
        yield from kernel.task.sleep(S)
        yield from kernel.unregister_kprobe(probe)
        yield from kernel.task.sleep(S)

    booted = Booted(profile="linux-6.12-x86_64").run(program)
    kprobes = booted.kernel.kprobes
    assert [page.used for page in kprobes.slots.pages + kprobes.detours.pages] == [0, 0]


@pytest.mark.parametrize("call", ["enable_kprobe", "disable_kprobe"])
def test_a_probe_is_switched_while_it_is_registered(call: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        probe = yield from kernel.register_kprobe()
        yield from kernel.unregister_kprobe(probe)
        yield from getattr(kernel, call)(probe)

    with pytest.raises(UndefinedBehaviour, match=f"{call} after unregister_kprobe"):
        Booted().run(program)
