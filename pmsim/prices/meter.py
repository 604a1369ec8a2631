"""Measuring one operation: a kernel boots, does it alone, and what it did is read off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profile import KernelProfile
from pmsim.prices.catalogue import Priced, Refused, Sizes
from pmsim.scenario.machine import MachineDescription
from pmsim.simulation.run.build import boot
from pmsim.simulation.streams import MACHINE, stream
from pmsim.steps import Steps
from pmsim.units import S

SETTLING: Final = S
"""Time for kernel workers and grace periods to come to rest, before and after the operation."""

VERY_LONG: Final = 1000 * S
"""What every other CPU computes for: longer than any measurement."""

_START = CROSSCALL_COLUMNS.index("start_ps")
_KIND = CROSSCALL_COLUMNS.index("kind")
_INVALIDATIONS = CROSSCALL_COLUMNS.index("invalidations")


@dataclass(frozen=True, slots=True)
class Price:
    """What one operation costs by itself, everything that it sets off included.

    Attributes
    ----------
    full, range, sync
        Shootdowns: those that empty TLBs, those that drop single pages, and those that drop nothing
        and have CPUs take notice of new code.
    interrupts
        Interrupts that all CPUs together took.
    invalidations
        Operations of TLB broadcasts (TLBI, INVLPGB).
    interrupted
        CPUs that were interrupted at least once.
    lazy_pages
        Pages of address space, guards included, that a later purge has to flush; negative where
        fewer are left than there were.
    takes_ps
        From the call to its return.
    waiting_ps
        The part of it spent in shootdowns.
    stolen_ps, refill_ps
        What the other CPUs lost: to handlers and TLB broadcasts, and to filling their TLBs
        again.
    """

    full: int
    range: int
    sync: int
    interrupts: int
    invalidations: int
    interrupted: int
    lazy_pages: int
    takes_ps: int
    waiting_ps: int
    stolen_ps: int
    refill_ps: int

    @property
    def broadcasts(self) -> int:
        """All of them."""
        return self.full + self.range + self.sync


@dataclass(slots=True)
class _Reading:
    """How far everything was at one instant."""

    now: int
    lazy_pages: int
    accounts: dict[str, npt.NDArray[np.int64]]

    def others(self, name: str) -> int:
        """Return one account, summed over the CPUs that the operation does not run on."""
        return int(self.accounts[name][1:].sum())


@dataclass(slots=True)
class _Record:
    """What was seen of the operation: before it, when it returned, and after all it set off."""

    before: _Reading | None = None
    after: _Reading | None = None
    returned: int = 0
    waiting: int = 0
    refused: bool = False
    calls: list[npt.NDArray[np.int64]] = field(default_factory=list)


def price(
    machine: MachineDescription,
    profile: KernelProfile,
    priced: Priced,
    sizes: Sizes,
    working_set: int,
) -> Price | None:
    """Return what an operation costs on a kernel that was just booted; `None` if it is not done.

    Parameters
    ----------
    machine, profile
        What is booted on what.
    priced, sizes
        The operation, and what it is about.
    working_set
        TLB entries that the work of each other CPU fills again after a full flush.
    """
    if not priced.possible(profile):
        return None
    kernel = profile.model_copy(update=priced.keys)
    return _Meter(machine, kernel, working_set).price(priced, sizes)


class _Meter:
    """A kernel on a machine, all other CPUs of which compute; for one measurement.

    Parameters
    ----------
    description, profile
        What is booted on what.
    working_set
        TLB entries that the work of each other CPU fills again after a full flush.
    """

    def __init__(
        self, description: MachineDescription, profile: KernelProfile, working_set: int
    ) -> None:
        self._machine, self._kernel = boot(
            description,
            profile,
            stream(0, 0, MACHINE, "jitter"),
            phases=stream(0, 0, MACHINE, "phases"),
        )
        for cpu in range(1, self._machine.n_cpus):
            self._machine.spawn(
                cpu,
                lambda task: task.compute(VERY_LONG),
                name="other work",
                role="background",
                working_set=working_set,
            )

    def price(self, priced: Priced, sizes: Sizes) -> Price | None:
        """Return what an operation costs; `None` if the kernel refuses it."""
        record = _Record()
        self._machine.on_crosscalls = record.calls.append
        self._machine.spawn(0, lambda task: self._measured(task, priced, sizes, record), name="it")
        self._machine.run()
        return None if record.refused else _price(record)

    def _measured(self, task: Task, priced: Priced, sizes: Sizes, record: _Record) -> Steps:
        try:
            yield from self._steps(task, priced, sizes, record)
        except Refused:
            record.refused = True

    def _steps(self, task: Task, priced: Priced, sizes: Sizes, record: _Record) -> Steps:
        handle = KernelHandle(self._kernel, task)
        thing = yield from priced.prepare(handle, sizes)
        yield from task.sleep(SETTLING)
        if not priced.lazily_freed:
            yield from handle.drain_vmap_area()
        yield from task.begin_kernel_compute(0)  # refill what a flush before it left
        record.before = self._look()
        log = self._kernel.operations
        operation = log.begin(task, "priced")
        yield from priced.operation(handle, thing, sizes)
        log.end(operation)
        record.waiting, record.returned = operation.crosscall_ps, task.now
        yield from task.sleep(SETTLING)
        record.after = self._look()

    def _look(self) -> _Reading:
        machine = self._machine
        return _Reading(machine.now, self._kernel.purge.lazy_pages, machine.accounts())


def _price(record: _Record) -> Price:
    before, after = record.before, record.after
    assert before is not None
    assert after is not None
    calls = np.concatenate([np.empty((0, len(CROSSCALL_COLUMNS)), np.int64), *record.calls])
    calls = calls[calls[:, _START] >= before.now]
    kinds = Counter(calls[:, _KIND].tolist())
    handlers = after.accounts["handlers"] - before.accounts["handlers"]
    return Price(
        full=kinds[CallKind.FULL],
        range=kinds[CallKind.RANGE],
        sync=kinds[CallKind.SYNC_CORE] + kinds[CallKind.EMPTY],
        interrupts=int(handlers.sum()),
        invalidations=int(calls[:, _INVALIDATIONS].sum()),
        interrupted=int(np.count_nonzero(handlers)),
        lazy_pages=after.lazy_pages - before.lazy_pages,
        takes_ps=record.returned - before.now,
        waiting_ps=record.waiting,
        stolen_ps=after.others("stolen_ps") - before.others("stolen_ps"),
        refill_ps=after.others("refill_ps") - before.others("refill_ps"),
    )
