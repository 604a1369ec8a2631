"""Kernel operations per second, with their log kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks.machines import COSTS, SMALL
from pmsim.hardware.machine import Machine
from pmsim.hardware.proposals import DeferredCosts
from pmsim.hardware.task import Task
from pmsim.hardware.topology import Topology
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.steps import Steps
from pmsim.units import NS, US

Body = Callable[[Kernel, Task], Steps]

VMALLOCS = 20_000
PMALLOCS = 50_000
MANY = 100_000_000
PROTECTS = 5_000
TOGETHER = 8
STAY = 50 * US
"""What a task on an isolated CPU computes in user mode between two system calls."""

AT_ENTRY = {"shootdown": {"ipi": {"ack": "entry"}}, "unsafe": True}
"""Targets acknowledge before they flush, so that calls may return before all is gone."""
ALL_DEFERRED = {"shootdown": {"deferred": {"defers": "all"}}, "unsafe": True}
"""Calls return while CPUs that they left out hold what they revoke: a violation on each of them."""
DEFERS = replace(COSTS, deferred=DeferredCosts(check=10 * NS, entry_flush=400 * NS))


def _rate(
    body: Body,
    operations: int,
    tasks: int = 1,
    *,
    topology: Topology = SMALL,
    keys: Mapping[str, Any] | None = None,
    stay: int = 0,
) -> float:
    """Run tasks on CPUs of a quiet machine; return operations of all per CPU-second.

    Parameters
    ----------
    body, operations, tasks
        What each task does, how many operations all of them make, and how many tasks there are.
    topology, keys
        The machine, and keys of the kernel's profile.
    stay
        How long, in picoseconds, tasks of all other CPUs, which are isolated then, stay in user
        mode at a time; 0: the others are idle.
    """
    profile = load_profile("linux-6.1-x86_64", keys)
    others = range(tasks, topology.n_cpus if stay else tasks)
    machine = Machine(topology, DEFERS, shootdown=profile.shootdown_on(DEFERS), isolated=[*others])
    kernel = Kernel(machine, profile, sink=lambda rows: None)
    left = tasks

    def works(task: Task) -> Steps:
        nonlocal left
        yield from body(kernel, task)
        left -= 1

    def stays(task: Task) -> Steps:
        while left:
            yield from task.user_compute(stay)
            yield from task.enter_kernel()

    for cpu in range(tasks):
        machine.spawn(cpu, works)
    for cpu in others:
        machine.spawn(cpu, stays)
    started = time.process_time()
    machine.run()
    return operations / (time.process_time() - started)


def _vmalloc(kernel: Kernel, task: Task) -> Steps:
    for _ in range(VMALLOCS):
        area = yield from kernel.vmalloc.vmalloc(task, 16 << 10)
        yield from kernel.vmalloc.vfree(task, area)


def _pmalloc(kernel: Kernel, task: Task) -> Steps:
    pool = yield from kernel.pmalloc.pmalloc_create_pool(task, 4096, 3)
    for _ in range(PMALLOCS):
        yield from kernel.pmalloc.pmalloc(task, pool, 24)


def _alloc_many(kernel: Kernel, task: Task) -> Steps:
    pool = yield from kernel.pmalloc.pmalloc_create_pool(task, 2 << 20, 3)
    yield from kernel.pmalloc.alloc_many(task, pool, MANY, 24)


def _protect(kernel: Kernel, task: Task, times: int = PROTECTS) -> Steps:
    pool = yield from kernel.pmalloc.pmalloc_create_pool(task, 4096, 3)
    for _ in range(times):
        yield from kernel.pmalloc.pmalloc(task, pool, 24)
        yield from kernel.pmalloc.pmalloc_protect_pool(task, pool)


def _storm() -> float:
    """Run the boot that Luis Chamberlain measured in 2023; return requests per CPU-second."""
    storm = {"kind": "module_storm", "modules": 66, "duplicates": 173, "segments": {}}
    machine = {
        "platform": "epyc-milan",
        "topology": {"packages": 1, "dies": 1, "cores": 255, "threads": 1},
    }
    scenario = pmsim.Scenario.from_dict(
        {"pmsim": 1, "name": "storm", "machine": machine, "workloads": [storm]}
    )
    started = time.process_time()
    loads = pmsim.run(scenario).operations["kind"].isin(["load_module", "load_duplicate"]).sum()
    return float(loads) / (time.process_time() - started)


def run_vmalloc() -> float:
    """Return how many areas are allocated and freed per CPU-second."""
    return _rate(_vmalloc, VMALLOCS)


def run_protect() -> float:
    """Return how many pools of a page are protected per CPU-second."""
    return _rate(_protect, PROTECTS)


def run_protect_together(times: int = PROTECTS, **on: Any) -> float:
    """Return the same where the shootdowns of many tasks meet; ``on`` says on what (`_rate`)."""
    each = times // TOGETHER
    return _rate(partial(_protect, times=each), TOGETHER * each, TOGETHER, **on)


CASES: tuple[tuple[str, Callable[[], float]], ...] = (
    ("vmalloc(16 KiB) and vfree, with the purges", run_vmalloc),
    ("pmalloc(24), one by one", lambda: _rate(_pmalloc, PMALLOCS)),
    ("pmalloc(24), by alloc_many", lambda: _rate(_alloc_many, MANY)),
    ("pmalloc and pmalloc_protect_pool of one page", run_protect),
    ("module requests of a boot storm (255 CPUs, 11,484 in all; 1,148 is 10 s)", _storm),
)
"""What is timed: a name, and a function that returns operations per CPU-second."""


def measure(console: Console) -> None:
    """Print the table."""
    table = Table("operations of the kernel", title="The kernel", title_justify="left")
    table.add_column("per CPU-second", justify="right")
    for name, rate in CASES:
        table.add_row(name, f"{rate():,.0f}")
    console.print(table)
