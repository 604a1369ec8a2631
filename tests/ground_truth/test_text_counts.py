"""Changes of code on Linux 6.12: BPF programs and static keys, predicted by the simulated kernel.

A program is loaded by bpf(2) (``load``) or attached as a classic filter (``attach``); what it lets
go of is counted when it is freed (``close``, ``detach``). Noise is that of the other tables.
"""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any, NamedTuple

import pytest

from pmsim.kernel.handle import KernelHandle
from tests.ground_truth.noise import STACK, Tally, UnexplainedError
from tests.ground_truth.observed import LINUX_6_12, Row, rows
from tests.ground_truth.simulated import Calls, Simulation

INSTRUCTION = 8
"""Bytes of an instruction."""

EXPLAINED = {"bpf", "key"}
"""What of the table is compared here."""


class Program(NamedTuple):
    """So many programs of so many instructions each, by bpf(2) or as classic filters."""

    cpus: int
    verified: bool
    instructions: int
    programs: int


@cache
def predict_programs(test: Program) -> tuple[Simulation, int]:
    loaded: list[Any] = []

    def load(kernel: KernelHandle) -> Calls:
        size = test.instructions * INSTRUCTION
        verified = test.instructions if test.verified else 0
        loaded.append((yield from kernel.bpf_prog_load(size, verified=verified)))

    def free(kernel: KernelHandle) -> Calls:
        yield from kernel.bpf_prog_free(loaded.pop(0))

    simulation = Simulation(test.cpus, LINUX_6_12)
    simulation.run([load] * test.programs + [free] * test.programs)
    return simulation, test.programs


def bpf_row(row: Row) -> dict[str, int]:
    found = re.fullmatch(r"(\w+)_(\d+)_of_(\d+)_insn=(\d+)", row["cmd"])
    assert found is not None
    command, number, of, instructions = found[1], *map(int, found.groups()[1:])
    test = Program(row.number("smp"), command in ("load", "close"), instructions, of)
    simulation, programs = predict_programs(test)
    step = number - 1 + (programs if command in ("close", "detach") else 0)
    return dict(simulation.counts(step).numbers)


@cache
def predict_key(cpus: int, sites: int) -> dict[str, int]:
    def flip(kernel: KernelHandle) -> Calls:
        yield from kernel.static_key_toggle(sites)

    simulation = Simulation(cpus, LINUX_6_12)
    simulation.run([flip])
    return dict(simulation.counts(0).numbers)


def explain(row: Row) -> str:
    """Return the codes of the noise that a row shows."""
    if row["op"] == "bpf":
        predicted = bpf_row(row)
    else:
        predicted = predict_key(row.number("smp"), sum(row.numbers("poke_batches")))
    codes = set()
    stacks = row.number("n_vfree") - predicted["n_vfree"]
    pages = row.number("vfree_pages_with_guard") - predicted["vfree_pages_with_guard"]
    if stacks < 0 or pages != STACK * stacks:
        raise UnexplainedError(f"{stacks} more areas of {pages} pages were freed: no stacks")
    codes |= {"F"} if stacks else set()
    more = row.number("n_vmalloc") - predicted["n_vmalloc"]
    if more < 0:
        raise UnexplainedError("fewer areas were allocated")
    codes |= {"B"} if more else set()
    for column, value in predicted.items():
        if column in ("n_vfree", "vfree_pages_with_guard", "n_vmalloc"):
            continue
        if row.number(column) != value:
            raise UnexplainedError(f"{column} is {row.number(column)}, not {value}")
    return "".join(sorted(codes))


def kind(row: Row) -> str:
    return "bpf" if row["op"] == "bpf" else row["mode"].split("_")[0]


def test_every_load_and_free_of_a_program_and_every_static_key_is_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("linux-6.12: text_counts")
    for row in rows("text_counts", LINUX_6_12):
        if kind(row) in EXPLAINED:
            tally.add(str(row), partial(explain, row))
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []
    assert tally.exact > 0


def test_no_load_and_no_free_of_a_program_broadcasts() -> None:
    table = [row for row in rows("text_counts", LINUX_6_12) if kind(row) == "bpf"]
    assert len(table) > 100
    assert {row.number("n_cross_calls") for row in table} == {0}


def test_a_program_without_the_verifiers_arrays_would_be_unexplained() -> None:
    row = next(row for row in rows("text_counts", LINUX_6_12) if row["mode"] == "bpf_i100")
    row.cells["vfree_pages_with_guard"] = "0"
    row.cells["n_vfree"] = "0"
    with pytest.raises(UnexplainedError, match="no stacks"):
        explain(row)
