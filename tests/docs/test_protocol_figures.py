"""The figures in the sentences of the page on protocols, beside the blocks that are played.

What follows from rules by arithmetic is worked out in `tests.experiments.test_questions`; here each
sentence is put together from runs anew, so that neither page nor simulator changes by itself.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pandas as pd
import pytest

import pmsim
from pmsim.figures.side_by_side import PROTOCOLS
from pmsim.formatting import time
from pmsim.units import MS, NS, US, S
from tests.docs.prose import Prose, about, rounded
from tests.experiments.test_questions import by_ipi, by_rar

PAGE = Prose("docs/protocols.md")
CPUS = "machine.cpus"
TOOK = "operation_mean_ps[pmalloc_protect_pool]"
DAY = 86_400


def frame(name: str, axes: dict[str, Any], *by: str) -> pd.DataFrame:
    """Return the rows of a shipped sweep by some of its axes."""
    rows: pd.DataFrame = pmsim.sweep(name, axes, workers=1, progress=None).frame
    return rows.set_index(list(by))


def run(name: str, **changes: Any) -> pmsim.Result:
    return pmsim.run(pmsim.load(name).without_sweep().with_(changes))


# --- Which protocol costs whom how much? ---


@pytest.fixture(scope="module")
def side() -> pd.DataFrame:
    axes = {PROTOCOLS: ["ipi", "tlbi", "rar"], CPUS: [64, 4096]}
    return frame("protocols", axes, PROTOCOLS, CPUS)


@pytest.mark.slow
def test_what_initiators_wait_for_is_as_the_page_says(side: pd.DataFrame) -> None:
    waits = side["latency_mean_ps"]
    PAGE.says(
        f"each acknowledgement, {about(waits['ipi', 64], 1)} on 64 CPUs and"
        f" {about(waits['ipi', 4096], 2)} on 4,096, and",
        f"INVLPGB takes {time(waits['tlbi', 64])} whatever the machine",
    )
    assert waits["tlbi", 64] == waits["tlbi", 4096]


def test_where_interrupts_and_remote_actions_cross_is_as_the_page_says() -> None:
    ahead = max(n for n in range(2, 512) if by_rar(n) < by_ipi(n))
    behind = next(n for n in range(2, 512) if by_rar(n) > by_ipi(n))
    PAGE.says(f"up to {ahead} CPUs they are {time(by_ipi(ahead) - by_rar(ahead))} ahead")
    PAGE.says(f"from {behind} on they even lose")


@pytest.mark.parametrize("cpus", [2, 512])
def test_holders_that_nobody_is_are_told_in_no_time(cpus: int) -> None:
    changes = {PROTOCOLS: {"directory": {"holders": "touched"}}, CPUS: cpus}
    latency = run("protocols", **changes).summary.latency_ps
    assert latency.mean == latency.max
    PAGE.says(f"here nobody, in {time(latency.mean or 0)} on any machine")


@pytest.mark.slow
def test_what_all_others_lose_is_as_the_page_says(side: pd.DataFrame) -> None:
    taken = side["taken_mean_ps"]
    shootdowns = 64
    handler = {
        name: side["stolen_share"][name, 64] * side["duration_ps"][name, 64] * 64 / shootdowns / 63
        for name in ("ipi", "rar")
    }
    PAGE.says(
        f"of the {about(taken['ipi', 64] / 63, 1)} that one takes from a CPU,"
        f" {rounded(handler['ipi'] / US, 1)} are the handler ({rounded(handler['rar'] / US, 1)} the"
        " remote action",
        "INVLPGB takes a third of it on 64 CPUs",
        "on 4,096, where changing the entries takes longer, nearly as much",
    )
    assert taken["tlbi", 64] == pytest.approx(taken["ipi", 64] / 3, rel=0.15)
    assert 0.9 < taken["tlbi", 4096] / taken["ipi", 4096] < 1


@pytest.mark.slow
def test_what_is_left_open_is_as_the_page_says(side: pd.DataFrame) -> None:
    stays, waits = side["pool_stale_ps"], side["latency_mean_ps"]
    PAGE.says(
        f"on 4,096 CPUs an interrupt has reached everybody after {about(stays['ipi', 4096], 3)},"
        f" and the other {rounded((waits - stays)['ipi', 4096] / US, 2):.0f} are spent",
        f"INVLPGB leaves {about(stays['tlbi', 64], 1).replace('600 ns', '0.6 µs')} open",
    )
    assert stays["tlbi", 64] == stays["tlbi", 4096]
    assert stays["rar", 4096] == stays.max()


# --- What does Arm pay? ---


@pytest.fixture(scope="module")
def architectures() -> pd.DataFrame:
    return frame("architectures", {CPUS: [2, 55, 56, 64]}, "together", CPUS)


def test_arm_and_x86_are_told_apart_as_the_page_says(architectures: pd.DataFrame) -> None:
    rows = architectures
    calls, took, stays = rows["broadcasts"], rows[TOOK], rows["pool_stale_ps"]
    PAGE.says(
        f"{calls['Arm', 2]:,.0f} broadcasts where x86 makes"
        f" {calls['x86 by interrupts', 2]:.0f} shootdowns",
        f"leaves the linear map alone: {calls['Arm with rodata=on', 64]:.0f} broadcasts",
        "a fifth of the time on 64 CPUs",
        "The page itself is closed soonest of all on Arm up to 55 CPUs",
        "an Arm machine of 2 CPUs more than twice as long as x86 by interrupts",
        "INVLPGB is ahead of it on every machine",
    )
    assert rounded(took["Arm", 64] / took["Arm with rodata=on", 64], 1) == 5
    assert 2 < took["Arm", 2] / took["x86 by interrupts", 2] < 2.5
    for cpus in (2, 55, 56, 64):
        assert took["x86 by INVLPGB", cpus] < took["Arm", cpus]
        soonest = stays.xs(cpus, level=CPUS).idxmin()
        assert (soonest == "Arm") == (cpus <= 55)


def test_one_flush_by_tlbi_and_what_a_cpu_adds_are_as_the_page_says() -> None:
    rows = frame("protocols-arm64", {CPUS: [2, 8]}, PROTOCOLS, CPUS)["latency_mean_ps"]
    once, per_operation = "tlbi,repeat_sync=none", "tlbi,repeat_sync=per_operation"
    # One flush of sixteen pages, and sixteen of one: fifteen TLBI more in seventeen flushes.
    one = rows[once, 2] - 15 * 15 * NS / 17
    each = (rows[once, 8] - rows[once, 2]) / 6
    interrupt = (by_ipi(64) - by_ipi(32)) / 32
    PAGE.says(
        f"the cheapest of all to wait for, {rounded(one / US, 1)} µs on a few CPUs; seventeen",
        f"grows by {each / NS:g} ns for each CPU that answers, where an interrupt's initiator pays"
        f" {interrupt / NS:g} ns",
        f"wait {rounded(rows[per_operation, 8] / rows[once, 8], 2)} times as long for a flush",
    )


# --- What does isolation buy? ---


@pytest.mark.slow
def test_a_day_of_an_isolated_cpu_is_as_the_page_says() -> None:
    found = {
        name: run("isolated-deferral", **{PROTOCOLS: way}).summary
        for name, way in {
            "ipi": "ipi", "purge": "deferred", "all": {"deferred": {"defers": "all"}},
        }.items()
    }  # fmt: skip
    isolated: dict[str, Any] = {name: one.isolated for name, one in found.items()}
    calls = found["ipi"].broadcasts
    day = {name: one.per_day for name, one in isolated.items()}
    half = {name: one.length_ps.p50 for name, one in isolated.items()}
    often = [f"{rounded(day[name], 3):,.0f}" for name in ("purge", "ipi")]
    PAGE.says(
        f"{calls.by_cause['purge']} of {calls.total:,} shootdowns of the day are purges",
        f"interrupted {often[0]} times instead of {often[1]}",
        f"(half within {time(half['purge'])} instead of {half['ipi'] / NS:.0f})",
        f"would spare {rounded(day['ipi'] - day['all'], 2):.0f} interrupts a day",
        "is kept by all three",
    )
    assert not any(one.violations for one in isolated.values())


def test_a_day_of_socket_filters_is_as_the_page_says() -> None:
    found: dict[str, Any] = {
        way: run("bpf-on-isolated-cpus", **{PROTOCOLS: way}).summary.isolated
        for way in ("ipi", "deferred")
    }
    fewer = 1 - found["deferred"].interrupts / found["ipi"].interrupts
    taken = {way: one.interrupted_ps / one.cpus / 60 * DAY / S * 1000 for way, one in found.items()}
    PAGE.says(
        f"{100 * fewer:.0f} % fewer interrupts, {taken['deferred']:.0f} ms a day instead of"
        f" {taken['ipi']:.0f}",
    )


# --- What does it save to let frees of user space wait for ticks? ---


def frees(
    way: str, every: str | None, *others: dict[str, Any], lasts: str = "50ms"
) -> pmsim.Result:
    """Run a process with a thread on each CPU, one of which maps, touches and unmaps pages."""
    maps: dict[str, Any] = {
        "kind": "user_munmap", "name": "maps", "cpu": 0, "pages": 1, "touch": True,
        "changes": 1_000_000,
        "threads": [1] if others else ["1-55"],
    }  # fmt: skip
    if every is not None:
        maps["arrival"] = {"every": every}
    scenario = {
        "pmsim": 1,
        "machine": "skylake-sp-2s",
        "kernel": {"profile": "linux-6.1-x86_64", "shootdown": way},
        "duration": lasts,
        "workloads": [maps, *others],
    }
    return pmsim.run(pmsim.Scenario.from_dict(scenario))


@pytest.mark.parametrize(
    ("line", "every"),
    [
        ("1 ms", "1ms"),
        ("100 us", "100us"),
        ("20 us", "20us"),
        pytest.param("as often as it can", None, marks=pytest.mark.slow),
    ],
)
def test_frees_by_interrupts_and_by_ticks_are_as_the_page_says(
    line: str, every: str | None
) -> None:
    runs = [frees(way, every) for way in ("ipi", "latr")]
    operations = [one.operations[one.operations["kind"] == "munmap"] for one in runs]
    takes = [rounded((one["end_ps"] - one["start_ps"]).mean() / US, 2) for one in operations]
    lost = [rounded(100 * one.summary.cost.share, 2) for one in runs]
    cells = [*(f"{one:g} us" for one in takes), *(f"{one:#.2g} %" for one in lost)]
    PAGE.says(f"| {line} | {' | '.join(cells)} |")
    if every is None:
        causes = runs[1].summary.broadcasts.by_cause
        calls = causes["ring_full"] / sum(causes.values())
        PAGE.says(f"its ring is full: {100 * calls:.0f} % of the last line's frees are calls again")


def test_what_waits_for_ticks_is_as_the_page_says() -> None:
    waits = frees("latr", "20us").summary.safety
    assert waits is not None
    held = waits.held_byte_s / 0.05 / 2**20
    PAGE.says(f"waits for two ticks: {held:.1f} MiB at 50,000 pages a second")


def test_windows_over_two_ticks_are_used_as_the_page_says(scoped_kinds: None) -> None:
    @pmsim.workload("late")
    class Late:
        """A thread of the process that has interrupts off eight times."""

        window: pmsim.Time = "1ms"

        def run(self, kernel: Any, cpu: Any) -> Any:
            yield from kernel.use_mm(kernel.process("maps"))
            for _ in range(8):
                yield from cpu.compute("20ms")
                yield from cpu.irqs_off(self.window)

    @cache
    def found(window: str) -> tuple[int, str]:
        late = {"kind": "late", "cpu": 3, "window": window}
        rows = frees("latr", "100us", late, lasts="200ms").violations
        assert set(rows["kind"]) <= {"use_after_free"}
        longest = (rows["to_ps"] - rows["from_ps"]).max() if len(rows) else 0
        return len(rows), about(longest, 2)

    assert found("1ms")[0] == 0
    short, middle, long = map(found, ("1900us", "3ms", "5ms"))
    PAGE.says(
        "interrupts off eight times in 200 ms, the run finds nothing up to 1 ms,"
        f" {short[0]} violations (`use_after_free`) with windows of 1.9 ms,"
        f" {middle[0]} with 3 ms, the longest of {middle[1]},"
        f" and {long[0]} with 5 ms, of up to {long[1]}."
    )


# --- What does a guest lose that shares its host? ---

OVERCOMMIT = "machine.host.overcommit"


def test_a_policy_in_a_guest_is_as_the_page_says() -> None:
    kernel, process = {}, {}
    for overcommit in (1, 2, 3):
        for pv_flush in (False, True):
            changes = {OVERCOMMIT: overcommit, "machine.host.pv_flush": pv_flush}
            calls = run("guest-policy-load", **changes).crosscalls
            by_user = calls["cause"] == "user"
            took = calls["end_ps"] - calls["start_ps"]
            kernel[overcommit, pv_flush] = took[~by_user].mean()
            process[overcommit, pv_flush] = took[by_user].mean()
    for overcommit in (1, 2, 3):
        assert kernel[overcommit, True] == kernel[overcommit, False]
    number = {9: "nine", 12: "twelve", 15: "fifteen"}
    three = number.get(round(kernel[3, True] / MS))
    PAGE.says(
        f"take {about(kernel[2, True], 1)} with two to a CPU and {three} with three, in the mean,"
        f" whatever the guest is given ({about(kernel[1, True], 2)} alone)"
    )
    gain = [number.get(round(process[k, False] / process[k, True])) for k in (2, 3)]
    PAGE.says(f"become shorter, by a factor of {gain[0]} to {gain[1]}")


def test_a_boot_in_a_guest_is_as_the_page_says() -> None:
    alone, shared = (run("guest-boot-storm", **{OVERCOMMIT: k}).summary for k in (1, 2))
    assert shared.frozen is not None
    assert max(shared.locks, key=lambda lock: lock.frozen_ps).lock == "module_mutex"
    PAGE.says(
        f"so that what takes {about(alone.duration_ps, 2)} alone takes"
        f" {about(shared.duration_ps, 2)} with two to a CPU",
        f"for {about(shared.frozen.held_up_ps, 3)} with two to a CPU, most of it at `module_mutex`",
    )
    saved = run("guest-boot-storm", **{OVERCOMMIT: 1, "machine.host.exit": "0ns"}).summary
    full, without = alone.latency_ps.p50, saved.latency_ps.p50
    assert full is not None
    assert without is not None
    assert round(full / (full - without)) == 12
    PAGE.says(
        f"An exit, {time(full - without)}, is a twelfth of a shootdown where nobody is frozen"
    )


# --- When is a policy's owner waiting for CPUs that sleep? ---


def test_what_waking_costs_is_as_the_page_says() -> None:
    every = "workloads.policies.arrival.every"
    rows = frame("idle-depth", {every: ["15us", "10ms"]}, every)
    awake = run("idle-depth", **{"machine.costs.idle": []}).summary.latency_ps.mean
    assert awake is not None
    flush = about(awake, 2)
    slept = rows.loc["10ms"]
    each = slept["awake_share"] * slept["duration_ps"] * 56 / slept["broadcasts"]
    PAGE.says(
        f"A flush takes {flush} on 56 CPUs that are awake",
        f"the owner waits {slept['latency_p50_ps'] / awake:.0f} times as long, and"
        f" {100 * slept['waking_share']:.0f} % of that is waking",
        f"55 CPUs are awake for {about(each / 55, 2)} each time, {about(each, 1)} of CPU time for a"
        f" flush of {flush}",
        "keeps them awake for a sixth of all time",
    )
    assert rows.loc["15us", "awake_share"] == pytest.approx(1 / 6, rel=0.05)


# --- Figures that stand elsewhere, where they are played ---


def test_ebizzy_is_told_as_the_page_of_published_measurements_tells_it() -> None:
    truth = Prose("docs/truth.md").text
    gains = {
        guests: re.search(rf"\| {guests} guests \| \d \| ([\d.]+) \| ([\d.]+) \|", truth)
        for guests in ("two", "three")
    }
    assert all(gains.values())
    measured, predicted = (
        " and ".join(f"{float(found[column]):.1f}" for found in gains.values() if found)
        for column in (1, 2)
    )
    PAGE.says(
        f"{predicted} times as much with two and three guests, where {measured} were measured"
    )


def test_a_protocol_of_ones_own_is_summed_up_as_its_sweep_says() -> None:
    page = Prose("docs/own-protocol.md")
    waits = re.search(r"initiator waits: ([\d.]+) µs ipi, ([\d.]+) µs early", page.text)
    often = re.search(r"CPU in a day: ([\d,]+) ipi, ([\d,]+) early", page.text)
    assert waits is not None
    assert often is not None
    spared = 1 - float(waits[2]) / float(waits[1])
    fewer = 1 - int(often[2].replace(",", "")) / int(often[1].replace(",", ""))
    assert fewer == pytest.approx(1 / 3, rel=0.03)
    page.says(
        f"An initiator waits {100 * spared:.0f} % less, an isolated CPU is interrupted a third less"
        " often"
    )
