"""What the lost time hangs on, against arithmetic and against runs with other constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import pmsim
from pmsim.simulation.answer.summary import UsedConstant
from pmsim.simulation.words.sentences import sentences
from pmsim.units import NS
from tests.machines import scenario
from tests.summaries import EMPTY


def parts(result: pmsim.Result) -> dict[str, int]:
    """Return the constants that a part of the lost time hangs on."""
    return {one.name: one.lost_ps for one in result.summary.constants if one.lost_ps}


def test_of_one_broadcast_each_constant_makes_what_arithmetic_says() -> None:
    # The initiator waits 3 queue + send + delivery + entry + 4 invlpg + 2 line (machine-model,
    # section 4: the targets in the other package answer last), and each of three targets loses
    # entry + 4 invlpg + exit.
    result = pmsim.run("one-broadcast")
    assert parts(result) == {
        "ipi.queue": 3 * 20 * NS,
        "ipi.send": 80 * NS,
        "ipi.delivery.package": 1200 * NS,
        "ipi.entry": (1 + 3) * 250 * NS,
        "ipi.exit": 3 * 150 * NS,
        "ipi.line.package": pytest.approx(220 * NS, rel=0.2),  # visits are told by the mix of all
        "ipi.line.core": pytest.approx(0, abs=40 * NS),
        "tlb.invlpg": (1 + 3) * 4 * 100 * NS,
    }
    assert sum(parts(result).values()) == pytest.approx(result.summary.cost.lost_ps, abs=10)


def test_a_constants_part_is_what_the_lost_time_changes_by_with_it() -> None:
    base = pmsim.load("one-broadcast")
    lost = pmsim.run(base).summary.cost.lost_ps
    for name, ps in parts(pmsim.run(base)).items():
        if name.startswith("ipi.line"):
            continue
        value = next(one for one in base.resolve().machine.constants if one.name == name)
        more = f"{value.value * 11 // 10}ps"
        changed = pmsim.run(base.with_(**{f"machine.costs.{name}": more})).summary.cost.lost_ps
        assert changed - lost == pytest.approx(ps / 10, abs=100), name


POLICY = {"kind": "policy_load", "name": "selinux", "cpu": 1, "allocations": 64, "size": "512B"}
WORK = {"kind": "user_work", "name": "victims", "working_set": 256}


@pytest.mark.parametrize("name", ["tlb.walk", "tlb.flush_all", "ipi.entry", "ipi.exit"])
def test_that_holds_with_refills_and_idle_cpus_to_a_few_per_cent(name: str) -> None:
    base = scenario(POLICY, WORK, cpus=4, duration="4ms")
    result = pmsim.run(base)
    value = next(one for one in base.resolve().machine.constants if one.name == name)
    more = pmsim.run(base.with_(**{f"machine.costs.{name}": f"{value.value * 11 // 10}ps"}))
    change = more.summary.cost.lost_ps - result.summary.cost.lost_ps
    assert change == pytest.approx(parts(result)[name] / 10, rel=0.1), name


def test_stalls_by_broadcasts_hang_on_the_share_and_on_the_service_alike() -> None:
    base = scenario(
        POLICY, WORK, machine={"platform": "altra-max", "cpus": 4}, kernel="linux-6.1-arm64",
        duration="4ms",
    )  # fmt: skip
    result = pmsim.run(base)
    found = parts(result)
    stolen = result.summary.cost.stolen_ps
    assert found["tlbi.share"] == pytest.approx(stolen, rel=0.05)
    times = ("barrier", "operation", "everything", "answer", "contention", "recovery")
    assert sum(found.get(f"tlbi.{one}", 0) for one in times) > found["tlbi.share"]


def test_a_barrier_beside_the_server_is_none_of_the_round_trip() -> None:
    base = scenario(
        POLICY, machine={"platform": "epyc-milan", "cpus": 4}, kernel="linux-6.18-x86_64",
        duration="4ms",
    )  # fmt: skip
    result = pmsim.run(base)
    found, calls = parts(result), result.crosscalls[result.crosscalls["protocol"] == "tlbi"]
    assert found["tlbi.barrier"] == pytest.approx(210_000 * len(calls), rel=0.01)
    assert found["tlbi.round_trip.die"] == pytest.approx(150_000 * len(calls), rel=0.01)


def test_what_a_run_used_is_told_with_its_range_and_nothing_else_is() -> None:
    used = {one.name: one for one in pmsim.run("one-broadcast").summary.constants}
    entry = used["ipi.entry"]
    assert (entry.value, entry.low, entry.high, entry.basis) == ("250ns", "125ns", "500ns", "")
    assert "kernel.vmalloc" not in used
    assert "ipi.jitter" not in used  # there is none


def test_a_distance_that_the_machine_does_not_have_is_not_used() -> None:
    used = [one.name for one in pmsim.run("one-broadcast").summary.constants]
    assert {"ipi.delivery.core", "ipi.delivery.package"} <= set(used)
    base = pmsim.load("one-broadcast").with_(**{"machine.topology.packages": 1,
                                                "machine.topology.cores": 4})  # fmt: skip
    used = [one.name for one in pmsim.run(base).summary.constants]
    assert "ipi.delivery.package" not in used


def constant(name: str, share: float, **known: Any) -> UsedConstant:
    plain = UsedConstant(name, "15ns", "7.5ns", "75ns", "derived", "a paper", 0, share)
    return replace(plain, **known)


def said(*constants: UsedConstant) -> list[str]:
    calls = replace(EMPTY.broadcasts, total=3, by_protocol={"ipi": 3})
    summary = replace(EMPTY, broadcasts=calls, constants=constants)
    return [one for one in sentences(summary) if "hangs on" in one]


def test_the_answer_says_what_the_lost_time_hangs_on() -> None:
    assert said(constant("tlb.walk", 0.851), constant("ipi.entry", 0.04)) == [
        "85.1 % of the lost time hangs on tlb.walk = 15 ns (derived, 7.5 to 75 ns) and the working"
        " sets."
    ]


def test_of_several_constants_the_answer_names_up_to_three() -> None:
    three = [constant("ipi.entry", 0.3, basis="", low=None, high=None)] * 4
    assert said(*three) == [
        "30 % of the lost time hangs on ipi.entry = 15 ns (no source),"
        " 30 % on ipi.entry = 15 ns (no source), 30 % on ipi.entry = 15 ns (no source)."
    ]


def test_where_no_constant_makes_much_of_it_nothing_is_said() -> None:
    assert said(constant("ipi.entry", 0.04)) == []
    assert said() == []
