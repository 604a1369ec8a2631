"""Every row that was counted on arm64 (6.1.192 and 6.12.117), predicted by the simulated kernel.

The rows are deterministic but for what the BPF verifier and tasks that ended had freed. Rows tell a
step by its command only; where it does not name a size (``vro``), the size is read off the row, and
all the rest must follow.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial

import pytest

from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.tlbflush import Cause
from tests.ground_truth import executed
from tests.ground_truth.executed import Done, Machine, Outcome
from tests.ground_truth.noise import STACK, Tally, UnexplainedError
from tests.ground_truth.observed import FOLDER

CAUSES = {
    "__change_memory_common": Cause.ATTRIBUTES,
    "__purge_vmap_area_lazy": Cause.PURGE,
    "__set_fixmap": Cause.TEXT_POKE,
    "tlb_flush": Cause.USER,
}
"""Functions that executed operations, and why pmsim says that they did."""

PROFILES = {"6.1.0": "linux-6.1.y-arm64", "6.12.": "linux-6.12-arm64"}
TABLES: dict[str, ModuleTable] = {
    "linux-6.1.y-arm64": "6.1-arm64",
    "linux-6.12-arm64": "6.12-arm64",
}

CODE = 4
"""Bytes of an instruction of these programs when it is translated."""

FREED = ((2, 2, 2, 500, 3000), (2,), (2, 2, 2, 500, 500, 500), (500,), (20000,))
"""The programs that one step frees."""


@dataclass(frozen=True)
class Counted:
    """One row: instructions by function and kind."""

    line: int
    cells: dict[str, str]

    @property
    def machine(self) -> Machine:
        profile = PROFILES[self.cells["kernel"][:5]]
        rodata = "on" if self.cells["rodata"].startswith("on") else "full"
        cpu = {"ranges" if self.cells["cpu"] == "max" else "neoverse": True}
        return Machine(profile, int(self.cells["smp"]), **cpu, overrides=(("rodata", rodata),))

    @property
    def command(self) -> str:
        return self.cells["cmd"]

    @property
    def instructions(self) -> dict[Cause, Counter[str]]:
        found: dict[Cause, Counter[str]] = {}
        for word in self.cells["tlbi_by_function"].split():
            kind, function, count = re.fullmatch(r"(\w+)@(\w+)=(\d+)", word).groups()  # type: ignore[union-attr]
            found.setdefault(CAUSES[function], Counter())[kind] = int(count)
        return found

    @property
    def after(self) -> bool:
        return self.cells["phase"] == "after"

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(f'{k}={v}' for k, v in self.cells.items())}"


def table() -> list[Counted]:
    with gzip.open(FOLDER / "linux-arm64-counts" / "counts.csv.gz", "rt", newline="") as lines:
        return [Counted(line, row) for line, row in enumerate(csv.DictReader(lines), 2)]


def compare(row: Counted, predicted: Outcome) -> str:
    """Return the codes of the noise that makes this row of a prediction."""
    if "no kprobes" not in row.cells["rodata"]:
        kicks = int(row.cells["kick_all_cpus_sync"])
        if kicks != predicted.syncs:
            raise UnexplainedError(f"{kicks} calls of all CPUs, not {predicted.syncs}")
    codes = set()
    seen = row.instructions
    for cause in seen.keys() | predicted.by_cause.keys():
        expected = predicted.by_cause.get(cause, Done(0, 0, 0))
        codes |= _compare_cause(row, cause, seen.get(cause, Counter()), expected)
    return "".join(sorted(codes))


def _compare_cause(row: Counted, cause: Cause, seen: Counter[str], expected: Done) -> set[str]:
    if cause is Cause.USER:
        # 6.12 has a second barrier after the flush of a whole address space, and repeats it too.
        more = expected.full if expected.repeated and "6.12" in row.machine.profile else 0
        operations = expected.pages + expected.full + expected.repeated + more
        if seen.total() != operations:
            raise UnexplainedError(f"{dict(seen)} are not {operations} operations")
        return set()
    repeated = seen["vale1is"]
    flushes = repeated if expected.repeated else expected.flushes
    found = Done(flushes, seen["vaale1is"], seen["vmalle1is"], repeated)
    if found == expected:
        return set()
    more = found.pages - expected.pages
    if cause is Cause.PURGE and found.flushes - expected.flushes in (0, 1):
        # K and M: what the guest's own tasks left is flushed too, or makes the flush a full one.
        if found.full == expected.full and more >= STACK:
            return {"M" if found.flushes == expected.flushes else "K"}
        if found.full == expected.full + 1 and found.pages <= expected.pages:
            return {"M"}
        # V: what earlier loads of BPF programs left, at least an area of a page.
        if row.cells["part"] == "bpf" and found.full == expected.full and more >= 2:
            return {"V"}
    raise UnexplainedError(f"{cause.name}: {found}, not {expected}")


@cache
def modules(machine: Machine, name: str) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(machine, executed.module_steps(name, TABLES[machine.profile]))


@cache
def areas(machine: Machine, pages: int) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(machine, executed.area_steps(pages))


@cache
def pools(machine: Machine, refill: int) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(machine, executed.pool_steps(refill, 10, refill * 4096))


@cache
def one_step(machine: Machine, part: str, command: str, size: int) -> list[tuple[Outcome, Outcome]]:
    if part == "user":
        return executed.outcomes(machine, executed.user_steps(command, size))
    if part == "lazy":
        pages, times = map(int, re.findall(r"=(\d+)", command))
        return executed.outcomes(machine, [executed.cycle(pages, times)])
    if part == "static key":
        return executed.outcomes(machine, executed.key_steps(size))
    raise AssertionError(part)


@cache
def programs(
    machine: Machine, instructions: tuple[int, ...], stay: int = 0
) -> list[tuple[Outcome, Outcome]]:
    return executed.outcomes(machine, executed.program_steps(instructions, CODE, stay))


def loads(machine: Machine, instructions: int) -> list[list[tuple[Outcome, Outcome]]]:
    """Return the load of a program by itself and after others, among which it may lie anywhere."""
    before = [(), (2, 2, 2), (500,), (500, 500)]
    return [programs(machine, (*some, instructions)) for some in before]


def candidates(row: Counted) -> list[Outcome]:
    """Return what the row can be."""
    part, words = row.cells["part"], row.command.split()
    pick = 1 if row.after else 0
    if part.startswith("modules"):
        name = words[1].removesuffix(".ko")
        return [modules(row.machine, name)[words[0] == "rmmod"][pick]]
    if part == "areas":
        step = ["valloc", "vro", "vrw", "vrelease", "drain"].index(words[1])
        steps = [step, step + 1] if words[1] == "drain" else [step]
        return [areas(row.machine, p)[s][pick] for p in sizes_of(row) for s in steps]
    if part == "pool":
        step = ["create", "alloc", "protect", "protect", "destroy", "drain"].index(words[1])
        steps = [step, step + 1] if words[1] == "protect" else [step]
        return [pools(row.machine, refill)[s][pick] for refill in (1, 4) for s in steps]
    if part == "user":
        return [one_step(row.machine, "user", words[1], int(words[2]))[0][pick]]
    if part == "static key":
        sites = row.instructions[Cause.TEXT_POKE]["vaale1is"]
        return [one_step(row.machine, part, "", sites)[0][pick]]
    if part == "bpf":
        if words[1] == "load":
            return [one[-2][pick] for one in loads(row.machine, int(words[2]))]
        # What the guest has loaded shifts them within a pack.
        return [
            programs(row.machine, (*there, *some), len(there))[-1][pick]
            for some in FREED
            for there in ((), (500,))
        ]
    return [one_step(row.machine, "lazy", row.command, 0)[0][pick]]


def sizes_of(row: Counted) -> list[int]:
    """Return the pages of the area that a step can be about: named, or read off the row."""
    named = re.search(r"pages=(\d+)", row.command)
    if named:
        return [int(named[1])]
    operations = sum((count for count in row.instructions.values()), Counter[str]())
    if operations["vmalle1is"]:
        return [512, 513, operations["vaale1is"] or 514]
    pages = operations["vaale1is"]
    return [pages // 2, pages, pages - 1] if pages > 1 else [1, 8]


def explain(row: Counted) -> str:
    found, reasons = [], []
    for predicted in candidates(row):
        try:
            found.append(compare(row, predicted))
        except UnexplainedError as error:
            reasons.append(str(error))
    if not found:
        raise UnexplainedError("; ".join(dict.fromkeys(reasons)))
    return min(found, key=len)


def test_every_row_is_predicted_to_the_operation_or_explained_by_what_others_freed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("linux-arm64: counts")
    for row in table():
        tally.add(str(row), partial(explain, row))
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []


@pytest.mark.parametrize(
    ("cells", "changes"),
    [
        ({"cmd": "insmod squashfs.ko", "kernel": "6.12"}, {"kick_all_cpus_sync": "0"}),
        ({"cmd": "insmod squashfs.ko"}, {"tlbi_by_function": ""}),
        (
            {"cmd": "user ro 512", "cpu": "neoverse-n1"},
            {"tlbi_by_function": "vale1is@tlb_flush=513"},
        ),
        ({"cmd": "user munmap 64", "cpu": "max"}, {"tlbi_by_function": "rvale1is@tlb_flush=1"}),
        ({"part": "static key"}, {"kick_all_cpus_sync": "0"}),
    ],
)
def test_what_was_predicted_before_it_was_counted_is_unexplained(
    cells: dict[str, str], changes: dict[str, str]
) -> None:
    row = next(
        row
        for row in table()
        if all(row.cells[name].startswith(value) for name, value in cells.items())
        and "no kprobes" not in row.cells["rodata"]
    )
    assert explain(row) == ""
    with pytest.raises(UnexplainedError):
        explain(Counted(row.line, row.cells | changes))
