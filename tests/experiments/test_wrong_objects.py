from __future__ import annotations

import pytest

import pmsim


def test_something_else_is_refused_with_what_is_taken() -> None:
    scenario = pmsim.load("policy-load")
    with pytest.raises(TypeError, match="opened by its directory, not from Scenario"):
        pmsim.open(scenario)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not list: compare\(a, b\)"):
        pmsim.compare([scenario, scenario])  # type: ignore[arg-type]
