"""A server of forked workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.quantities import Time, refused
from pmsim.steps import Steps
from pmsim.units import MS
from pmsim.workloads.children import as_seen_by
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import named_claims, named_cpus, named_faults
from pmsim.workloads.keys import Count, CpuNumber, CpuSet, PagesOrNone, PositiveCount, UserPages
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.validation import KeyFault, cpu_faults

if TYPE_CHECKING:
    from pmsim.hardware.locks import Completion
    from pmsim.hardware.task import Task
    from pmsim.kernel.handle import KernelHandle


@workload("prefork")
class Prefork(Workload):
    """A master forks workers that share its memory; each copies what it writes to.

    Stands for Apache with mpm_prefork, php-fpm, PostgreSQL, Gunicorn, uWSGI, Unicorn. A worker has
    an address space and a CPU of its own. Each page that it writes to while others share it is a
    fault, a copy and a flush, of its own CPU alone where that is known; on Arm every CPU is told.
    After so many requests it ends (``MaxConnectionsPerChild``, ``pm.max_requests``), and the master
    forks another one. Left out: waiting for requests; threads of workers; workers that move.
    """

    cpu: CpuNumber = Field(default=0, description="CPU of the master.")
    workers: CpuSet = Field(
        default="others",
        description="CPUs of the workers, one each: all, others (CPUs that no workload names),"
        " isolated, housekeeping, or a list.",
    )
    resident: UserPages = Field(
        default=25_000, description="Pages of the master: a fork copies their entries."
    )
    writes_first: PagesOrNone = Field(
        default=0,
        description="Pages that a worker writes to before its first request: a garbage collector"
        " that marks what the master has loaded.",
    )
    writes: PagesOrNone = Field(
        default=0, description="Pages that it writes to for the first time in each request."
    )
    request: Time = Field(default=MS, description="What it computes for a request.")
    requests: PositiveCount = Field(default=100, description="Requests after which a worker ends.")
    recycled: Count = Field(
        default=0, description="Workers that follow one after the other on each CPU."
    )
    working_set: Count = Field(
        default=512, description="TLB entries that each refills after a full flush."
    )

    @property
    def written(self) -> int:
        """Pages that a worker has copied at its end."""
        return self.writes_first + self.requests * self.writes

    @model_validator(mode="after")
    def _has_what_is_written(self) -> Prefork:
        if self.written > self.resident:
            raise refused("conflict", f"a worker writes to {self.written:,} pages in all",
                          f"the master has {self.resident:,} to share (`resident`)")  # fmt: skip
        return self

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the master, which starts all others."""
        cpus = named_cpus(self.workers, machine)
        run = partial(self._master, tuple(cpu for cpu in cpus if cpu != self.cpu))
        return [TaskSpec(self.cpu, run, working_set=self.working_set)]

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are named."""
        return named_claims(self.workers, machine).union([self.cpu])

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        yield from cpu_faults(("cpu",), self.cpu, machine)
        yield from named_faults("workers", self.workers, machine)

    def _master(self, workers: tuple[int, ...], kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Fork a worker for each CPU, and one for each that ends, as long as any are due."""
        from pmsim.hardware.locks import Completion  # late: it loads the compiled hardware

        yield from kernel.use_mm(kernel.process(self.name))
        one_ended = Completion(kernel.task.machine, "the end of a worker")
        ended: deque[int] = deque()
        for worker in workers:
            yield from self._fork(kernel, worker, ended, one_ended)
        left = self.recycled * len(workers)
        for _ in range(left + len(workers)):
            yield from one_ended.wait(kernel.task)
            if left:
                left -= 1
                yield from self._fork(kernel, ended.popleft(), ended, one_ended)
        yield from kernel.exit_mm(self.resident)

    def _fork(
        self, kernel: KernelHandle, cpu: int, ended: deque[int], one_ended: Completion
    ) -> Steps:
        """Fork a worker, which says where it was when it has ended."""
        mm = yield from kernel.fork(self.resident)

        def run(task: Task) -> Steps:
            worker = as_seen_by(task, kernel)
            yield from worker.use_mm(mm)
            yield from self._work(worker)
            ended.append(cpu)
            one_ended.complete()

        kernel.wake_up_new_task(cpu, run, self.working_set)

    def _work(self, kernel: KernelHandle) -> Steps:
        """Serve requests, and end."""
        if self.writes_first:
            yield from kernel.wp_page_copy(self.writes_first)
        for _ in range(self.requests):
            yield from kernel.task.user_compute(self.request)
            if self.writes:
                yield from kernel.wp_page_copy(self.writes)
        yield from kernel.exit_mm(self.resident, shared=self.resident - self.written)
