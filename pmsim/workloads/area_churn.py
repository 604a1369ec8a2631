"""Areas of the kernel's address space that come and go: what such kinds of workload share."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from pydantic import Field, Tag, model_validator

from pmsim import formatting
from pmsim.quantities import MAPPING_OR_OTHER, Keys, Time, refused
from pmsim.steps import Steps
from pmsim.units import PAGE_SIZE
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount, PositiveKernelSize
from pmsim.workloads.lifetimes import Lifetimes
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.spread import Length, draw_length

if TYPE_CHECKING:
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.addresses.vmalloc import Allocation
    from pmsim.kernel.handle import KernelHandle


class Uniform(Keys):
    """Sizes of whole pages, each as likely as every other."""

    least: PositiveKernelSize = Field(description="The smallest.")
    most: PositiveKernelSize = Field(description="The largest.")

    @model_validator(mode="after")
    def _in_order(self) -> Uniform:
        if self.most < self.least:
            hint = "for example {least: 4KiB, most: 1MiB}"
            raise refused("bad-sizes", "most is less than least", hint)
        return self


Sizes = Annotated[
    Annotated[PositiveKernelSize, Tag("other")] | Annotated[Uniform, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""A size, always the same, or ``{least: 4KiB, most: 1MiB}``."""


Allocate: TypeAlias = "Callable[[int], Allocation]"
"""A call of the kernel that allocates an area of so many bytes, or returns None."""
Free: TypeAlias = "Callable[[VmArea], Steps]"
"""A call of the kernel that frees it."""


class AreaChurn(Recurring):
    """A task on each of some CPUs allocates areas and frees them, each in a time of its own."""

    call: ClassVar[str]
    """The kernel's name of the call that may be refused."""

    size: Sizes = Field(
        default=16 * 1024,
        description="Size of each area, or {least: 4KiB, most: 1MiB}: whole pages, each number as"
        " likely.",
    )
    live: PositiveCount = Field(
        default=1,
        description="Areas of a task at once: as soon as there are so many, and where the kernel"
        " refuses another, the oldest is freed.",
    )
    lifetime: Length | None = Field(
        default=None,
        description="How long an area lives: a time, or {dist: exponential, scale: 1s}, and live"
        " says nothing; none: as long as live says.",
    )
    use: Time = Field(
        default=0, description="What a task computes with each new area before it goes on."
    )

    @abstractmethod
    def calls(self, kernel: KernelHandle) -> tuple[Allocate, Free]:
        """Return the kernel's calls that allocate and free an area."""

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Allocate at the arrivals; free what has had its time, and at last all."""
        lived = self._by_number if self.lifetime is None else self._by_time
        return lived(kernel, cpu, self._sizes(cpu))

    def _by_number(self, kernel: KernelHandle, cpu: Cpu, sizes: Iterator[int]) -> Steps:
        allocate, free = self.calls(kernel)
        areas: deque[VmArea] = deque()
        at_once = self.arrival is None
        for instant in self.arrivals(cpu):
            if not at_once:
                yield from cpu.sleep_until(instant)
            size = next(sizes)
            area = yield from allocate(size)
            if area is None:
                self._report(cpu, size)
            else:
                areas.append(area)
                if self.use:
                    yield from cpu.compute(self.use)
            if areas and (area is None or len(areas) >= self.live):
                yield from free(areas.popleft())
        while areas:
            yield from free(areas.popleft())

    def _by_time(self, kernel: KernelHandle, cpu: Cpu, sizes: Iterator[int]) -> Steps:
        assert self.lifetime is not None
        allocate, free = self.calls(kernel)
        lifetimes = cpu.rng("lifetime")
        present = Lifetimes(cpu, free)
        for instant in self.arrivals(cpu):
            yield from present.end_due(instant)
            yield from cpu.sleep_until(instant)
            size = next(sizes)
            area = yield from allocate(size)
            if area is None:
                self._report(cpu, size)
                continue
            yield from cpu.compute(self.use)
            present.begin(area, draw_length(self.lifetime, lifetimes))
        yield from present.end_all()

    def _report(self, cpu: Cpu, size: int) -> None:
        cpu.report_failure(self.call, f"no addresses or no memory for {formatting.size(size)}")

    def _sizes(self, cpu: Cpu) -> Iterator[int]:
        if not isinstance(self.size, Uniform):
            return repeat(self.size)
        # In steps of 4 KiB, whatever a page is: kernels that differ in it are asked for the same.
        least, most = (-(-size // PAGE_SIZE) for size in (self.size.least, self.size.most))
        rng = cpu.rng("size")
        return (int(rng.integers(least, most + 1)) * PAGE_SIZE for _ in repeat(None))
