"""A process with several threads, from its first mapping to its exit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.quantities import PositiveTime, Time, refused
from pmsim.steps import Role, Steps
from pmsim.workloads.children import Child, Children, child_claims, child_faults, placed
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import NotEmpty, UserPages
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.user_process import UserMapping
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

Act = Literal["mmap", "touch", "read", "mprotect", "madvise", "munmap", "fork", "vfork", "write"]


@workload("process")
class Process(UserMapping):
    """Threads of a process map, touch and change memory, and fork.

    One of them does, or each. Stands for servers and language runtimes: whatever one thread does to
    the mappings interrupts the others, whose slowdown the summary has. A child that is forked runs
    another program and ends on its parent's CPU, while the thread that forked it waits (``system``,
    shells); ``children`` has it run elsewhere, and go on with its copy. A thread ends behind its
    last change, or when its work is done, and the process with its last thread: then CPUs that
    borrow the address space are told once more. Left out: files; that a thread sleeps for a page.
    """

    counted = "changes"

    does: Annotated[tuple[Act, ...], NotEmpty] = Field(
        default=("mmap", "touch", "mprotect", "madvise", "touch", "munmap"),
        description="What a change consists of, in order, each with `pages`. fork: the child runs"
        " another program and ends; vfork: the same without a copy of the address space"
        " (posix_spawn); write: pages are written to that a child still shares, or that are of a"
        " file which others are to see unchanged, each is copied; read: pages are read that are not"
        " there, a fault for each, which maps the page of zeros, or a file's.",
    )
    children: Children | None = Field(
        default=None,
        description="What forked children do, and on which CPUs; none: each runs another program"
        " and ends on its parent's CPU, at once.",
    )
    compute: Time = Field(default=0, description="What the thread computes before each of these.")
    resident: UserPages = Field(
        default=1000, description="Pages that are there besides: a fork copies their entries."
    )
    work: PositiveTime | None = Field(
        default=None,
        description="spin only: what each of the other threads computes before it ends; none:"
        " without end.",
    )

    @model_validator(mode="after")
    def _children_share(self) -> Process:
        if self.children is not None and "fork" not in self.does:
            raise refused("conflict", "nothing of what the threads do is a fork, which `children`"
                          " is about", "does: [fork, ...]")  # fmt: skip
        if self.children is not None and self.children.writes > self.resident:
            raise refused("conflict", "a child writes to more pages than its parent has",
                          f"there are {self.resident:,} (`resident`)")  # fmt: skip
        return self

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the threads, which know where their children go."""
        if self.children is None:
            return super().tasks(machine)
        there = self.model_copy(update={"children": placed(self.children, machine)})
        return UserMapping.tasks(there, machine)

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are named, those of children too."""
        own = super().claims(machine)
        return own if self.children is None else own | child_claims(self.children, machine)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        yield from super().check(machine)
        if self.children is not None:
            yield from child_faults(self.children, machine)

    @property
    def others_role(self) -> Role:
        """A thread with an end of its own is waited for."""
        return "background" if self.work is None else "foreground"

    def change(self, kernel: KernelHandle) -> Steps:
        """Do everything once."""
        return self.nth_change(kernel, 0)

    def nth_change(self, kernel: KernelHandle, number: int) -> Steps:
        """Do everything once; children come one after the other."""
        child = number * self.does.count("fork")
        for act in self.does:
            yield from kernel.task.user_compute(self.compute)
            if act == "fork":
                yield from self._fork(kernel, child)
                child += 1
            else:
                yield from self._act(kernel, act)

    def spin(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Compute as a thread of the process, and end."""
        if self.work is None:
            yield from super().spin(kernel, cpu)
        else:
            yield from kernel.use_mm(kernel.process(self.name))
            yield from cpu.user_compute(self.work)
            yield from kernel.exit_mm()

    def end(self, kernel: KernelHandle) -> Steps:
        """End a thread, and with the last one the process, whose pages are freed."""
        return kernel.exit_mm(self.resident)

    def _act(self, kernel: KernelHandle, act: Act) -> Steps:
        if act == "touch":
            return self.touch_pages(kernel)
        if act == "madvise":
            return kernel.madvise_dontneed(self.pages)
        if act == "vfork":
            return self._vfork(kernel)
        calls = {"mmap": kernel.mmap, "mprotect": kernel.mprotect, "munmap": kernel.munmap}
        return (calls | {"write": kernel.wp_page_copy, "read": kernel.read})[act](self.pages)

    def _fork(self, kernel: KernelHandle, nth: int) -> Steps:
        """Fork a child, and wait for its end unless it is not to be waited for."""
        if self.children is None:
            yield from self._fork_here(kernel)
            return
        mm = yield from kernel.fork(self.resident)
        child = Child(self.children, nth, self.resident, self.working_set)
        ended = child.start(kernel, mm)
        if self.children.waited:
            yield from ended.wait(kernel.task)

    def _fork_here(self, kernel: KernelHandle) -> Steps:
        """Copy the address space, which ends as the child runs another program, and then that."""
        parent = kernel.current_mm()
        child = yield from kernel.fork(self.resident)
        yield from kernel.use_mm(child)
        yield from kernel.execve(self.resident, shared=self.resident)
        yield from kernel.exit_mm()
        yield from kernel.use_mm(parent)

    def _vfork(self, kernel: KernelHandle) -> Steps:
        """Run another program without a copy, until it ends."""
        parent = kernel.current_mm()
        child = yield from kernel.vfork()
        yield from kernel.use_mm(child)
        yield from kernel.exit_mm()
        yield from kernel.use_mm(parent)
