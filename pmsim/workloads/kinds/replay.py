"""Replaying what a kernel was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from pmsim.errors import Fault, ScenarioError
from pmsim.steps import Steps
from pmsim.workloads.calls_file import ALLOCATES, CHANGES, STATES, CallOp, CallRow, read_calls
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import named_claims, named_cpus, named_faults
from pmsim.workloads.keys import Count, CpusOrNone
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.validation import KeyFault, beside_scenario, fault_at_file

if TYPE_CHECKING:
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.handle import KernelHandle


@workload("replay")
class Replay(Workload):
    """What a kernel was asked for is asked for again, at the same instants on the same CPUs.

    The file is one that ``pmsim import`` makes of a trace: calls that allocate, free, protect and
    flush. What follows from them (purges, the flushes of set_memory, splits) is the simulated
    kernel's business. Each CPU makes its calls in order; one that comes due while the CPU is in
    the one before follows it at once. What needs an area waits until it is allocated, and a vfree
    until all changes that come before it are done. Left out: what the machine did besides; CPUs are
    idle between their calls, but those that are said to be busy, all the time (``busy``) or from a
    row to another.

    The columns are at_ps,cpu,op,area,first,pages,cpus. The ops are vmalloc, module_alloc (area,
    pages), vfree (area), set_memory_ro, _rw, _x, _nx, _rox (area, first page, pages),
    vm_unmap_aliases, flush_tlb_all, flush_tlb_kernel_range (pages), flush_tlb_mm (pages of a
    process, none for all of it; cpus that are told), call (cpus that run a function), text_poke
    (pages: sites), busy and idle (from then on the CPU computes between its calls, or does not).
    Rows without at_ps stand for what was there before; they are done first, and instants count from
    then on.
    """

    file: Annotated[str, AfterValidator(beside_scenario)] = Field(
        min_length=1, description="The CSV file; a relative name is looked for beside the scenario."
    )
    busy: CpusOrNone = Field(
        default=(),
        description="CPUs that compute in user mode between their calls, or all the time where they"
        " make none: all, others (CPUs that no workload names), isolated, housekeeping, or a list.",
    )
    working_set: Count = Field(
        default=0, description="TLB entries that each of its tasks refills after a full flush."
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU that makes calls, or is busy."""
        before: list[CallRow] = []
        by_cpu: dict[int, list[CallRow]] = defaultdict(list)
        calls = read_calls(Path(self.file), machine.n_cpus)
        for row in calls:
            (by_cpu[row.cpu] if row.at_ps is not None else before).append(row)
        if before:
            by_cpu[before[0].cpu][:0] = before
        busy = frozenset(named_cpus(self.busy, machine))
        ends_ps = max((row.at_ps or 0 for row in calls), default=0)
        shared = _Shared(calls, prepared=not before, ends_ps=ends_ps)
        return [
            TaskSpec(
                cpu,
                partial(_replay, shared, by_cpu.get(cpu, []), busy=cpu in busy),
                working_set=self.working_set,
                least_ps=ends_ps if cpu in busy else by_cpu[cpu][-1].at_ps or 0,
                measured=cpu not in by_cpu,
                stream=f"cpu{cpu}",
            )
            for cpu in sorted(busy.union(by_cpu))
        ]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return what is wrong with the file."""
        try:
            read_calls(Path(self.file), machine.n_cpus)
        except ScenarioError as error:
            return [fault_at_file(self.file, fault) for fault in error.faults]
        return named_faults("busy", self.busy, machine)

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are busy; those that only make calls are left to others."""
        return named_claims(self.busy, machine)

    def inputs(self) -> tuple[str, ...]:
        """Return the file."""
        return (self.file,)


class _Promise:
    """Something that tasks wait for until another task brings it."""

    def __init__(self) -> None:
        self.there = False
        self._waiting = 0

    def wait(self, cpu: Cpu) -> Steps:
        from pmsim.hardware.locks import Completion  # late: it loads the compiled hardware

        if self.there:
            return
        if not self._waiting:
            self._completion = Completion(cpu.task.machine, "a call of the replay")
        self._waiting += 1
        yield from self._completion.wait(cpu.task)

    def bring(self) -> None:
        self.there = True
        for _ in range(self._waiting):
            self._completion.complete()


class _Shared:
    """What the tasks of a replay share: areas by their numbers, when it starts, and ends."""

    def __init__(self, calls: Iterable[CallRow], *, prepared: bool, ends_ps: int) -> None:
        self.ends_ps = ends_ps
        self.areas: dict[int, VmArea | None] = {}
        self._uses = Counter(row.area for row in calls if row.op in CHANGES)
        self._unused: dict[int, _Promise] = {}
        self.begins_ps = 0
        self.begun = _Promise()
        self.begun.there = prepared
        self._promises: dict[int, _Promise] = {}

    def area(self, cpu: Cpu, number: int) -> Steps:
        """Wait until an area is allocated."""
        if number not in self.areas:
            promise = self._promises.setdefault(number, _Promise())
            yield from promise.wait(cpu)

    def used(self, number: int) -> None:
        """Note that one of the changes of an area is done."""
        self._uses[number] -= 1
        if not self._uses[number] and number in self._unused:
            self._unused.pop(number).bring()

    def last_use(self, cpu: Cpu, number: int) -> Steps:
        """Wait until all changes of an area are done, which come before it is freed."""
        yield from self.area(cpu, number)
        if self._uses[number]:
            yield from self._unused.setdefault(number, _Promise()).wait(cpu)

    def allocated(self, number: int, area: VmArea | None) -> None:
        """Let those go on who wait for an area."""
        self.areas[number] = area
        promise = self._promises.pop(number, None)
        if promise is not None:
            promise.bring()


def _replay(
    shared: _Shared, rows: list[CallRow], kernel: KernelHandle, cpu: Cpu, *, busy: bool
) -> Steps:
    """Make the calls of one CPU, those of before the start first; compute between them if busy."""
    before = [row for row in rows if row.at_ps is None]
    for row in before:
        yield from _call(shared, row, kernel, cpu)
    if before:
        shared.begins_ps = cpu.now
        shared.begun.bring()
    yield from shared.begun.wait(cpu)
    for row in rows[len(before) :]:
        assert row.at_ps is not None
        yield from _wait_until(shared.begins_ps + row.at_ps, cpu, busy=busy)
        if row.op in STATES:
            busy = row.op is CallOp.BUSY
        else:
            yield from _call(shared, row, kernel, cpu)
    if busy:
        yield from _wait_until(shared.begins_ps + shared.ends_ps, cpu, busy=True)


def _wait_until(instant: int, cpu: Cpu, *, busy: bool) -> Steps:
    """Compute up to an instant, somewhat longer where that is interrupted; or sleep until then."""
    if not busy:
        yield from cpu.sleep_until(instant)
    elif instant > cpu.now:
        yield from cpu.user_compute(instant - cpu.now)


def _call(shared: _Shared, row: CallRow, kernel: KernelHandle, cpu: Cpu) -> Steps:
    """Make one call."""
    if row.op in ALLOCATES:
        yield from _allocate(shared, row, kernel, cpu)
    elif row.op is CallOp.VFREE:
        yield from shared.last_use(cpu, row.area)
        yield from kernel.vfree(shared.areas.pop(row.area))
    elif row.op in CHANGES:
        yield from _change(shared, row, kernel, cpu)
    elif row.op is CallOp.VM_UNMAP_ALIASES:
        yield from kernel.vm_unmap_aliases()
    elif row.op is CallOp.FLUSH_TLB_ALL:
        yield from kernel.flush_tlb_all()
    elif row.op is CallOp.FLUSH_TLB_KERNEL_RANGE:
        start = kernel.profile.vmalloc_start
        yield from kernel.flush_tlb_kernel_range(
            start, start + row.pages * kernel.profile.page_size
        )
    elif row.op is CallOp.FLUSH_TLB_MM:
        yield from kernel.flush_tlb_multi(row.cpus, row.pages or None)
    elif row.op is CallOp.CALL:
        yield from kernel.smp_call_function(row.cpus, 0)
    else:
        from pmsim.kernel.text.text_poke import TextPoke

        yield from kernel.kernel.context.part(TextPoke).patch(cpu.task, row.pages)


def _allocate(shared: _Shared, row: CallRow, kernel: KernelHandle, cpu: Cpu) -> Steps:
    size = row.pages * kernel.profile.page_size
    if row.op is CallOp.VMALLOC:
        area = yield from kernel.vmalloc(size)
    else:
        from pmsim.kernel.addresses.vmalloc import Vmalloc

        vmalloc = kernel.kernel.context.part(Vmalloc)
        area = yield from vmalloc.vmalloc_in(cpu.task, size, "modules", flush_reset_perms=True)
    if area is None:
        cpu.report_failure(row.op.value, f"no addresses or no memory for {row.pages} pages")
    shared.allocated(row.area, area)


def _change(shared: _Shared, row: CallRow, kernel: KernelHandle, cpu: Cpu) -> Steps:
    yield from shared.area(cpu, row.area)
    area = shared.areas[row.area]
    if area is not None:
        change = getattr(kernel, row.op.value)
        first = area.address + row.first * kernel.profile.page_size
        status = yield from change(first, row.pages)
        if status:
            cpu.report_failure(row.op.value, f"the kernel returned {status}")
    shared.used(row.area)
