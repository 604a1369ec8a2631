"""Changes of code on Linux 6.12, predicted by the simulated kernel.

A program is loaded by bpf(2) (``load``) or attached as a classic filter (``attach``); what it lets
go of is counted when it is freed (``close``, ``detach``). Kprobes on functions' beginnings were the
means of counting, so that a tracer is never alone. Noise is that of the other tables.
"""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any, NamedTuple

import pytest

from pmsim.kernel.ftrace import Ftrace
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.text.kprobes import Kprobes
from pmsim.kernel.text.tracepoints import Tracepoints
from tests.ground_truth import noise
from tests.ground_truth.noise import Counts, Tally, UnexplainedError
from tests.ground_truth.observed import LINUX_6_12, Row, rows
from tests.ground_truth.simulated import Calls, Simulation

INSTRUCTION = 8
"""Bytes of an instruction."""


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


def bpf_row(row: Row) -> Counts:
    found = re.fullmatch(r"(\w+)_(\d+)_of_(\d+)_insn=(\d+)", row["cmd"])
    assert found is not None
    command, number, of, instructions = found[1], *map(int, found.groups()[1:])
    test = Program(row.number("smp"), command in ("load", "close"), instructions, of)
    simulation, programs = predict_programs(test)
    step = number - 1 + (programs if command in ("close", "detach") else 0)
    return simulation.counts(step)


@cache
def predict_key(cpus: int, sites: int) -> Counts:
    def flip(kernel: KernelHandle) -> Calls:
        yield from kernel.static_key_toggle(sites)

    simulation = Simulation(cpus, LINUX_6_12)
    simulation.run([flip])
    return simulation.counts(0)


@cache
def predict_tracer(cpus: int, sites: int) -> Simulation:
    """Simulate a tracer that comes beside another and goes again."""
    tracers: list[Any] = []

    def count(kernel: KernelHandle) -> Calls:
        yield from kernel.ftrace_enable(1, trampoline=False)

    def enable(kernel: KernelHandle) -> Calls:
        tracers.append((yield from kernel.ftrace_enable(sites)))

    def disable(kernel: KernelHandle) -> Calls:
        yield from kernel.ftrace_disable(tracers.pop())

    simulation = Simulation(cpus, LINUX_6_12)
    simulation.run([count, enable, disable])
    return simulation


@cache
def predict_tracepoint(cpus: int, on: bool) -> Counts:
    def switch(kernel: KernelHandle) -> Calls:
        if on:
            yield from kernel.tracepoint_probe_register()
        else:
            yield from kernel.tracepoint_probe_unregister()

    simulation = Simulation(cpus, LINUX_6_12)
    simulation.run([switch])
    return simulation.counts(0)


@cache
def predict_probes(cpus: int) -> Simulation:
    """Simulate two probes one after the other: each is made, armed and disarmed."""
    probes: list[Any] = []

    def register(kernel: KernelHandle) -> Calls:
        probes.append((yield from kernel.register_kprobe(disabled=True)))

    def enable(kernel: KernelHandle) -> Calls:
        yield from kernel.enable_kprobe(probes[-1])

    def disable(kernel: KernelHandle) -> Calls:
        yield from kernel.disable_kprobe(probes[-1])

    simulation = Simulation(cpus, LINUX_6_12)
    simulation.run([register, enable, disable] * 2)
    return simulation


def probe_row(row: Row) -> Counts:
    steps = {"kprobe_events": 0, "enable=1": 1, "enable=0": 2}
    (step,) = (step for name, step in steps.items() if name in row["cmd"])
    first = row["rep"] == "1" and row["mode"] == "kp_vfs_statfs+9"
    return predict_probes(row.number("smp")).counts(step if first else 3 + step)


TRACED = {"ft_vfs_statfs": 1, "ft_crypto_": 268, "ft_acpi_": 1423}
"""Functions whose names begin so."""


def tracer_row(row: Row) -> Counts:
    simulation = predict_tracer(row.number("smp"), TRACED[row["mode"]])
    step = 1 if row["cmd"].endswith("=function") else 2
    return simulation.counts(step)


def predict(row: Row) -> Counts:
    match kind(row):
        case "bpf":
            return bpf_row(row)
        case "ft":
            return tracer_row(row)
        case "kp":
            return probe_row(row)
        case "tp":
            return predict_tracepoint(row.number("smp"), row["cmd"].endswith("=1"))
    return predict_key(row.number("smp"), sum(row.numbers("poke_batches")))


def explain(row: Row) -> str:
    """Return the codes of the noise that a row shows."""
    predicted = predict(row)
    if row.number("n_misc_cross") != predicted["n_misc_cross"]:
        raise UnexplainedError(f"{row.number('n_misc_cross')} calls that flush nothing")
    return noise.explain(predicted, row)


def kind(row: Row) -> str:
    return "bpf" if row["op"] == "bpf" else row["mode"].split("_")[0]


def test_every_change_of_code_is_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("linux-6.12: text_counts")
    for row in rows("text_counts", LINUX_6_12):
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


@pytest.mark.parametrize(
    ("part", "function", "mode"),
    [
        (Ftrace, "_update_entry", "ft_acpi_"),
        (Kprobes, "_unoptimize", "kp_vfs_statfs+9"),
        (Tracepoints, "_update_call", "tp"),
    ],
)
def test_patches_that_are_left_out_would_be_unexplained(
    part: type, function: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = [row for row in rows("text_counts", LINUX_6_12) if row["mode"] == mode]
    row = next(row for row in table if not mode.startswith("kp") or "enable=0" in row["cmd"])
    monkeypatch.setattr(part, function, lambda *_: ())
    for predicted in (predict_tracer, predict_tracepoint, predict_probes):
        predicted.cache_clear()
    with pytest.raises(UnexplainedError, match="n_sync_core_cross"):
        explain(row)
    for predicted in (predict_tracer, predict_tracepoint, predict_probes):
        predicted.cache_clear()
