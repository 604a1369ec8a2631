"""Distributions fitted to what a trace tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pmsim
from pmsim.imports.importer import Wishes, import_files
from pmsim.imports.spread import Spread
from pmsim.imports.trace.distributions import COSTS, above_earliest, fit
from pmsim.scenario.nodes import Table
from pmsim.scenario.read import read_file
from pmsim.units import NS, US
from tests.imports.test_trace_report import DATA


def spread_of(values: np.ndarray) -> Spread:
    spread = Spread()
    for value in np.rint(values).astype(int).tolist():
        spread.add(value)
    return spread


@pytest.mark.parametrize("dist", ["exponential", "half-normal"])
def test_a_distribution_is_found_again_with_its_scale(dist: str) -> None:
    rng = np.random.default_rng(7)
    scale = 12.0 * US
    drawn = rng.exponential(scale, 5_000)
    if dist == "half-normal":
        drawn = np.abs(rng.normal(0, scale, 5_000))
    fitted = fit(spread_of(drawn))
    assert fitted.dist == dist
    assert fitted.scale_ps == pytest.approx(scale, rel=0.05)
    assert fitted.quantiles[2] == pytest.approx(np.quantile(drawn, 0.99), rel=0.1)


def test_jitter_is_what_comes_on_top_of_the_earliest() -> None:
    late = above_earliest(spread_of(np.array([5, 5, 7, 9])))
    assert late.counts == {0: 2, 2: 1, 4: 1}


def delivery(number: int, late: int) -> str:
    """A call of CPU 1, which works, by CPU 0, at so many ms, late by so many microseconds."""
    at = 7_000_000 + 1000 * number

    def line(name: str, cpu: int, after: int, event: str) -> str:
        stamp = at + after
        return f" {name} [00{cpu}] d.h.. {stamp // 10**6}.{stamp % 10**6:06}: {event}\n"

    what = "func=flush_tlb_func csd=00000000000000aa"
    sent = "callback=generic_smp_call_function_single_interrupt+0x0/0x10"
    return (
        line("init-9", 0, 0, f"csd_queue_cpu: cpu=1 callsite=x+0x1/0x2 {what}")
        + line("init-9", 0, 0, f"ipi_send_cpu: cpu=1 callsite=x+0x1/0x2 {sent}")
        + line("work-8", 1, 20 + late - 3, "call_function_single_entry: vector=251")
        + line("work-8", 1, 20 + late, f"csd_function_entry: {what}")
        + line("work-8", 1, 21 + late, f"csd_function_exit: {what}")
    )


def test_a_piece_of_a_scenario_has_the_keys_with_their_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lates = np.rint(rng.exponential(40, 400)).astype(int)
    path = tmp_path / "trace.txt"
    path.write_text("".join(delivery(n, late) for n, late in enumerate(lates.tolist())))
    found = import_files([path], Wishes(frozenset(), US))
    piece = tmp_path / "costs.yaml"
    found.files[COSTS](piece)
    tree = read_file(piece)
    assert isinstance(tree, Table)
    text = piece.read_text()
    assert "basis: measured" in text
    assert "400 interrupts of busy CPUs" in text
    whole = tmp_path / "scenario.yaml"
    whole.write_text(
        "pmsim: 1\nuntil: done\nworkloads: [{kind: kernel_flush, flushes: 3}]\n"
        + text.replace("machine:\n", "machine:\n  platform: skylake-sp-2s\n")
    )
    costs = pmsim.load(whole).resolve().machine.costs.ipi
    assert costs.entry == 3 * US
    assert costs.jitter is not None
    assert costs.jitter.dist == "exponential"
    assert costs.jitter.scale == pytest.approx(lates.mean() * US, rel=0.05)


def test_windows_with_interrupts_off_become_a_workload(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    lengths = np.rint(rng.lognormal(np.log(30_000), 0.7, 500)).astype(int)  # ns
    lines, at = [], 10**9
    for length in lengths.tolist():
        for what, after in (("irq_disable", 0), ("irq_enable", length)):
            stamp = at + after
            when = f"{stamp // 10**9}.{stamp % 10**9:09}"
            lines.append(f" work-8 [001] d.... {when}: {what}: caller=a+0x1/0x2 parent=b+0x1/0x2\n")
        at += 2_000_000
    path = tmp_path / "trace.txt"
    path.write_text("".join(lines))
    found = import_files([path], Wishes(frozenset(), US))
    found.files[COSTS](tmp_path / "costs.yaml")
    scenario = tmp_path / "scenario.yaml"
    head = "pmsim: 1\nmachine: skylake-sp-2s\nduration: 1ms\n"
    scenario.write_text(head + (tmp_path / "costs.yaml").read_text())
    (noise,) = pmsim.load(scenario).resolve().workloads
    assert noise.rate == pytest.approx(500, rel=0.01)
    assert noise.length.scale == pytest.approx(np.median(lengths) * NS, rel=0.01)
    assert noise.length.sigma == pytest.approx(0.7, rel=0.1)


def test_a_trace_whose_clock_counts_gives_no_distribution() -> None:
    found = import_files([DATA / "module_burst.trace.gz"], Wishes(frozenset(), US))
    assert COSTS not in found.files
