"""Errors that are put into the simulated kernel on purpose have to show in the counted tables.

Each takes back one thing that a table had contradicted. Enough of the table's rows are predicted
anew to see it; that all of them are explained without the error is what the tables' own tests say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from pmsim.kernel import profiles
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.modules.loader import Modules
from pmsim.kernel.text.bpf import Bpf
from pmsim.units import MIB
from tests.ground_truth import (
    burst_replay,
    emulated,
    executed,
    replay,
    simulated,
    test_arm32_counts,
    test_arm64_counts,
    test_module_bursts,
    test_parallel_counts,
    test_riscv64_counts,
    test_text_counts,
)
from tests.ground_truth.noise import UnexplainedError
from tests.ground_truth.observed import LINUX_6_1, LINUX_6_12, rows
from tests.kernel import booted

Change = Callable[[pytest.MonkeyPatch], None]
"""Puts an error in."""

X86, ARM64, ARM32, RISCV = (
    test_text_counts,
    test_arm64_counts,
    test_arm32_counts,
    test_riscv64_counts,
)


class Mutant(NamedTuple):
    """An error, and the rows in which it has to be seen: by the beginnings of some cells."""

    table: ModuleType
    rows: dict[str, str]
    change: Change


def profile(**keys: Any) -> Change:
    """Give every kernel that boots some other keys, whatever its profile allows."""

    def change(patch: pytest.MonkeyPatch) -> None:
        def load(name: str, overrides: dict[str, Any] | None = None) -> Any:
            return profiles.load_profile(name, overrides).model_copy(update=keys)

        for place in (booted, simulated, RISCV):
            patch.setattr(place, "load_profile", load)

    return change


def code_is_not_announced(patch: pytest.MonkeyPatch) -> None:
    def announce(self: Modules, task: Any, module: Any) -> Any:
        sites = module.segments.traced_functions
        return self._text_poke.make_traceable(task, sites)

    patch.setattr(Modules, "_announce", announce)


def firmware_drops_pages_up_to_the_kernels_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(booted, "SBI", replace(booted.SBI, range_pages=64))


def erratum_is_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executed, "ERRATUM", replace(executed.ERRATUM, erratum_798181=False))


def little_memory_moves_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(profiles, "_behind_lowmem", lambda profile: profile)


def programs_leave_no_arrays(patch: pytest.MonkeyPatch) -> None:
    load = Bpf.bpf_prog_load

    def unverified(self: Bpf, task: Any, size: int, *, verified: int = 0, **keys: Any) -> Any:
        return load(self, task, size, **keys)

    patch.setattr(Bpf, "bpf_prog_load", unverified)


def modules_are_those_of_x86(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RISCV, "TABLE", "6.12-x86_64")


def a_purge_takes_one_area_only(patch: pytest.MonkeyPatch) -> None:
    purge = Purge.purge_locked

    def purge_locked(self: Purge, task: Any, *args: Any, **keys: Any) -> Any:
        kept = sorted(self._lazy)[1:]
        self._lazy = sorted(self._lazy)[:1]
        purged = yield from purge(self, task, *args, **keys)
        self._lazy += kept
        return purged

    patch.setattr(Purge, "purge_locked", purge_locked)


def a_purge_flushes_its_areas_apart(patch: pytest.MonkeyPatch) -> None:
    purge = Purge.purge_locked

    def purge_locked(self: Purge, task: Any, *args: Any, **keys: Any) -> Any:
        areas = sorted(self._lazy) or [None]
        self._lazy = []
        for area in areas:
            late, self._lazy = self._lazy, [area] if area else []
            purged = yield from purge(self, task, *args, **keys)
            self._lazy += late
        return purged

    patch.setattr(Purge, "purge_locked", purge_locked)


MUTANTS = {
    "a pack of programs becomes empty and is freed": Mutant(
        X86, {"op": "bpf"}, profile(bpf_boot_program=False)
    ),
    "the verifier's arrays are of another kernel's size": Mutant(
        X86, {"mode": "bpf_i"}, profile(bpf_insn_aux=56)
    ),
    "a second tracer patches no common entry": Mutant(
        X86, {"mode": "ft_vfs"}, profile(ftrace_entry_sites=0)
    ),
    "kprobes stay breakpoints": Mutant(X86, {"mode": "kp"}, profile(kprobe_jumps="none")),
    "a flush too few for each traced function": Mutant(
        ARM64,
        {"cmd": "insmod squashfs", "kernel": "6.12", "smp": "2"},
        profile(ftrace_module_flushes=1),
    ),
    "functions are traced without flushes": Mutant(
        ARM64, {"cmd": "insmod squashfs", "kernel": "6.1.0"}, profile(ftrace_module_flushes=0)
    ),
    "flush_module_icache is forgotten (arm64)": Mutant(
        ARM64, {"cmd": "insmod crc", "smp": "2"}, code_is_not_announced
    ),
    "flush_module_icache is forgotten (RISC-V)": Mutant(
        RISCV, {"cmd": "insmod crc", "smp": "2"}, code_is_not_announced
    ),
    "512 pages are still flushed one by one": Mutant(
        ARM64, {"cmd": "user ro 512", "cpu": "neoverse"}, profile(user_ceiling=512)
    ),
    "user flushes by range have the ceiling of those without": Mutant(
        ARM64, {"cmd": "user ro 5", "cpu": "max"}, profile(user_tlbi_range=False)
    ),
    "emptied tables go with the pages (arm64)": Mutant(
        ARM64, {"cmd": "user munmap 1"}, profile(user_tables="with_pages")
    ),
    "emptied tables go with the pages (RISC-V)": Mutant(
        RISCV, {"cmd": "user munmap 1"}, profile(user_tables="with_pages")
    ),
    "emptied tables go with the pages (arm32)": Mutant(
        ARM32, {"step": "user munmap 1"}, profile(user_tables="with_pages")
    ),
    "a table is an operation (arm32)": Mutant(
        ARM32, {"step": "user munmap 1"}, profile(user_tables="by_table")
    ),
    "a static key ends without an interrupt": Mutant(
        ARM64, {"part": "static key"}, profile(text_poke="insn")
    ),
    "a site of text is one flush (arm32)": Mutant(
        ARM32, {"section": "static key"}, profile(text_poke_flushes=1)
    ),
    "traced functions need no flush (arm32)": Mutant(
        ARM32, {"step": "insmod squashfs", "run": "a15_smp4"}, profile(ftrace_module_flushes=0)
    ),
    "the firmware drops more than a page by pages": Mutant(
        RISCV, {"cmd": "user ro 8"}, firmware_drops_pages_up_to_the_kernels_limit
    ),
    "harts that a process has left are not told": Mutant(
        RISCV, {"part": "user after threads exited"}, profile(user_flush="lazy_skipped")
    ),
    "the kernel drops up to 512 pages of its own one by one": Mutant(
        RISCV, {"cmd": "user ro", "part": "user threads 0"}, profile(user_ceiling=512)
    ),
    "the interpreter's programs are in a pack": Mutant(
        RISCV, {"cmd": "bpf free", "smp": "2"}, profile(bpf_images="pack_rox")
    ),
    "a program is there from boot where none is": Mutant(
        RISCV, {"cmd": "bpf free", "part": "bpf"}, profile(bpf_boot_program=True)
    ),
    "modules have the pages of another architecture": Mutant(
        RISCV, {"cmd": "insmod squashfs", "smp": "2"}, modules_are_those_of_x86
    ),
    "the erratum of the Cortex-A15 is off": Mutant(
        ARM32, {"step": "insmod crc7", "run": "a15r2p1"}, erratum_is_off
    ),
    "the vmalloc range begins where it does with much memory": Mutant(
        ARM32, {"step": "insmod crc7", "run": "a15_smp4_512"}, little_memory_moves_nothing
    ),
    "programs leave nothing behind": Mutant(
        ARM32, {"section": "bpf undrained"}, programs_leave_no_arrays
    ),
    "twice as many pages gather before a purge": Mutant(
        ARM32, {"section": "lazy"}, profile(lazy_max_unit=64 * MIB)
    ),
}


PURGES = {
    "one area only": a_purge_takes_one_area_only,
    "areas apart": a_purge_flushes_its_areas_apart,
}


def fresh(table: ModuleType, patch: pytest.MonkeyPatch) -> None:
    """Let a table's predictions be made anew, and those that are known be kept for others."""
    for name, value in vars(table).items():
        if hasattr(value, "cache_clear"):
            patch.setattr(table, name, cache(value.__wrapped__))


def chosen(mutant: Mutant) -> list[Any]:
    found: Iterable[Any]
    found = rows("text_counts", LINUX_6_12) if mutant.table is X86 else mutant.table.table()
    wanted = mutant.rows.items()
    return [row for row in found if all(row.cells[k].startswith(v) for k, v in wanted)]


def is_unexplained(explain: Callable[[Any], str], row: Any) -> bool:
    try:
        explain(row)
    except UnexplainedError:
        return True
    return False


def unexplained(table: ModuleType, some: list[Any]) -> int:
    return sum(is_unexplained(table.explain, row) for row in some)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_an_error_leaves_rows_unexplained(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    some = chosen(mutant)
    fresh(mutant.table, monkeypatch)
    assert unexplained(mutant.table, some) == 0
    fresh(mutant.table, monkeypatch)
    mutant.change(monkeypatch)
    assert unexplained(mutant.table, some) > 0


@pytest.mark.slow
@pytest.mark.parametrize("change", PURGES.values(), ids=PURGES)
def test_another_purge_leaves_bursts_unexplained(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Unloading would not show it: on 6.1 each module is one area, which is purged at once.
    table = rows("module_load_counts", LINUX_6_1)
    some = [row for row in table if row["mode"] == "load_w1_u1" and row["smp"] == "2"]
    for place in (test_module_bursts, burst_replay, replay):
        fresh(place, monkeypatch)
    change(monkeypatch)
    assert some
    assert all(is_unexplained(test_module_bursts.explain_burst, row) for row in some)


@pytest.mark.slow
@pytest.mark.parametrize("change", PURGES.values(), ids=PURGES)
@pytest.mark.parametrize("mode", ["pools_w2", "loadonly"])
def test_another_purge_leaves_work_at_the_same_time_unexplained(
    mode: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows("parallel_counts", LINUX_6_1)
    some = [row for row in table if row["mode"] == mode and row["smp"] == "2"]
    for place in (test_parallel_counts, emulated):
        fresh(place, monkeypatch)
    change(monkeypatch)
    assert any(is_unexplained(test_parallel_counts.explain, row) for row in some)
