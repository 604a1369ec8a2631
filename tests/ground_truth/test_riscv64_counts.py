"""Every row that was counted on riscv64 (6.12.117, OpenSBI 1.1), predicted by the simulated kernel.

Each hart that a remote fence reaches executes it in its firmware, the caller's own included: the
executed instructions are the fences times the harts. Freeing the init part of a large module, or a
pack of BPF programs, takes hundreds of fences, and can end in later rows (A), so that loads and
unloads, and packs, are compared as sums too. Flushes of a process name its address space, by which
they are told apart from such a rest.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import pytest

from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from tests.ground_truth import executed
from tests.ground_truth.executed import Done, Machine, Outcome
from tests.ground_truth.noise import Tally, UnexplainedError
from tests.ground_truth.observed import FOLDER

PROFILE = "linux-6.12-riscv64"
TABLE: ModuleTable = "6.12-riscv64"

MANY = 100
"""Fences after a load from which on the freeing of its init part can take until the next row."""

PACK = 1025
"""Fences that free a pack of BPF programs: 2 for each page of its 2 MiB, and a purge."""

PROGRAMS = ((2,), (2, 2, 2, 500, 3000), (500, 500, 500, 2, 2, 2))
"""The programs that one step frees."""

CODE = 4
"""Bytes of an instruction of these programs when it is translated, at the most."""


@dataclass(frozen=True)
class Counted:
    """One row: executed instructions by kind and place."""

    line: int
    cells: dict[str, str]

    @property
    def harts(self) -> int:
        return int(self.cells["smp"])

    @property
    def executed(self) -> Counter[str]:
        words = self.cells["instructions_by_place"].split()
        return Counter({word.split("=")[0]: int(word.split("=")[1]) for word in words})

    @property
    def remote(self) -> int:
        """Fences of everything that were sent to all harts."""
        count, odd = divmod(self.executed["sfence@opensbi"], self.harts)
        if odd:
            raise UnexplainedError("not every hart was fenced as often")
        return count

    @property
    def syncs(self) -> int:
        """Remote FENCE.I."""
        return self.executed["fence.i@flush_icache_all"]

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(f'{k}={v}' for k, v in self.cells.items())}"


def table() -> list[Counted]:
    with gzip.open(FOLDER / "linux-riscv64-counts" / "counts.csv.gz", "rt", newline="") as lines:
        return [Counted(line, row) for line, row in enumerate(csv.DictReader(lines), 2)]


@cache
def modules(harts: int, name: str) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(Machine(PROFILE, harts), executed.module_steps(name, TABLE))


def kernel_flushes(outcome: Outcome) -> int:
    return sum(done.flushes for cause, done in outcome.by_cause.items() if cause != Cause.USER)


def module_row(row: Counted) -> str:
    """Explain one row of a load or an unload; its init part may be freed in the next one."""
    words = row.cells["cmd"].split()
    steps = modules(row.harts, words[1].removesuffix(".ko"))
    predicted = steps[words[0] == "rmmod"][row.cells["phase"] == "after"]
    if row.syncs != predicted.syncs:
        raise UnexplainedError(f"{row.syncs} FENCE.I, not {predicted.syncs}")
    found, fences = row.remote, kernel_flushes(predicted)
    if found == fences:
        return ""
    freed = kernel_flushes(steps[0][1])
    late = words[0] == "rmmod" and fences < found < fences + freed
    early = row.cells["phase"] == "after" and found < freed
    if freed > MANY and (late or early):
        return "A"
    raise UnexplainedError(f"{found} fences, not {fences}")


@cache
def areas(harts: int, pages: int) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(Machine(PROFILE, harts), executed.area_steps(pages))


@cache
def pools(harts: int, refill: int) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(
        Machine(PROFILE, harts), executed.pool_steps(refill, 10, refill * 4096)
    )


def explain_kernel(row: Counted, candidates: list[Outcome]) -> str:
    seen = (row.remote, row.syncs)
    expected = {(kernel_flushes(one), one.syncs) for one in candidates}
    if seen not in expected:
        raise UnexplainedError(f"{seen} fences and FENCE.I, not {sorted(expected)}")
    return ""


def area_row(row: Counted) -> str:
    words = row.cells["cmd"].split()
    named = re.search(r"pages=(\d+)", row.cells["cmd"])
    step = ["valloc", "vro", "vrw", "vrelease", "drain"].index(words[1])
    sizes = [int(named[1])] if named else [1, 64, 512]
    steps = [step, step + 1] if words[1] == "drain" else [step]
    return explain_kernel(row, [areas(row.harts, p)[s][0] for p in sizes for s in steps])


def pool_row(row: Counted) -> str:
    words = row.cells["cmd"].split()
    step = ["create", "alloc", "protect", "protect", "destroy", "drain"].index(words[1])
    steps = [step, step + 1] if words[1] == "protect" else [step]
    return explain_kernel(row, [pools(row.harts, r)[s][0] for r in (1, 4) for s in steps])


def lazy_row(row: Counted) -> str:
    pages, times = map(int, re.findall(r"=(\d+)", row.cells["cmd"]))
    found = executed.outcomes(Machine(PROFILE, row.harts), [executed.cycle(pages, times)])
    return explain_kernel(row, [found[0][0]])


def key_row(row: Counted) -> str:
    found = executed.outcomes(Machine(PROFILE, row.harts), executed.key_steps(3))
    return with_rest_of_pack(row, found[0][row.cells["phase"] == "after"])


@cache
def programs(
    harts: int, images: str, instructions: tuple[int, ...]
) -> list[tuple[Outcome, Outcome]]:
    machine = Machine(PROFILE, harts, overrides=(("bpf_images", images),))
    return executed.outcomes(machine, executed.program_steps(instructions, CODE))


def program_row(row: Counted) -> str:
    """Compare a load or freeing of programs: interpreted ones, or with a JIT in packs."""
    words, after = row.cells["cmd"].split(), row.cells["phase"] == "after"
    if words[1] == "load":
        count = int(words[2])
        if not row.syncs:
            return explain_kernel(row, [programs(row.harts, "interpreted", (count,))[0][0]])
        among = [programs(row.harts, "pack_rox", some)[-2][0] for some in ((count,), (2, count))]
        return min(explained(row, among), key=len)
    if after and row.syncs:
        freed = [programs(row.harts, "pack_rox", some)[-1][1] for some in PROGRAMS]
        return min(explained(row, freed), key=len)
    freed = [programs(row.harts, "interpreted", some)[-1][after] for some in PROGRAMS]
    return explain_kernel(row, freed)


def explained(row: Counted, candidates: list[Outcome]) -> list[str]:
    found, reasons = [], []
    for one in candidates:
        try:
            found.append(with_rest_of_pack(row, one))
        except UnexplainedError as error:
            reasons.append(str(error))
    if not found:
        raise UnexplainedError("; ".join(dict.fromkeys(reasons)))
    return found


def with_rest_of_pack(row: Counted, predicted: Outcome) -> str:
    """Compare a row in which the freeing of a pack may go on, or its own may not end (A)."""
    fences, syncs = kernel_flushes(predicted), predicted.syncs
    if row.syncs != syncs:
        raise UnexplainedError(f"{row.syncs} FENCE.I, not {syncs}")
    if row.remote == fences:
        return ""
    begun = fences == PACK and 0 < row.remote < PACK
    going_on = row.cells["cmd"] != "bpf free" and fences < row.remote < fences + PACK
    if row.cells["part"] in ("bpf", "kernel ranges") and (begun or going_on):
        return "A"
    raise UnexplainedError(f"{row.remote} fences, not {fences}")


@cache
def user(harts: int, command: str, pages: int, threads: int) -> Outcome:
    """Return what a change by a process does that ran on more harts; 0 pages: none is there."""
    steps = executed.user_steps(command, pages, others=tuple(range(1, threads + 1)))
    return executed.outcomes(Machine(PROFILE, harts), steps)[-1][0]


def user_row(row: Counted) -> str:
    """Compare the fences of a process: of pages, or of its whole address space, and on whom.

    H: of the harts, only those that the process has ever run on. A: beside them, the kernel fences
    for what it frees in the background.
    """
    _, command, text = row.cells["cmd"].split()
    pages, count = int(text), row.executed
    # These rows unmap what MADV_DONTNEED has emptied: nothing but the tables is left.
    there = 0 if row.cells["part"] == "user spinning" and command == "munmap" else pages
    codes = "A" if row.remote else ""
    local = count["sfence_asid@__flush_tlb_range"], count["sfence_va_asid@__flush_tlb_range"]
    remote = count["sfence_asid@opensbi"], count["sfence_va_asid@opensbi"]
    for harts in range(1, row.harts + 1):
        done = user(row.harts, command, there, harts - 1).on_all.get(Cause.USER, (0, 0))
        expected = (0, 0) if harts > 1 else _alone(command, there)
        if (local, remote) == (expected, done):
            return codes if harts in (1, row.harts) else codes + "H"
    raise UnexplainedError(f"{local} of an address space and of pages here, {remote} everywhere")


def _alone(command: str, pages: int) -> tuple[int, int]:
    """Return what a hart does to its own TLB, whole or by pages, where nobody is called."""
    if command == "touch":
        return 0, 0
    whole = pages > load_profile(PROFILE).user_ceiling
    tables = int(command == "munmap")
    return whole + tables, 0 if whole else pages


PARTS: dict[str, Callable[[Counted], str]] = {
    "modules": module_row, "modules drained": module_row, "modules asis": module_row,
    "areas": area_row, "pool": pool_row, "lazy": lazy_row, "static key": key_row,
    "user threads 0": user_row, "user threads 1": user_row, "user threads 3": user_row,
    "user alone": user_row, "user after threads exited": user_row, "user spinning": user_row,
    "bpf": program_row,
}  # fmt: skip

COMMANDS: dict[str, Callable[[Counted], str]] = {
    "pp": area_row, "insmod": module_row, "rmmod": module_row, "bpf": program_row,
    "write": key_row,
}  # fmt: skip
"""The part ``kernel ranges`` has steps of all kinds."""


def explain(row: Counted) -> str:
    part, command = row.cells["part"], row.cells["cmd"].split()[0]
    return COMMANDS[command](row) if part == "kernel ranges" else PARTS[part](row)


def test_every_row_is_predicted_to_the_fence_or_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("linux-riscv64: counts")
    for row in table():
        tally.add(str(row), partial(explain, row))
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []


def test_the_modules_of_another_architecture_would_be_unexplained() -> None:
    row = next(row for row in table() if row.cells["cmd"] == "rmmod squashfs")
    assert module_row(row) == ""
    other = executed.outcomes(Machine(PROFILE, 4), executed.module_steps("squashfs", "6.12-x86_64"))
    assert kernel_flushes(other[1][0]) < row.remote // 5


def test_a_process_that_ran_on_all_harts_fences_all_of_them_for_ever() -> None:
    rows = [row for row in table() if row.cells["part"] == "user after threads exited"]
    assert {user_row(row) for row in rows} == {"", "A"}
    assert user(4, "ro", 1, 3).by_cause[Cause.USER] == Done(1, 1, 0)


def test_a_pack_is_freed_by_the_end_of_the_next_load() -> None:
    # What is counted in neither row are some fences between them; no load has fences of its own.
    rows = [row for row in table() if row.cells["part"] == "bpf" and row.cells["smp"] == "4"]
    jitted = [row for row in rows if row.syncs]
    frees = [at for at, row in enumerate(jitted) if row.cells["cmd"] == "bpf free"][:-1]
    assert len(frees) == 3
    for at in frees:
        load = programs(4, "pack_rox", (2,))[0][0]
        both = jitted[at].remote + jitted[at + 1].remote - kernel_flushes(load)
        assert 0.97 * PACK < both <= PACK
