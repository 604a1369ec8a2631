"""One program, two implementations: how to run it on each, with one type of result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pmsim.hardware.costs import Jitter, MachineCosts
from pmsim.hardware.detail import Detail, Stretch
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.hardware.machine import Machine
from pmsim.hardware.rwsem import RwSemaphore
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS, PROTOCOLS, number_of
from pmsim.hardware.shootdown.tlbi import (
    TLBI,
    Invalidation,
    invalidate_all,
    invalidate_pages,
)
from pmsim.hardware.specimens import WholeCalls
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import FlushFunction, empty_call, flush, flush_user, sync_core
from tests.reference.machine import run as run_reference
from tests.reference.program import (
    CallRecord,
    CpuAccount,
    JitterStream,
    Program,
    Result,
    Step,
    TaskSpec,
    in_order,
)

Waits = Generator[Any, Any, None]


def run_fabric(program: Program) -> Result:
    """Run a program on the machine that every scenario uses."""
    return _FabricRun(program).result()


def run_unwatched(program: Program) -> Result:
    """Run a program while nobody asks for acknowledgements; the calls come without them.

    To ask for them is to look at every CPU at the end of every call.
    """
    return _FabricRun(program, watched=False).result()


def unwatched_rows_of(program: Program) -> list[dict[str, int]]:
    """Return each cross-call's row as the fabric logs it while nobody looks."""
    fabric = _FabricRun(program, watched=False)
    fabric.result()
    return fabric.rows


def accounts_at(program: Program, instants: Sequence[int]) -> list[tuple[CpuAccount, ...]]:
    """Return the accounts at several instants of one run, while nobody looks at anything else."""
    fabric = _FabricRun(program, watched=False)
    found = []
    for instant in instants:
        fabric.machine.run(instant)
        found.append(fabric.accounts())
    return found


def rows_of(program: Program) -> list[tuple[dict[str, int], dict[int, int]]]:
    """Return each cross-call's row as the fabric logs it, and its acknowledgements."""
    fabric = _FabricRun(program)
    fabric.result()
    return list(zip(fabric.rows, fabric.machine.acks, strict=True))


def machine_of(program: Program) -> Machine:
    """Return the machine as it stands after a program."""
    fabric = _FabricRun(program)
    fabric.result()
    return fabric.machine


def kept_of(program: Program, *, watched: bool = True) -> dict[str, WholeCalls]:
    """Return the calls that the fabric has kept whole at the end of the run."""
    fabric = _FabricRun(program, watched=watched)
    fabric.result()
    return fabric.machine.kept_calls()


class Kept:
    """Everything that is kept of a part of a run, piece by piece as it comes."""

    def __init__(self) -> None:
        self.pieces: list[WholeCalls] = []
        self.waits: list[Stretch] = []
        self.detail: Detail | None = None

    def whole_calls(self, calls: WholeCalls) -> None:
        self.pieces.append(calls)

    def stretches(self, stretches: Sequence[Stretch]) -> None:
        self.waits += stretches

    def targets(self, name: str) -> list[int]:
        """Return one of the arrays of `WholeCalls` that have an item per target, or per call."""
        return [value for one in self.pieces for value in getattr(one, name).tolist()]

    def row(self, name: str) -> list[int]:
        """Return what the rows of the calls say in a column, call by call."""
        return [value for one in self.pieces for value in one.row[name].tolist()]


def detail_of(
    program: Program,
    start: int = 0,
    end: int | None = None,
    most: int = 10**6,
    *,
    watched: bool = True,
) -> tuple[Kept, Result]:
    """Return what is kept of a part of a run, and the result of the run."""
    fabric, kept = _FabricRun(program, watched=watched), Kept()
    kept.detail = fabric.machine.keep_detail(start, end, kept, most)
    return kept, fabric.result()


IMPLEMENTATIONS: dict[str, Callable[[Program], Result]] = {
    "reference": run_reference,
    "fabric": run_fabric,
}


class _GivenJitter:
    """Stands for NumPy's generator: the "drawn" delays are the program's own."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.stream = JitterStream(numbers)

    def uniform(self, low: float, high: float, size: int) -> npt.NDArray[np.float64]:
        return np.array(self.stream(size), dtype=np.float64)


def _with_jitter(costs: MachineCosts, protocol: str) -> MachineCosts:
    group: Any = replace(getattr(costs, protocol), jitter=Jitter("uniform", 1))
    changed: Any = {protocol: group}
    return replace(costs, **changed)


class _FabricRun:
    def __init__(self, program: Program, *, watched: bool = True) -> None:
        self.program = program
        costs, rng = program.costs, None
        if program.jitters:
            protocol = program.shootdown.protocol
            costs = _with_jitter(costs, protocol.calls or protocol.name)
            rng = cast(np.random.Generator, _GivenJitter(program.jitter))
        self.machine = Machine(
            program.topology,
            costs,
            order=program.order,
            jitter_rng=rng,
            shootdown=_shootdown(program),
            host=program.host,
            isolated=program.isolated,
        )
        self.machine.keep_acks = watched
        self.machine.on_crosscalls = self._keep_rows
        self.rows: list[dict[str, int]] = []
        self.mutexes: dict[int, Mutex] = {}
        self.spinlocks: dict[int, Spinlock] = {}
        self.semaphores: dict[int, RwSemaphore] = {}
        self.task_ends: dict[int, int] = {}
        for spec in sorted(program.tasks, key=lambda spec: spec.number):
            self._spawn(spec)

    def _spawn(self, spec: TaskSpec) -> None:
        self.machine.spawn(
            spec.cpu,
            lambda task: self._body(task, spec),
            name=f"task{spec.number}",
            working_set=spec.working_set,
            number=spec.number,
        )

    def _body(self, task: Task, spec: TaskSpec) -> Waits:
        for step in spec.steps:
            yield from self._step(task, step)
        yield from task.enter_kernel()
        self.task_ends[spec.number] = task.now

    def _step(self, task: Task, step: Step) -> Waits:
        operation, argument = step[0], cast(Any, step[1])
        match operation:
            case "compute" | "irqs_off" | "sleep":
                yield from getattr(task, operation)(argument)
            case "user":
                yield from task.user_compute(argument)
            case "kernel":
                yield from task.begin_kernel_compute(argument)
            case "flush_own":
                yield from task.flush_own_cpu(self._function("flush_user", argument))
            case "mutex_lock":
                yield from self._mutex(argument).lock(task)
            case "mutex_unlock":
                yield from task.boundary()
                self._mutex(argument).unlock(task)
            case "write_lock":
                yield from self._semaphore(argument).lock(task)
            case "write_unlock":
                yield from task.boundary()
                self._semaphore(argument).unlock(task)
            case "downgrade":
                yield from task.boundary()
                self._semaphore(argument).downgrade(task)
            case "read_lock":
                yield from self._semaphore(argument).read.lock(task)
            case "read_unlock":
                yield from task.boundary()
                self._semaphore(argument).read.unlock(task)
            case "spin_lock":
                yield from self._spinlock(argument).lock(task)
            case "spin_unlock":
                yield from task.boundary()
                self._spinlock(argument).unlock(task)
            case "preempt_off":
                yield from task.preempt_disable()
            case "preempt_on":
                yield from task.boundary()
                task.preempt_enable()
            case "call":
                pages, targets = argument
                yield from task.cross_call(self._flush(pages), pages=pages, targets=targets)
            case "free":
                pages, targets = argument
                function = self._function("flush_user", pages)
                yield from task.free_lazily(function, pages=pages, targets=targets)
            case "coherent" | "directory":
                pages, holders = argument if isinstance(argument, tuple) else (argument, None)
                yield from task.wait_for_holders(PROTOCOLS[operation], pages, holders=holders)
            case "invalidate":
                yield from task.invalidate(self._invalidation(argument))
            case _:
                pages = argument if operation.startswith(("flush", "free")) else -1
                yield from task.cross_call(self._function(operation, argument), pages=pages)

    def _function(self, operation: str, argument: Any) -> FlushFunction:
        match operation:
            case "flush_kernel":
                return replace(self._flush(argument), purges=True)
            case "flush_user":
                return flush_user(self.program.costs.tlb, argument, self.program.ceiling)
            case "flush_cold":
                function = self._function("flush_user", argument)
                return replace(function, remote=self.program.call_costs.queue)
            case "free_tables":
                return replace(self._flush(argument), frees_tables=True)
            case "sync_core":
                return sync_core(self.program.costs.tlb)
            case "empty":
                return empty_call(argument)
        raise ValueError(operation)

    def _flush(self, pages: int) -> FlushFunction:
        return flush(self.program.costs.tlb, pages, self.program.ceiling)

    def _invalidation(self, pages: int) -> Invalidation:
        costs = self.program.costs.tlbi
        assert costs is not None
        drops_all = self.program.drops_all
        return invalidate_pages(costs, pages, drops_all=drops_all) if pages else invalidate_all()

    def _mutex(self, number: int) -> Mutex:
        if number not in self.mutexes:
            self.mutexes[number] = Mutex(self.machine, f"mutex {number}")
        return self.mutexes[number]

    def _semaphore(self, number: int) -> RwSemaphore:
        if number not in self.semaphores:
            self.semaphores[number] = RwSemaphore(self.machine, f"semaphore {number}")
        return self.semaphores[number]

    def _spinlock(self, number: int) -> Spinlock:
        if number not in self.spinlocks:
            self.spinlocks[number] = Spinlock(self.machine, f"spinlock {number}")
        return self.spinlocks[number]

    def _keep_rows(self, rows: npt.NDArray[np.int64]) -> None:
        self.rows += [dict(zip(CROSSCALL_COLUMNS, row, strict=True)) for row in rows.tolist()]

    def result(self) -> Result:
        end = self.machine.run(self.program.duration)
        watched = self.machine.keep_acks
        all_acks = self.machine.acks if watched else [{} for _ in self.rows]
        repeats = self.program.repeat_sync == "per_sync"
        calls = [
            CallRecord(
                row["cpu"],
                row["task"],
                row["start_ps"],
                row["end_ps"],
                acks,
                served(row, repeats),
                None if row["gone_ps"] < 0 else row["gone_ps"],
            )
            for row, acks in zip(self.rows, all_acks, strict=True)
        ]
        return Result(end, in_order(calls), self.accounts(), self.task_ends)

    def accounts(self) -> tuple[CpuAccount, ...]:
        """Return where every CPU's time went up to now."""
        columns = self.machine.accounts()
        names = {
            "busy": "busy_ps",
            "spin": "spin_ps",
            "irqs_off": "irqs_off_ps",
            "stolen": "stolen_ps",
            "idle": "idle_ps",
            "refill": "refill_ps",
            "handlers": "handlers",
            "lock_spin": "lock_spin_ps",
            "awake": "awake_ps",
            "woken": "woken",
            "frozen": "frozen_ps",
        }
        return tuple(
            CpuAccount(**{name: int(columns[column][cpu]) for name, column in names.items()})
            for cpu in range(self.machine.n_cpus)
        )


def served(row: dict[str, int], repeats: bool = False) -> int | None:
    """Return when the (last) service of an invalidation ended, None for a call."""
    if row["protocol"] != number_of(TLBI):
        return None
    held_up = row["resume_ps"] + row["frozen_ps"]
    return row["end_ps"] - held_up - row["delivery_ps"] // (2 if repeats else 1)


def _shootdown(program: Program) -> Shootdown:
    """Return what the machine is built for."""
    if program.repeat_sync == "none":
        return program.shootdown
    assert program.shootdown == BY_INTERRUPTS
    return with_options(TLBI, {"repeat_sync": program.repeat_sync})
