"""Kernel operations per second, with their log kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks.machines import COSTS, SMALL
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.steps import Steps

Body = Callable[[Kernel, Task], Steps]

VMALLOCS = 20_000
PMALLOCS = 50_000
MANY = 100_000_000
PROTECTS = 5_000
TOGETHER = 8


def _rate(body: Body, operations: int, tasks: int = 1) -> float:
    """Run tasks on CPUs of a quiet 64-CPU machine; return operations of all per CPU-second."""
    machine = Machine(SMALL, COSTS)
    kernel = Kernel(machine, load_profile("linux-6.1-x86_64"), sink=lambda rows: None)
    for cpu in range(tasks):
        machine.spawn(cpu, lambda task: body(kernel, task))
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


def run_protect_together() -> float:
    """Return the same where the shootdowns of many tasks meet."""
    each = PROTECTS // TOGETHER
    body = partial(_protect, times=each)
    return _rate(body, TOGETHER * each, TOGETHER)


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
