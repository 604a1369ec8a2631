"""The shipped sweeps answer their questions: what is expected is worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pmsim
from pmsim.figures.side_by_side import PROTOCOLS, side_by_side
from pmsim.report.answer import answer_words
from pmsim.report.sweep_answer import sweep_words
from pmsim.units import NS, US

CPUS = "machine.cpus"
AREAS = 64
SOCKET = 28
"""CPUs of a socket of skylake-sp-2s: 14 cores of two threads."""


def distance(cpu: int) -> int:
    """Return how far a CPU is from CPU 0: of its core, of its socket, or of another one."""
    return 0 if cpu == 1 else 1 if cpu < SOCKET else 2


def acknowledged(n: int, sent: list[int], served: int) -> int:
    """Return when CPU 0 has seen all acknowledgements, one after the other; picoseconds.

    It sends all requests and flushes its own TLB before it looks at the first.
    """
    delivery, line = (200 * NS, 230 * NS, 900 * NS), (10 * NS, 45 * NS, 110 * NS)
    now = sent[-1] + FLUSH_ALL
    for cpu in range(1, n):
        acknowledgement = sent[cpu - 1] + delivery[distance(cpu)] + served
        now = max(now, acknowledgement) + line[distance(cpu)]
    return now


QUEUE, SEND, ENTRY, FLUSH_ALL, EXIT = 30 * NS, 80 * NS, 150 * NS, 360 * NS, 100 * NS
PAYLOAD, ACTION = 50 * NS, 400 * NS


def by_ipi(n: int) -> int:
    """One write after all are queued, entry and flush at each target."""
    return acknowledged(n, [QUEUE * (n - 1) + SEND] * (n - 1), ENTRY + FLUSH_ALL)


def by_rar(n: int) -> int:
    """A payload, a mark for each target, a write for each 16 CPU numbers; 1 ps, and the action."""
    marked = PAYLOAD + QUEUE * (n - 1)
    sent = [marked + SEND * (cpu // 16 + 1) for cpu in range(1, n)]
    return acknowledged(n, sent, 1 + ACTION)


EXPECTED: Mapping[str, Callable[[int], int]] = {
    "ipi": by_ipi,
    "tlbi": lambda n: (100 + 210 + 250) * NS,
    "rar": by_rar,
    "coherent": lambda n: 0,
    "directory": lambda n: (30 + 2 * (n - 1) + (90 if n <= SOCKET else 220)) * NS,
}
"""What the initiator of a flush of everything waits (protocols of the design)."""


@pytest.fixture(scope="module")
def side() -> pmsim.Sweep:
    return pmsim.sweep("protocols", {CPUS: [2, 8, 64, 512]}, workers=1, progress=None)


def test_each_protocol_costs_its_initiator_what_its_rules_say(side: pmsim.Sweep) -> None:
    rows = side.frame.set_index([PROTOCOLS, CPUS])["latency_mean_ps"]
    for protocol, expected in EXPECTED.items():
        for n in (2, 8, 64, 512):
            assert rows[protocol, n] == expected(n), (protocol, n)


def test_what_is_left_of_interrupts_is_the_handler_or_the_action(side: pmsim.Sweep) -> None:
    rows = side.frame.set_index([PROTOCOLS, CPUS])
    for protocol, each in (("ipi", ENTRY + FLUSH_ALL + EXIT), ("rar", ACTION)):
        row = rows.loc[(protocol, 64)]
        stolen = row["stolen_share"] * row["duration_ps"] * 64
        assert stolen == pytest.approx(AREAS * 63 * each, rel=1e-3)
    assert rows.loc["coherent"]["taken_mean_ps"].tolist() == [0, 0, 0, 0]
    assert rows.loc["directory"]["taken_mean_ps"].tolist() == [0, 0, 0, 0]


def test_deferral_defers_nothing_of_a_revocation_and_makes_it_dearer(side: pmsim.Sweep) -> None:
    rows = side.frame.set_index([PROTOCOLS, CPUS])
    assert rows["broadcasts"].eq(AREAS).all()
    gap = rows.loc["deferred"]["latency_mean_ps"] - rows.loc["ipi"]["latency_mean_ps"]
    # The flush on entry comes before the call is taken up.
    assert gap.tolist() == [FLUSH_ALL] * 4
    assert rows.loc["deferred"]["handlers"].tolist() == rows.loc["ipi"]["handlers"].tolist()


def test_a_directory_is_dearer_than_invlpgb_from_156_cpus_on(side: pmsim.Sweep) -> None:
    """30 + 2 (n - 1) + 220 is 560 where n is 156."""
    found = side_by_side(side, "latency_mean_ps")
    assert found is not None
    met = {(one.cheaper, one.dearer): one.at for one in found.crossings}
    assert met["tlbi", "directory"] == pytest.approx(156)
    words = sweep_words(side)
    assert any("tlbi is below directory from about 156 on" in one for one in words)


def test_what_is_left_open_ends_with_the_last_holder(side: pmsim.Sweep) -> None:
    """Where nothing more is waited for than that, protocols differ in it by what they wait."""
    rows = side.frame.set_index([PROTOCOLS, CPUS])
    left_open, waits = rows["pool_stale_ps"], rows["latency_mean_ps"]
    assert (left_open["directory"] - left_open["coherent"]).tolist() == waits["directory"].tolist()
    # By interrupts all TLBs are empty long before all answers have been read.
    assert left_open["ipi", 512] < waits["ipi", 512] / 4
    assert rows["violations"].eq(0).all()


def test_the_answer_ranks_protocols_and_says_what_holds(side: pmsim.Sweep) -> None:
    words = sweep_words(side)
    assert words[0].startswith("A shootdown's initiator waits: at 2 CPUs 0 s coherent, 122 ns")
    assert "at 512 CPUs 0 s coherent, 560 ns tlbi, 1.27 µs directory" in words[0]
    assert any(
        one.startswith("When the initiator goes on, no TLB holds the old translation, by each")
        for one in words
    )


TLBI, BARRIER, ANSWER, TRIP, PAGES = 15, 150, 3.5, 100, 16


def test_arm_flushes_page_by_page_and_the_erratum_of_2026_repeats_each_barrier() -> None:
    sweep = pmsim.sweep("protocols-arm64", {CPUS: [8]}, workers=1, progress=None)
    rows = sweep.frame.set_index(PROTOCOLS)
    barrier = BARRIER + 7 * ANSWER

    def mean(wait_of_pages: dict[int, float]) -> float:
        """Return the mean of one flush of each page of the linear map and one of the area."""
        return (PAGES * wait_of_pages[1] + wait_of_pages[PAGES]) / (PAGES + 1)

    once = {n: n * TLBI + barrier + TRIP for n in (1, PAGES)}
    repeated = {n: once[n] + TLBI + barrier + TRIP for n in once}
    each = {n: n * (2 * TLBI + barrier) + barrier + (n + 1) * TRIP for n in once}
    for option, waits in (("none", once), ("per_sync", repeated), ("per_operation", each)):
        row = rows.loc[f"tlbi,repeat_sync={option}"]
        assert row["broadcasts"] == AREAS * (PAGES + 1)
        assert row["latency_mean_ps"] == pytest.approx(mean(waits) * NS)
    assert any("tlbi,repeat_sync=per_sync" in one for one in sweep_words(sweep))


def test_two_architectures_stand_side_by_side_as_each_does_by_itself() -> None:
    sweep = pmsim.sweep("architectures", {CPUS: [2]}, workers=1, progress=None)
    rows = sweep.frame.set_index("together")
    took = "operation_mean_ps[pmalloc_protect_pool]"
    for scenario, protocols in (
        ("protocols", {"ipi": "x86 by interrupts", "tlbi": "x86 by INVLPGB"}),
        (
            "protocols-arm64",
            {"tlbi,repeat_sync=none": "Arm", "tlbi,repeat_sync=per_sync": "Arm with the erratum"},
        ),
    ):
        alone = pmsim.sweep(scenario, {CPUS: [2]}, workers=1, progress=None).frame
        for protocol, variant in protocols.items():
            row = alone.set_index(PROTOCOLS).loc[protocol]
            same = ["broadcasts", "latency_mean_ps", "pool_stale_ps", took]
            assert rows.loc[variant, same].tolist() == row[same].tolist()
    assert rows.loc["Arm with rodata=on", "broadcasts"] == AREAS


def test_waking_is_what_a_load_waits_for_and_the_deeper_the_longer() -> None:
    """Exit latencies are those of the platform: C1 2 µs, C1E 10 µs, C6 133 µs."""
    every = "workloads.policies.arrival.every"
    sweep = pmsim.sweep("idle-depth", {}, workers=1, progress=None)
    awake = pmsim.run(pmsim.load("idle-depth").with_({"machine.costs.idle": []}))
    flush = awake.summary.latency_ps.p50
    assert flush is not None
    rows = sweep.frame.set_index(every)
    for pace, state in (("15us", 2), ("50us", 10), ("200us", 10), ("1ms", 133), ("10ms", 133)):
        assert rows.loc[pace, "latency_p50_ps"] - flush == pytest.approx(state * US, abs=0.2 * US)
    assert rows.loc["10ms", "waking_share"] == pytest.approx(
        133 * US / (133 * US + flush), rel=0.01
    )
    assert any("Part of the latency in which CPUs wake up" in one for one in sweep_words(sweep))


def test_deferral_spares_purges_and_says_what_it_never_defers() -> None:
    scenario = pmsim.load("isolated-deferral").without_sweep().with_({"duration": "120min"})
    found = {
        name: pmsim.run(scenario.with_({"kernel.shootdown": way}))
        for name, way in {
            "ipi": "ipi", "purge": "deferred", "all": {"deferred": {"defers": "all"}},
        }.items()
    }  # fmt: skip
    isolated = {name: one.summary.isolated for name, one in found.items()}
    causes = found["ipi"].summary.broadcasts
    purges = causes.by_cause["purge"]
    flushes = causes.by_kind["full"] + causes.by_kind["range"]
    interrupts = {name: one.interrupts for name, one in isolated.items() if one is not None}
    assert interrupts["ipi"] - interrupts["purge"] == 52 * purges
    assert interrupts["ipi"] - interrupts["all"] == 52 * flushes
    said = " ".join(answer_words(found["purge"]))
    assert "Never deferred are others (text_poke, attributes" in said
    assert "set_memory_ro" in said
    assert "That is unsafe" in " ".join(answer_words(found["all"]))
    assert "unsafe" not in " ".join(answer_words(found["ipi"]))


def test_the_sweep_over_deferral_tells_a_day_of_an_isolated_cpu_by_each_protocol() -> None:
    scenario = pmsim.load("isolated-deferral").with_({"duration": "120min"})
    sweep = pmsim.sweep(scenario, {}, workers=1, progress=None)
    words = sweep_words(sweep)
    rates = sweep.frame.set_index(PROTOCOLS)["isolated_interrupts_per_s"] * 86_400
    told = ", ".join(f"{rates[name]:,.0f} {name}" for name in sweep.axes[PROTOCOLS])
    assert f"Interrupts of an isolated CPU in a day: {told}." in words
    assert any(
        one.startswith("By deferred only purges are put off: changed permissions (set_memory_ro)")
        for one in words
    )
    assert (
        "When the initiator goes on by deferred,defers=all, every CPU has been told, and may go on"
        " using the old translation."
    ) in words


def test_page_wise_tlbi_overtakes_interrupts_of_x86_from_as_many_cpus_on_as_the_page_says() -> None:
    """All flushes of the pool: one of everything for an area, or one for each of its pages."""

    def by_tlbi(n: int, *, repeated: bool) -> float:
        barrier = (TLBI + BARRIER + (n - 1) * ANSWER + TRIP) * NS
        page = barrier * (2 if repeated else 1)
        return AREAS * ((PAGES + 1) * page + (PAGES - 1) * TLBI * NS)

    def overtakes(*, repeated: bool) -> int:
        return next(n for n in range(2, 4096) if AREAS * by_ipi(n) > by_tlbi(n, repeated=repeated))

    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    said = re.search(r"from (\d+) CPUs on instead of (\d+)", " ".join(page.split()))
    assert said is not None
    assert [int(one) for one in said.groups()] == [
        overtakes(repeated=True),
        overtakes(repeated=False),
    ]
