"""What a workload of one's own does wrong in waiting is said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pmsim
from pmsim.errors import ProgramError
from pmsim.workloads.waiting import forgotten_call
from tests.machines import scenario

pytestmark = pytest.mark.usefixtures("scoped_kinds")


def line_of(text: str) -> int:
    """Return where a line stands first in this file."""
    return Path(__file__).read_text(encoding="utf-8").splitlines().index(text) + 1


def failure(run: Any) -> ProgramError:
    """Run a workload that does what ``run`` does, and return how it ends."""
    pmsim.workload("own")(type("Own", (), {"run": run, "__module__": __name__}))
    with pytest.raises(ProgramError) as caught:
        pmsim.run(scenario({"kind": "own", "cpu": 1}))
    assert "own, task 0 on CPU 1" in str(caught.value)
    return caught.value


def test_a_call_that_nobody_waits_for_is_refused_where_it_stands() -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from cpu.compute("1us")
        kernel.vfree(None)  # nobody waits

    where = line_of("        kernel.vfree(None)  # nobody waits")
    assert forgotten_call(run) == (
        f"{__file__}:{where}: kernel.vfree(None) does nothing without `yield from` before it"
    )
    with pytest.raises(TypeError, match="does nothing without `yield from`"):
        pmsim.workload("own")(type("Own", (), {"run": run}))


def test_calls_that_are_waited_for_or_take_no_time_are_no_mistake() -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        area = yield from kernel.vmalloc("4KiB")
        self.note(area)
        cpu.report_failure("vmalloc", "none left")
        yield from kernel.vfree(area)

    assert forgotten_call(run) is None


def test_between_two_calls_a_task_keeps_its_cpu_with_preemption_off() -> None:
    told = []

    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from cpu.preempt_disable()
        yield from cpu.compute("2ms")
        yield from cpu.compute("2ms")
        told.append(cpu.now)
        cpu.preempt_enable()

    assert forgotten_call(run) is None
    pmsim.workload("own")(type("Own", (), {"run": run, "__module__": __name__}))
    # Quanta are of 1 ms, and the two have the same CPU.
    pmsim.run(scenario({"kind": "own", "cpu": 1, "name": "a"}, {"kind": "own", "cpu": 1}))
    switch = 1_000_000
    assert told == [4_000_000_000, 8_000_000_000 + switch]


def test_what_may_sleep_with_preemption_off_is_told_with_its_place() -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from cpu.preempt_disable()
        yield from kernel.vm_unmap_aliases()

    told = str(failure(run))
    assert "asks for vmap_purge_lock while preemption is off" in told


def test_what_has_no_source_is_not_looked_at() -> None:
    assert forgotten_call(eval("lambda self, kernel, cpu: kernel.vfree(None)")) is None


@pytest.mark.parametrize("returned", [None, 5])
def test_a_run_that_is_no_generator_is_told_so(returned: int | None) -> None:
    error = failure(lambda self, kernel, cpu: returned)
    assert "is no generator" in str(error)


@pytest.mark.parametrize("yielded", [None, 5, "text"])
def test_a_workload_that_yields_by_itself_is_told_when(yielded: Any) -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from cpu.compute("3ns")
        yield yielded

    error = failure(run)
    assert "by itself" in str(error)
    assert error.at_ps == 3000


def test_so_is_one_whose_helper_does() -> None:
    def helper(cpu: Any) -> Any:
        yield from cpu.compute("3ns")
        yield 0

    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from helper(cpu)

    assert "by itself" in str(failure(run))


def test_a_generator_in_the_place_of_its_answer_is_explained() -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        area = kernel.vmalloc("4KiB")
        yield from kernel.vfree(area)

    assert "is a `yield from` missing before a call?" in str(failure(run))


def test_a_quantity_that_cannot_be_read_has_its_place_in_simulated_time() -> None:
    def run(self: Any, kernel: Any, cpu: Any) -> Any:
        yield from cpu.compute("2ns")
        yield from cpu.compute("3 parsecs")

    error = failure(run)
    assert "'parsecs' is no unit" in str(error)
    assert error.at_ps == 2000


@pytest.mark.parametrize("wrong", [5, None, type("Bare", (), {})])
def test_a_workload_is_registered_by_a_name(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r'@pmsim\.workload\("my_workload"\)'):
        pmsim.workload(wrong)


def test_only_a_class_is_a_workload() -> None:
    with pytest.raises(TypeError, match="a workload is a class"):
        pmsim.workload("own")(lambda kernel, cpu: None)  # type: ignore[type-var]
