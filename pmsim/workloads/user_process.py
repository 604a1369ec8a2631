"""A process with threads, one of which makes system calls: what the kinds of that sort share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.quantities import refused
from pmsim.steps import Role, Steps
from pmsim.units import MS, S
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import named_claims, named_cpus, named_faults
from pmsim.workloads.keys import (
    CPU_NAMES,
    Apart,
    Count,
    CpuNumber,
    CpusOrNone,
    PositiveCount,
    UserPages,
)
from pmsim.workloads.task import MachineInfo, TaskSpec, role_of
from pmsim.workloads.timed import Timed
from pmsim.workloads.validation import KeyFault, cpu_faults

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


class UserProcess(Timed):
    """One thread calls the kernel over and over; the others compute or sleep on their CPUs."""

    counted = "changes"

    cpu: CpuNumber = Field(default=0, description="CPU of the thread that calls.")
    threads: CpusOrNone = Field(
        default=(),
        description="CPUs of the process's other threads, one thread each: all (but its own),"
        " others (CPUs that no workload names), isolated, housekeeping, or a list.",
    )
    threads_do: Literal["spin", "sleep", "change"] = Field(
        default="spin",
        description="spin: they compute, so that their CPUs have to be told. sleep: their CPUs are"
        " lazy, and mostly left alone. change: each does what the first one does, with a"
        " mapping of its own.",
    )
    copies: PositiveCount = Field(
        default=1,
        description="Processes of this kind, alike; the first threads of the others are on the CPUs"
        " behind `cpu`. Only a process of a single thread may have copies.",
    )
    nap: Apart = Field(
        default=10 * MS, description="sleep only: after how long a thread wakes, for an instant."
    )
    changes: PositiveCount | None = Field(
        default=None, description="How often it calls; none: without end."
    )
    working_set: Count = Field(
        default=512, description="TLB entries that each thread refills after a full flush."
    )

    @model_validator(mode="after")
    def _single_where_copied(self) -> UserProcess:
        if self.copies > 1 and self.threads:
            raise refused("conflict", "a process with several threads has no copies",
                          "write it down as often as it is to run")  # fmt: skip
        return self

    @abstractmethod
    def change(self, kernel: KernelHandle) -> Steps:
        """Call once, or as often as one change takes."""

    def nth_change(self, kernel: KernelHandle, number: int) -> Steps:
        """Make a change that knows its number, counted from `first_change`."""
        return self.change(kernel)

    def first_change(self, cpu: Cpu) -> int:
        """Return the number of a thread's first change."""
        return 0

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the thread that calls, then the others."""
        role = role_of(self.endless)
        firsts = [
            TaskSpec(
                self.cpu + copy,
                partial(self._change_all, f"{self.name}-{copy}" if copy else self.name),
                working_set=self.working_set,
                role=role,
                stream=f"copy{copy}" if copy else "",
            )
            for copy in range(self.copies)
        ]
        all_do: dict[str, Callable[[KernelHandle, Cpu], Steps]] = {
            "spin": self.spin,
            "sleep": self._sleep,
            "change": partial(self._change_all, self.name),
        }
        others = [
            TaskSpec(
                cpu,
                all_do[self.threads_do],
                working_set=self.working_set,
                role=role if self.threads_do == "change" else self.others_role,
                measured=self.threads_do == "spin",
                stream=f"cpu{cpu}",
            )
            for cpu in self._thread_cpus(machine)
        ]
        return [*firsts, *others]

    @property
    def others_role(self) -> Role:
        """The role of threads that compute or sleep."""
        return "background"

    def spin(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Compute as a thread of the process."""
        yield from kernel.use_mm(kernel.process(self.name))
        while True:
            yield from cpu.user_compute(S)

    def end(self, kernel: KernelHandle) -> Iterable[Any]:
        """Do what a thread does behind its last call; nothing."""
        return ()

    def _thread_cpus(self, machine: MachineInfo) -> tuple[int, ...]:
        cpus = named_cpus(self.threads, machine)
        named = self.threads in CPU_NAMES
        return tuple(cpu for cpu in cpus if cpu != self.cpu) if named else cpus

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are named; ``all`` and ``others`` take what is there."""
        own = range(self.cpu, self.cpu + self.copies)
        return named_claims(self.threads, machine).union(own)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        yield from cpu_faults(("cpu",), self.cpu, machine)
        if self.copies > 1:
            yield from cpu_faults(("copies",), self.cpu + self.copies - 1, machine)
        yield from named_faults("threads", self.threads, machine)

    def _change_all(self, process: str, kernel: KernelHandle, cpu: Cpu) -> Steps:
        yield from kernel.use_mm(kernel.process(process))
        for number, instant in enumerate(self.arrivals(cpu), self.first_change(cpu)):
            yield from cpu.sleep_until(instant)
            yield from self.nth_change(kernel, number)
        yield from self.end(kernel)

    def _sleep(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        while True:
            yield from kernel.use_mm(kernel.process(self.name))
            yield from cpu.sleep(self.nap)


class UserMapping(UserProcess):
    """What a thread calls for is a change of a mapping."""

    pages: UserPages = Field(default=1, description="Pages of the mapping that is changed.")

    def touch_pages(self, kernel: KernelHandle) -> Steps:
        """Touch pages that are not there: faults, and the program's own part, which pays debts."""
        yield from kernel.touch(self.pages)
        yield from kernel.task.user_compute(0)
