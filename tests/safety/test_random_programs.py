"""Random programs on every kernel, by every protocol: the checker finds nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.kernel.profiles import profile_names
from pmsim.units import US
from tests.reference.examples import OWN
from tests.safety.driven import CPUS, EVERY, Driven

PROTOCOLS: list[Any] = [
    "native",
    "ipi",
    "rar",
    "coherent",
    "directory",
    "deferred",
    "latr",
    "tlbi",
    {"tlbi": {"kernel_range_drops": "everything", "repeat_sync": "per_sync"}},
    "sbi",
    Shootdown(OWN["early"]),
    Shootdown(OWN["tick"]),
    Shootdown(OWN["broadcast"]),
]
"""Every protocol and what may be chosen of it that promises enough."""


class Programs(RuleBasedStateMachine):
    """Four tasks, one on each CPU, that are told of calls while time passes."""

    @initialize(profile=st.sampled_from(profile_names()), protocol=st.sampled_from(PROTOCOLS))
    def boot(self, profile: str, protocol: Any) -> None:
        self.driven = Driven(profile, shootdown=protocol)

    @rule(cpu=st.integers(0, CPUS - 1), name=st.sampled_from(list(EVERY)))
    def tell(self, cpu: int, name: str) -> None:
        self.driven.tell(cpu, EVERY[name])

    @rule(time=st.sampled_from([1, 5, 20, 100]))
    def let_time_pass(self, time: int) -> None:
        self.driven.run(time * US)

    @invariant()
    def nothing_is_found(self) -> None:
        if hasattr(self, "driven"):
            assert not self.driven.kernel.safety.found.counts

    def teardown(self) -> None:
        if hasattr(self, "driven"):
            assert self.driven.run_all().found() == []


TestProgramsAreSafe = Programs.TestCase
TestProgramsAreSafe.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestManyProgramsAreSafe(Programs.TestCase):  # type: ignore[misc, name-defined]
    """The same, more of them."""

    settings = settings(
        max_examples=600,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
