"""A process with several threads, from its first mapping to its exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pmsim.quantities import PositiveTime, Time
from pmsim.steps import Role, Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import NotEmpty, UserPages
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

Act = Literal["mmap", "touch", "mprotect", "madvise", "munmap", "fork", "vfork", "write"]


@workload("process")
class Process(UserMapping):
    """Threads of a process map, touch and change memory, and fork.

    One of them does, or each. Stands for servers and language runtimes: whatever one thread does to
    the mappings interrupts the others, whose slowdown the summary has. A child that is forked runs
    another program and ends on its parent's CPU, while the thread that forked it waits (``system``,
    shells). A thread ends behind its last change, or when its work is done, and the process with
    its last thread: then CPUs that borrow the address space are told once more. Left out: children
    on other CPUs; files; that a thread sleeps for a page.
    """

    counted = "changes"

    does: Annotated[tuple[Act, ...], NotEmpty] = Field(
        default=("mmap", "touch", "mprotect", "madvise", "touch", "munmap"),
        description="What a change consists of, in order, each with `pages`. fork: the child runs"
        " another program and ends; vfork: the same without a copy of the address space"
        " (posix_spawn); write: pages are written to that a child still shares, each is"
        " copied.",
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

    @property
    def others_role(self) -> Role:
        """A thread with an end of its own is waited for."""
        return "background" if self.work is None else "foreground"

    def change(self, kernel: KernelHandle) -> Steps:
        """Do everything once."""
        for act in self.does:
            yield from kernel.task.user_compute(self.compute)
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
        if act == "fork":
            return self._fork(kernel)
        if act == "vfork":
            return self._vfork(kernel)
        calls = {"mmap": kernel.mmap, "mprotect": kernel.mprotect, "munmap": kernel.munmap}
        return (calls | {"write": kernel.wp_page_copy})[act](self.pages)

    def _fork(self, kernel: KernelHandle) -> Steps:
        """Copy the address space, which ends as the child runs another program, and then that."""
        parent = kernel.current_mm()
        child = yield from kernel.fork(self.resident)
        yield from kernel.use_mm(child)
        yield from kernel.execve(self.resident, shared=True)
        yield from kernel.exit_mm()
        yield from kernel.use_mm(parent)

    def _vfork(self, kernel: KernelHandle) -> Steps:
        """Run another program without a copy, until it ends."""
        parent = kernel.current_mm()
        child = yield from kernel.vfork()
        yield from kernel.use_mm(child)
        yield from kernel.exit_mm()
        yield from kernel.use_mm(parent)
