"""Things that stay for a while: when they go, whatever is on time or late."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from tests.machines import scenario

MODULE = {"file_pages": "3 pages", "core_text": "1 page", "core_data": "1 page"}
BURST = {"kind": "module_burst", "segments": [MODULE]}
BPF = {"kind": "bpf_programs"}
CHURN = {"kind": "vmalloc_churn", "size": "8KiB"}

KINDS = pytest.mark.parametrize(
    ("keys", "number", "stay"),
    [
        (BURST, "modules", "unload"),
        (BPF, "programs", "lifetime"),
        (CHURN, "allocations", "lifetime"),
    ],
    ids=["module_burst", "bpf_programs", "vmalloc_churn"],
)
SIGNS = {
    "load_module": "+", "unload_module": "-", "bpf_prog_load": "+", "bpf_prog_free": "-",
}  # fmt: skip
OF_AREAS = {"vmalloc": "+", "vfree": "-"}


def order(keys: dict[str, Any], **run: Any) -> str:
    """Return what a task did in order of time: + brings a thing, - takes one away."""
    operations = pmsim.run(scenario(keys, kernel="linux-5.15-x86_64", **run)).operations
    signs = OF_AREAS if keys["kind"] == "vmalloc_churn" else SIGNS
    done = operations[operations["kind"].isin(signs)].sort_values("start_ps")
    return "".join(signs[kind] for kind in done["kind"])


def staying(keys: dict[str, Any], stay: str, time: str) -> dict[str, Any]:
    return {**keys, stay: {"after": time} if stay == "unload" else time}


@KINDS
def test_what_stays_no_time_goes_before_the_next_comes(
    keys: dict[str, Any], number: str, stay: str
) -> None:
    assert order({**staying(keys, stay, "0s"), number: 3}) == "+-+-+-"


def test_a_module_that_is_to_go_at_once_goes_before_the_next_is_loaded() -> None:
    assert order({**BURST, "unload": True, "modules": 3}) == "+-+-+-"


@KINDS
def test_what_stays_longer_than_all_arrivals_goes_at_the_end_in_its_order(
    keys: dict[str, Any], number: str, stay: str
) -> None:
    assert order({**staying(keys, stay, "10s"), number: 3}) == "+++---"


@KINDS
def test_arrivals_that_are_late_hold_nothing_back_that_is_due(
    keys: dict[str, Any], number: str, stay: str
) -> None:
    # All three are asked for at time 0, so that the second and the third are late.
    burst = {"arrival": {"burst": {"size": 3, "every": "1s"}}, number: 3}
    assert order({**staying(keys, stay, "0s"), **burst}) == "+-+-+-"


def test_without_end_and_without_arrivals_programs_go_all_the_same() -> None:
    done = order({**BPF, "lifetime": "1ms"}, duration="50ms")
    # A load takes 0.1 ms and more: some ten are there at a time, not all that were ever loaded.
    assert done.count("-") > done.count("+") - 15 > 100
