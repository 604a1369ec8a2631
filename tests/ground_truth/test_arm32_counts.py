"""Every flush that was counted on a 32-bit Arm kernel (6.1.176, Cortex-A15), predicted.

Each flush executes two barriers, and up to revision r2p3 of the CPU an operation of its own for
erratum 798181, which up to r2p1 is followed by a call of the other CPUs. Spans that reach from the
modules to the vmalloc range, or to the pages behind an area in the direct map, depend on where the
guest has its own (L). Mappings of highmem are this CPU's alone; each executes two operations and
drops one page when it ends, and each of the two is conditional, so that it counts twice.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import pytest

from pmsim.kernel.keys.code import ModuleTable
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.scenario.platform import load_platform
from pmsim.units import PAGE_SIZE
from tests.ground_truth import executed
from tests.ground_truth.executed import Done, Machine, Outcome
from tests.ground_truth.noise import Tally, UnexplainedError
from tests.ground_truth.observed import FOLDER
from tests.ground_truth.simulated import Step

PROFILE = "linux-6.1-arm32"
TABLE: ModuleTable = "6.1-arm32"

KERNEL = "v7wbi_flush_kern_tlb_range"
USER = "v7wbi_flush_user_tlb_range"
BARRIERS = 2
"""Barriers of each flush."""

CODE = 8
"""Bytes of an instruction of these programs when it is translated."""

MAPPINGS_OF_A_PAGE = 4
"""Highmem mappings of a page that a process touches: to clear it, and for the caches."""

LITTLE: tuple[tuple[str, str], ...] = (("memory", "512MiB"),)


@dataclass(frozen=True)
class Flushes:
    """Flushes, and the operations of all of them."""

    number: int
    operations: int


@dataclass(frozen=True)
class Counted:
    """One row: executed instructions by kind and function."""

    line: int
    cells: dict[str, str]

    @property
    def cpus(self) -> int:
        return int(re.search(r"smp(\d)", self.cells["run"])[1])  # type: ignore[index]

    @property
    def revision(self) -> str:
        """The revision of the CPU, where it is an early one."""
        found = re.match(r"a15(r\dp\d)", self.cells["run"])
        return found[1] if found else ""

    @property
    def machine(self) -> Machine:
        """What the row was counted on: with the erratum's calls, or with little memory."""
        tlbi = load_platform("cortex-a15-r2p1" if self.revision == "r2p1" else "cortex-a15")
        assert tlbi.costs.tlbi is not None
        memory = LITTLE if "_512" in self.cells["run"] else ()
        erratum = tlbi.costs.tlbi.erratum_798181
        return Machine(PROFILE, self.cpus, erratum=erratum, overrides=memory)

    @property
    def words(self) -> list[str]:
        return self.cells["step"].split()

    def count(self, column: str, word: str) -> int:
        """Return how often an instruction of a function was executed."""
        found = re.search(rf"(?:^| ){re.escape(word)}=(\d+)", self.cells[column])
        return int(found[1]) if found else 0

    def traced(self, function: str) -> int:
        return self.count("traced_calls_first_time", function)

    def flushes(self, column: str, function: str) -> Flushes:
        barriers = self.count(column, f"dsb_ish@{function}")
        return Flushes(barriers // BARRIERS, self.count(column, f"tlbi_mvaais@{function}"))

    def dummies(self, column: str) -> int:
        """Return the erratum's own operations, one for each flush that it is about."""
        return sum(
            self.count(column, f"tlbi_mvais@erratum_a15_798181_{kind}")
            for kind in ("broadcast", "partial")
        )

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(f'{k}={v}' for k, v in self.cells.items())}"


CALL, AFTER = "executed_in_the_call", "executed_while_settling"


def table(runs: str = r".*") -> list[Counted]:
    with gzip.open(FOLDER / "linux-arm32-counts" / "counts.csv.gz", "rt", newline="") as lines:
        found = [Counted(line, row) for line, row in enumerate(csv.DictReader(lines), 2)]
    return [row for row in found if re.fullmatch(runs, row.cells["run"])]


# What the simulated kernel does

Both = tuple[Outcome, Outcome]
"""In the call, and after it."""


@cache
def modules(machine: Machine, name: str) -> list[Both]:
    return executed.outcomes(machine, executed.module_steps(name, TABLE))


@cache
def areas(machine: Machine, pages: int) -> list[Both]:
    return executed.outcomes(machine, executed.area_steps(pages))


@cache
def pools(machine: Machine, refill: int) -> list[Both]:
    return executed.outcomes(machine, executed.pool_steps(refill, 10, refill * PAGE_SIZE))


@cache
def churn(machine: Machine, pages: int, times: int) -> Both:
    return executed.outcomes(machine, [executed.cycle(pages, times)])[0]


@cache
def user(machine: Machine, command: str, pages: int) -> Both:
    return executed.outcomes(machine, executed.user_steps(command, pages))[0]


@cache
def key(machine: Machine, sites: int) -> Both:
    return executed.outcomes(machine, executed.key_steps(sites))[0]


@cache
def programs(machine: Machine, instructions: tuple[int, ...], drained: bool) -> list[Both]:
    """Load programs and free them, what the verifier has left being flushed before or not."""
    *loads, free = executed.program_steps(instructions, CODE)
    steps: list[Step] = [*loads, executed.drain, free] if drained else [*loads, free]
    return executed.outcomes(machine, steps)


def on_kernel(outcome: Outcome) -> Flushes:
    """Return flushes and operations on kernel ranges."""
    done = [one for cause, one in outcome.by_cause.items() if cause != Cause.USER]
    return Flushes(sum(one.flushes for one in done), sum(one.pages for one in done))


def on_user(outcome: Outcome) -> Flushes:
    done = outcome.by_cause.get(Cause.USER, Done(0, 0, 0))
    return Flushes(done.flushes, done.pages)


# What a row may differ in

WIDE = 100_000
"""Pages from which on a purge spans what lies between the modules and the vmalloc range."""


def compare(row: Counted, column: str, candidates: list[Outcome]) -> str:
    """Compare what was done to kernel ranges with the outcomes that a row can be."""
    seen = row.flushes(column, KERNEL)
    expected = [one for one in candidates if row.dummies(column) in (0, _for_erratum(one))]
    if bool(row.revision) != bool(row.dummies(column)) and any(map(_for_erratum, candidates)):
        raise UnexplainedError("the erratum's operations are missing, or too many")
    if seen in map(on_kernel, expected):
        return ""
    if any(_spans_what_the_guest_has(row, seen, on_kernel(one)) for one in expected):
        return "L"
    raise UnexplainedError(f"{seen}, not {[on_kernel(one) for one in candidates]}")


def _for_erratum(outcome: Outcome) -> int:
    """Return the flushes that the erratum is about: all but those of the fixmap."""
    calls = [done.flushes for cause, done in outcome.by_cause.items() if cause != Cause.TEXT_POKE]
    return sum(calls)


def _spans_what_the_guest_has(row: Counted, seen: Flushes, expected: Flushes) -> bool:
    if seen.number != expected.number:
        return False
    if min(seen.operations, expected.operations) > WIDE * expected.number:
        return abs(seen.operations / expected.operations - 1) < 0.005
    # An area is flushed together with its pages in the direct map, wherever these lie.
    profile = load_profile(PROFILE, dict(row.machine.overrides))
    nearest = (profile.page_offset - sum(profile.modules_range)) // PAGE_SIZE
    farthest = (profile.page_offset + profile.direct_map_size - profile.modules_start) // PAGE_SIZE
    most = expected.number * farthest
    return row.machine.overrides == LITTLE and nearest < seen.operations < most


def mappings(row: Counted, column: str, pages: int) -> None:
    """Check that so many pages of highmem were mapped for a while."""
    for function in ("__kmap_local_pfn_prot", "kunmap_local_indexed"):
        seen = row.count(column, f"dsb_nsh@{function}")
        operations = row.count(column, f"tlbi_mva?ne@{function}")
        if (seen, operations) != (pages, 2 * pages):
            raise UnexplainedError(f"{seen} mappings of highmem, {operations}, not {pages}")


# A row of each kind


def module_row(row: Counted) -> str:
    call, after = modules(row.machine, row.words[1].removesuffix(".ko"))[row.words[0] == "rmmod"]
    for column, outcome in ((CALL, call), (AFTER, after)):
        if outcome.syncs != (row.revision == "r2p1") * row.dummies(column):
            raise UnexplainedError(f"{outcome.syncs} calls for the erratum")
    return "".join(sorted({*compare(row, CALL, [call]), *compare(row, AFTER, [after])}))


def area_row(row: Counted) -> str:
    seen, named = row.flushes(CALL, KERNEL), re.search(r"pages=(\d+)", row.cells["step"])
    step = ["valloc", "vro", "vrw", "vrelease", "drain"].index(row.words[1])
    read = [pages for pages in (seen.operations, seen.operations - 1) if pages > 0]
    sizes = [int(named[1])] if named else read or [1]
    steps = [step, step + 1] if row.words[1] == "drain" else [step]
    found = [areas(row.machine, pages)[one][0] for pages in sizes for one in steps]
    mappings(row, CALL, found[0].highmem)
    return compare(row, CALL, found)


def pool_row(row: Counted) -> str:
    words, seen = row.words, row.flushes(CALL, KERNEL)
    step = ["create", "alloc", "protect", "protect", "destroy", "drain"].index(words[1])
    steps = [step, step + 1] if words[1] == "protect" else [step]
    found = [pools(row.machine, refill)[one][0] for refill in (4, 1) for one in steps]
    mappings(row, CALL, found[0].highmem)
    # The areas of a pool need not lie side by side.
    least = min(on_kernel(one).operations for one in found)
    if words[1] == "drain" and seen.number == 1 and seen.operations >= least:
        return "" if seen in map(on_kernel, found) else "L"
    return compare(row, CALL, found)


def lazy_row(row: Counted) -> str:
    """Compare a churn of areas; what is freed during its purge may be purged once more (R)."""
    pages, times = map(int, re.findall(r"=(\d+)", row.cells["step"]))
    call, after = churn(row.machine, pages, times)
    mappings(row, CALL, call.highmem)
    seen, later = row.flushes(CALL, KERNEL), row.flushes(AFTER, KERNEL)
    expected = on_kernel(call)
    if (seen, later) == (expected, on_kernel(after)):
        return ""
    once_more = seen.number + later.number == expected.number + 1
    if once_more and seen.number >= expected.number and seen.operations >= expected.operations:
        return "R"
    raise UnexplainedError(f"{seen}, then {later}, not {expected}")


def program_row(row: Counted) -> str:
    """Compare a load of a program, or a freeing of some; the last may come later (A)."""
    if row.words[1] == "load":
        loaded = programs(row.machine, (int(row.words[2]),), False)[0]
        codes = compare(row, CALL, [loaded[0]])
        late = row.traced("bpf_prog_free_deferred")
        return codes + ("A" + freed(row, late) if late else compare(row, AFTER, [loaded[1]]))
    return compare(row, CALL, [Outcome(0, {})]) + freed(row, row.traced("bpf_prog_free_deferred"))


def freed(row: Counted, number: int) -> str:
    """Compare the freeing of programs: after a drain, or together with what loads have left."""
    drained = [(2,) * number, *([(2, 500)] if number == 2 else [])]
    found = [programs(row.machine, some, True)[-1][1] for some in drained]
    if row.cells["section"] == "bpf undrained" or row.words[1] == "load":
        found = [programs(row.machine, (2,), False)[-1][1]]
    return compare(row, AFTER, found)


def user_row(row: Counted) -> str:
    _, command, pages = row.words
    call, _ = user(row.machine, command, int(pages))
    seen, expected = row.flushes(CALL, USER), on_user(call)
    if seen != expected:
        raise UnexplainedError(f"{seen}, not {expected}")
    if row.dummies(CALL) != (expected.number if row.revision else 0):
        raise UnexplainedError(f"{row.dummies(CALL)} operations for the erratum")
    maps = row.count(CALL, "dsb_nsh@__kmap_local_pfn_prot")
    if command == "touch":
        # Pages are there, or given anew; a page table is mapped only where it is new.
        if maps not in (0, MAPPINGS_OF_A_PAGE * int(pages)):
            raise UnexplainedError(f"{maps} mappings of highmem for {pages} pages")
    elif maps == 0:
        raise UnexplainedError("the page table was not mapped")
    mappings(row, CALL, maps)
    return ""


def key_row(row: Counted) -> str:
    sites = row.traced("stop_machine_cpuslocked")
    call, _ = key(row.machine, sites)
    if call.syncs != sites:
        raise UnexplainedError(f"the machine is stopped {call.syncs} times, not {sites}")
    return compare(row, CALL, [call])


COMMANDS: dict[str, Callable[[Counted], str]] = {
    "insmod": module_row, "rmmod": module_row, "bpf": program_row, "user": user_row,
    "write": key_row,
}  # fmt: skip
PP: dict[str, Callable[[Counted], str]] = {
    "areas": area_row, "pool": pool_row, "lazy": lazy_row,
}  # fmt: skip


def explain(row: Counted) -> str:
    return COMMANDS.get(row.words[0], PP.get(row.cells["section"], area_row))(row)


def test_every_flush_is_predicted_to_the_operation_or_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("linux-arm32: counts")
    for row in table():
        tally.add(str(row), partial(explain, row))
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []


def test_a_load_without_the_flushes_of_ftrace_would_be_unexplained() -> None:
    row = next(row for row in table() if row.cells["step"] == "insmod squashfs.ko")
    seen = row.flushes(CALL, KERNEL)
    row.cells[CALL] = (
        f"dsb_ish@{KERNEL}={BARRIERS * (seen.number - 166)}"
        f" tlbi_mvaais@{KERNEL}={seen.operations - 166}"
    )
    with pytest.raises(UnexplainedError):
        module_row(row)


@pytest.mark.parametrize("revision", ["r2p1", "r2p2"])
def test_up_to_r2p1_every_flush_of_a_kernel_range_is_a_call_too(revision: str) -> None:
    rows = [row for row in table(rf"a15{revision}_smp\d") if row.words[0] in ("insmod", "rmmod")]
    assert len(rows) > 3
    for row in rows:
        steps = modules(row.machine, row.words[1].removesuffix(".ko"))
        call, after = steps[row.words[0] == "rmmod"]
        calls = row.traced("smp_call_function_many_cond")
        assert (
            call.syncs + after.syncs
            == calls
            == (row.revision == "r2p1") * (row.dummies(CALL) + row.dummies(AFTER))
        )
