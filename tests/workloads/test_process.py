"""Processes that do everything: in what order, whom it slows down, and how they end."""

from __future__ import annotations

from typing import Any

import pmsim
from pmsim.units import US
from tests.machines import scenario


def run(**keys: Any) -> pmsim.Result:
    return pmsim.run(scenario({"kind": "process", "name": "server", **keys}))


def test_a_change_is_all_that_it_consists_of_in_order() -> None:
    result = run(does=["mmap", "touch", "mprotect", "madvise", "munmap"], changes=2)
    rows = result.operations.sort_values("start_ps")
    once = ["mmap", "page_fault", "mprotect", "madvise", "munmap"]
    assert rows["kind"].tolist() == [*once, *once, "exit_mm"]


def test_each_thread_acts_where_asked() -> None:
    acts = {"does": ["mprotect"], "changes": 3, "threads": [1, 2], "threads_do": "change"}
    result = run(**acts)
    made = result.operations[result.operations["kind"] == "mprotect"]
    assert made.groupby("cpu").size().to_dict() == {0: 3, 1: 3, 2: 3}


def test_the_summary_has_how_much_longer_the_work_of_the_other_threads_took() -> None:
    keys = {"does": ["mprotect"], "changes": 10, "threads": [1, 2], "work": "1ms"}
    (own,) = run(**keys).summary["user_work"]
    assert (own["workload"], own["tasks"]) == ("server", 2)
    # Each is interrupted ten times, for at least an entry and an exit; and it ends by exit_mm.
    least, exit_mm = 10 * (200 + 100) / 1e6, 10 * US / 1e9
    assert least < own["slowdown"] < least + exit_mm + 0.01


def test_a_forked_child_is_gone_when_its_parent_goes_on() -> None:
    result = run(does=["fork", "mprotect"], changes=1, threads=[1], work="2ms")
    rows = result.operations.sort_values("start_ps")
    main = rows[rows["cpu"] == 0]["kind"].tolist()
    assert main == ["fork", "execve", "exit_mm", "mprotect", "exit_mm"]
    (changed,) = rows[rows["kind"] == "mprotect"]["crosscalls"]
    assert changed == 1  # the parent's other thread is told again
