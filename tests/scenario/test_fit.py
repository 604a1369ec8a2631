"""Which kernels run on which machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import pmsim
from pmsim.errors import Fault, ScenarioError
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.scenario.fit import misfit
from pmsim.scenario.platform import load_platform


@pytest.mark.parametrize(
    ("platform", "kernel"),
    [
        ("skylake-sp-2s", "linux-6.1-x86_64"),
        ("skylake-sp-2s", "linux-4.16-x86_32"),
        ("skylake-sp-2s", "linux-6.18-x86_64"),
        ("epyc-turin", "linux-6.18-x86_64"),
        ("altra-max", "linux-6.1-arm64"),
        ("sg2042", "linux-6.1-riscv64"),
    ],
)
def test_a_kernel_runs_on_a_machine_of_its_architecture(platform: str, kernel: str) -> None:
    assert misfit(load_platform(platform), load_profile(kernel)) is None


def test_a_kernel_of_another_architecture_is_answered_with_those_that_run() -> None:
    found = misfit(load_platform("altra-max"), load_profile("linux-6.1-x86_64"))
    assert found is not None
    assert found.code == "wrong-architecture"
    runs = [name for name in profile_names() if load_profile(name).arch == "arm64"]
    assert len(runs) > 2
    assert found.hint == f"kernels that run there: {', '.join(runs)}"


def test_a_machine_that_names_no_architecture_runs_every_kernel_whose_costs_it_gives() -> None:
    nameless = replace(load_platform("altra-max"), archs=())
    assert misfit(nameless, load_profile("linux-6.1-x86_64")) is None
    assert misfit(nameless, load_profile("linux-6.1-arm64")) is None


@pytest.mark.parametrize(
    ("platform", "kernel", "code"),
    [
        ("skylake-sp-2s", "linux-6.18-x86_64", "no-tlbi"),
        ("skylake-sp-2s", "linux-6.1-arm64", "no-tlbi"),
        ("skylake-sp-2s", "linux-6.1-riscv64", "no-sbi"),
    ],
)
def test_a_machine_has_to_give_the_costs_of_how_a_kernel_tells_other_cpus(
    platform: str, kernel: str, code: str
) -> None:
    profile = load_profile(kernel)
    if profile.invalidate_by == "tlbi_or_ipi":
        profile = profile.model_copy(update={"invalidate_by": "tlbi"})
    found = misfit(replace(load_platform(platform), archs=()), profile)
    assert found is not None
    assert found.code == code


def test_a_protocol_that_promises_too_little_is_refused_by_name_and_reason() -> None:
    found = faults_of_deferral({"defers": "all"})
    assert [fault.code for fault in found] == ["unsafe-shootdown"]
    assert "deferred with defers: all promises too little to revoke (set_memory_ro" in str(found[0])
    assert "unsafe: true" in found[0].hint


def test_it_runs_where_the_kernel_says_that_it_is_unsafe_and_what_is_safe_runs_anyway() -> None:
    assert faults_of_deferral({"defers": "all"}, unsafe=True) == []
    assert faults_of_deferral({"defers": "purge"}) == []


def test_what_is_merely_closed_is_refused_to_those_who_revoke_or_reuse() -> None:
    found = faults_of_early_acknowledgement({"kind": "pool_churn"})
    assert [fault.code for fault in found] == ["unsafe-shootdown"]
    assert "ipi with ack: entry promises too little to revoke (set_memory_ro" in str(found[0])
    munmap = {"kind": "user_munmap", "pages": "4 pages", "arrival": {"every": "1ms"}}
    assert [fault.code for fault in faults_of_early_acknowledgement(munmap)] == ["unsafe-shootdown"]


def test_what_is_merely_closed_runs_where_nobody_needs_more_or_it_is_said_to_be_unsafe() -> None:
    lazily = {"kind": "vmalloc_churn", "cpus": [0], "arrival": {"every": "1ms"}}
    assert faults_of_early_acknowledgement(lazily) == []
    assert faults_of_early_acknowledgement({"kind": "pool_churn"}, unsafe=True) == []


def faults_of_early_acknowledgement(workload: dict[str, Any], **kernel: bool) -> list[Fault]:
    """Return the faults of a scenario whose calls are acknowledged before they are served."""
    scenario = {
        "pmsim": 1,
        "machine": "skylake-sp-2s",
        "kernel": {
            "profile": "linux-6.1-x86_64",
            "shootdown": {"ipi": {"ack": "entry"}},
            **kernel,
        },
        "duration": "1ms",
        "workloads": [workload],
    }
    try:
        pmsim.Scenario.from_dict(scenario)
    except ScenarioError as error:
        return list(error.faults)
    return []


def faults_of_deferral(options: dict[str, str], **kernel: bool) -> list[Fault]:
    """Return the faults of a scenario whose kernel defers with some options."""
    scenario = {
        "pmsim": 1,
        "machine": {
            "platform": "skylake-sp-2s",
            "isolated": [2, 3],
            "costs": {"deferred": {"check": "10ns", "entry_flush": "500ns"}},
        },
        "kernel": {
            "profile": "linux-6.1-x86_64",
            "shootdown": {"deferred": options},
            **kernel,
        },
        "duration": "1ms",
        "workloads": [{"kind": "user_work", "cpus": [2]}],
    }
    try:
        pmsim.Scenario.from_dict(scenario)
    except ScenarioError as error:
        return list(error.faults)
    return []
