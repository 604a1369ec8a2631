"""Processes that do everything: in what order, whom it slows down, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.units import US
from tests.machines import scenario


def run(**keys: Any) -> pmsim.Result:
    return pmsim.run(scenario({"kind": "process", "name": "server", **keys}, cpus=8))


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


def test_a_page_of_a_file_that_is_changed_given_back_and_read_makes_two_flushes() -> None:
    acts = {"does": ["write", "madvise", "read"], "changes": 2, "threads": [1]}
    rows = run(**acts).operations.sort_values("start_ps")
    rows = rows[rows["kind"] != "exit_mm"]
    assert rows["kind"].tolist() == ["wp_page_copy", "madvise", "read_fault"] * 2
    assert rows["crosscalls"].tolist() == [1, 1, 0] * 2


def children(**keys: Any) -> dict[str, Any]:
    return {"does": ["fork", "write"], "resident": 100, "pages": 5, "children": keys}


def test_children_run_on_one_cpu_after_the_other_and_their_parent_waits() -> None:
    result = run(**children(cpus=[4, 5], compute="100us"), changes=3)
    kinds = result.operations.sort_values("start_ps").groupby("cpu")["kind"].agg(list)
    assert kinds[4] == ["execve", "exit_mm"] * 2
    assert kinds[5] == ["execve", "exit_mm"]
    copies = result.operations.query("kind == 'wp_page_copy'")["start_ps"].sort_values().tolist()
    ends = result.operations.query("kind == 'exit_mm' and cpu != 0")["end_ps"].sort_values()
    assert all(end < copy for end, copy in zip(ends, copies, strict=True))


def test_a_child_that_nobody_waits_for_lets_its_parent_write_to_what_they_share() -> None:
    snapshot = {"cpus": [4], "program": False, "compute": "1ms", "writes": 2, "waited": False}
    result = run(**children(**snapshot), threads=[1, 2], work="2ms", changes=1)
    ends = result.operations.query("kind == 'exit_mm'").set_index("cpu")["end_ps"]
    writes = result.operations.query("kind == 'wp_page_copy'").set_index("cpu")
    assert writes.loc[0, "end_ps"] < ends[4]
    assert writes["pages"].to_dict() == {0: 5, 4: 2}
    # The parent's threads hear of each page of their process, and of none of the child's.
    assert writes["crosscalls"].to_dict() == {0: 5, 4: 0}
    assert {row["workload"] for row in result.summary["calls"]} == {"server"}
    assert result.tasks.query("cpu == 4")["finished"].tolist() == [True]


def test_a_child_that_moves_at_exec_has_its_program_there() -> None:
    result = run(**children(cpus=[4], program_cpus=[6], compute="1ms"), changes=1)
    where = result.operations.query("kind == 'execve'")
    assert where["cpu"].tolist() == [6]
    assert where["crosscalls"].tolist() == [1]


def test_children_need_a_fork_write_to_what_there_is_and_run_on_cpus_that_are_there() -> None:
    with pytest.raises(pmsim.ScenarioError, match="nothing of what the threads do is a fork"):
        run(does=["mprotect"], children={"cpus": [4]})
    with pytest.raises(pmsim.ScenarioError, match="more pages than its parent has"):
        run(**children(cpus=[4], writes=101))
    with pytest.raises(pmsim.ScenarioError, match="99"):
        run(**children(cpus=[4], program_cpus=[99]))
