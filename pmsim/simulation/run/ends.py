"""What is known only at the end of a run: what tasks got done, how pools stand, what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pmsim.hardware.contention import LockUse
from pmsim.kernel.addresses.writes import Overwrite, WriteFault
from pmsim.kernel.pmalloc.pools import Pool
from pmsim.kernel.process_calls import Forked, ProcessCalls
from pmsim.kernel.safety.safety import Safety
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.simulation.run.build import PlacedTask, Simulation
from pmsim.units import Bytes, S
from pmsim.workloads.failure import Failure

Row = dict[str, Any]


def final_rows(simulation: Simulation, *, is_cut: bool) -> Mapping[str, Sequence[Row]]:
    """Return the rows of the short tables that are known when a run has ended.

    One that is cut does not come to what is over at its end or later.
    """
    machine = simulation.machine
    stolen = machine.accounts()["stolen_ps"].tolist()
    safety = simulation.kernel.safety
    page_size = simulation.kernel.profile.page_size
    safety.finish()
    machine.contention.finish(machine.now)
    faults = [_write_row(fault) for fault in simulation.kernel.faults]
    faults += [_failure_row(failure) for failure in simulation.failures]
    kinds = {task.workload.name: task.workload.kind for task in simulation.tasks}
    tasks = [_task_row(task, machine.now, stolen[task.spec.cpu]) for task in simulation.tasks]
    forked = simulation.kernel.context.part(ProcessCalls).forked
    return {
        "tasks": [*tasks, *(_child_row(child, kinds[child.name], machine.now) for child in forked)],
        "pools": [_pool_row(pool, machine.now) for pool in simulation.kernel.pmalloc.pools],
        "faults": sorted(faults, key=lambda row: row["at_ps"]),
        "overwrites": [
            _overwrite_row(one, page_size) for one in simulation.kernel.writes.overwrites
        ],
        "violations": [
            _violation_row(one, machine.now if is_cut else machine.now + 1)
            for one in safety.found.violations
        ],
        "safety": [_safety_row(safety, page_size)],
        "locks": [_lock_row(name, use) for name, use in machine.contention.uses.items()],
    }


def _task_row(task: PlacedTask, now: int, stolen: int) -> Row:
    assert task.cpu is not None
    finished = task.end_ps is not None
    return {
        "workload": task.workload.name,
        "kind": task.workload.kind,
        "cpu": task.spec.cpu,
        "task": task.number,
        "start_ps": 0,
        "end_ps": task.end_ps if finished else now,
        "finished": finished,
        "work_ps": task.cpu.work_until_now(stolen) if task.spec.measured else None,
        "windows_ps": task.cpu.windows_until(now),
    }


def _child_row(child: Forked, kind: str, now: int) -> Row:
    return {
        "workload": child.name,
        "kind": kind,
        "cpu": child.cpu,
        "task": child.number,
        "start_ps": child.start_ps,
        "end_ps": now if child.end_ps is None else child.end_ps,
        "finished": child.end_ps is not None,
        "work_ps": None,
        "windows_ps": 0,
    }


def _lock_row(name: str, use: LockUse) -> Row:
    (waiter, cpu), waited = use.waiters.most_common(1)[0]
    return {
        "lock": name,
        "waits": use.waits,
        "waited_ps": use.waited_ps,
        "longest_wait_ps": use.longest_wait_ps,
        "waiter": waiter,
        "waiter_cpu": cpu,
        "waiter_ps": waited,
        "frozen_ps": use.frozen_ps,
        "held_ps": use.held_ps,
        "holder": use.holder or None,
        "holder_cpu": use.holder_cpu if use.holder else None,
        "doing": use.doing or None,
        "held_from_ps": use.held_from_ps,
    }


def _pool_row(pool: Pool, now: int) -> Row:
    did, stale = pool.statistics, pool.staleness.at(now)
    return {
        "pool": pool.number,
        "refill": pool.refill,
        "align": pool.align,
        "mode": pool.mode,
        "areas": did.areas,
        "pages": did.pages,
        "allocations": did.allocations,
        "requested": did.requested,
        "slack": did.slack,
        "wasted": did.wasted,
        "relinquished": did.relinquished,
        "protects": did.protects,
        "rare_writes": did.rare_writes,
        "exposed_byte_s": pool.exposure.at(now) / S,
        "writable_byte_s": pool.writable.at(now) / S,
        "stale_byte_s": stale.byte_ps / S,
        "stale_ps": stale.longest_ps,
        "stale_total_ps": stale.total_ps,
        "closed_ps": stale.closed_ps,
        "destroyed": pool.destroyed,
    }


def _violation_row(one: Violation, end: int) -> Row:
    is_over = one.to_ps is not None and one.to_ps < end
    return {
        "kind": one.hazard.name.lower(),
        "operation": None if one.operation < 0 else one.operation,
        "area": None if one.page < 0 else one.page,
        "pages": one.pages,
        "cpu": one.cpu,
        "from_ps": one.from_ps,
        "to_ps": one.to_ps if is_over else None,
    }


def _safety_row(safety: Safety, page_size: Bytes) -> Row:
    return {
        **{hazard.name.lower(): safety.found.counts[hazard] for hazard in Hazard},
        "trusted_areas": safety.trusted.areas,
        "trusted_pages": safety.trusted.pages,
        "held_pages": safety.held_back.pages,
        "held_byte_s": safety.held_back.page_ps * page_size / S,
    }


def _write_row(fault: WriteFault) -> Row:
    address = f"{fault.address:#x}"
    return {
        "at_ps": fault.at_ps,
        "workload": fault.workload,
        "cpu": fault.cpu,
        "task": fault.task,
        "kind": "write",
        "address": address,
        "detail": f"wrote to {address}, which is {fault.reason.replace('_', ' ')}",
    }


def _overwrite_row(one: Overwrite, page_size: Bytes) -> Row:
    return {
        "at_ps": one.at_ps,
        "workload": one.workload,
        "cpu": one.cpu,
        "task": one.task,
        "page": one.address // page_size,
        "offset": one.address % page_size,
        "outcome": one.outcome.name.lower(),
    }


def _failure_row(failure: Failure) -> Row:
    return {
        "at_ps": failure.at_ps,
        "workload": failure.workload,
        "cpu": failure.cpu,
        "task": failure.task,
        "kind": failure.kind,
        "address": None,
        "detail": failure.detail,
    }
