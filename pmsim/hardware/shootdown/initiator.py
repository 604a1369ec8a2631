"""What the code of a protocol can do, and what it sees: a few primitives of the machine.

A protocol of somebody's own (`shootdown.own`) is written upon these alone. There are two machines
that have them: the one that scenarios run on (`pmsim.hardware.own_task`), and its slow twin with
the tests. What is asked for is checked here, the same for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Final, Literal, get_args

from pmsim.errors import ProgramError
from pmsim.hardware.shootdown.protocol import Deferral
from pmsim.hardware.topology import ByDistance
from pmsim.steps import Steps
from pmsim.units import LONGEST_RUN

Ack = Literal["completion", "entry"]
"""When a target acknowledges a call: at the end of its function, or at its start."""

Until = Literal["kernel_entry", "tick", "runs"]
"""Until when a CPU may put off what it is to drop (`protocol.Deferral`)."""

Mode = Literal["user", "kernel", "idle", "handler", "frozen"]
"""What a CPU does as others see it: it is an isolated one in user mode, on a machine where these
drop everything as they leave it; it idles, or wakes up for an interrupt; it runs a handler; it is a
virtual one that does not run; or anything else."""

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
"""In the order of the numbers that the machine has for them."""


class Cpu:
    """One CPU, as an initiator sees it.

    Attributes
    ----------
    number
        Which.
    isolated
        Whether nothing runs there but what was put there.
    """

    __slots__ = ("_initiator", "isolated", "number")

    def __init__(self, initiator: Initiator, number: int, isolated: bool) -> None:
        self._initiator = initiator
        self.number = number
        self.isolated = isolated

    @property
    def mode(self) -> Mode:
        """What it does now: lower CPUs have taken their steps of this instant, higher ones not."""
        return self._initiator.mode_of(self.number)

    def __index__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<CPU {self.number}>"


@dataclass(frozen=True, slots=True)
class Flush:
    """What other CPUs are to drop.

    Attributes
    ----------
    function
        What each of them runs to drop it: a cost, and what it empties. Pass it on as it is.
    targets
        The numbers of the CPUs that may hold it, ascending, the initiator left out: all others, or
        those that may run a process.
    pages
        How many pages; None: everything.
    purges
        Whether it is about kernel addresses that were freed lazily, so that nobody uses them.
    frees_tables
        Whether page tables are given back behind it.
    frees_pages
        Whether pages of a process are freed behind it that are held back where CPUs are left out
        until their ticks; else nothing waits for them.
    of_kernel
        Whether it is about pages of the kernel, not of a process.
    """

    function: Any
    targets: tuple[int, ...]
    pages: int | None
    purges: bool
    frees_tables: bool
    frees_pages: bool
    of_kernel: bool


class Initiator(ABC):
    """The CPU that makes a shootdown: what its protocol can do there.

    Every call takes ``yield from``. Its task keeps the CPU until the shootdown is over; handlers
    run on it unless interrupts are off.

    Parameters
    ----------
    number, n_cpus, isolated
        Its CPU, how many there are, and which of them are isolated.
    drops_at, goes_on
        What the protocol says of CPUs that it leaves out, and whether it makes calls that nobody
        waits for.

    Attributes
    ----------
    cpus, cpu
        All CPUs, by number; and its own.
    """

    def __init__(
        self,
        number: int,
        n_cpus: int,
        isolated: Collection[int],
        drops_at: Deferral,
        goes_on: bool = False,
    ) -> None:
        self.cpus = tuple(Cpu(self, n, n in isolated) for n in range(n_cpus))
        self.cpu = self.cpus[number]
        self._drops_at = drops_at
        self._goes_on = goes_on
        self._flush: Flush | None = None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an initiator has no '{name}': it can cross_call, broadcast, defer, spin and irqs_off"
        )

    # -- what it sees ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def now(self) -> int:
        """The present instant in picoseconds."""

    @abstractmethod
    def between(self, table: ByDistance, cpu: int | Cpu) -> int:
        """Return a cost by distance between the initiator and a CPU."""

    @abstractmethod
    def holders(self, flush: Flush) -> tuple[int, ...]:
        """Return those of a flush's targets whose TLBs may hold it, as hardware could know.

        CPUs that have allocated the area or in it, or written to it, since they were last returned
        here: whoever asks has them drop it. Where nothing is known they are all targets.
        """

    @abstractmethod
    def mode_of(self, number: int) -> Mode:
        """Return what a CPU does now."""

    # -- what it can do ----------------------------------------------------------------------------

    def cross_call(
        self,
        targets: Sequence[int | Cpu],
        function: Any,
        *,
        ack: Ack | None = None,
        wait: bool = True,
    ) -> Steps:
        """Interrupt CPUs, have them and its own run the function, and wait for all of them.

        Parameters
        ----------
        targets
            Which; its own is left out. Without any it runs the function on its own CPU alone.
        function
            That of the flush.
        ack
            When each acknowledges: at the end of the function (``completion``, which is what holds
            where nothing is said), or at its start (``entry``); at the end always where page tables
            are given back behind it. Nothing is said of it where nobody waits.
        wait
            Whether it waits for them. Otherwise it goes on when all are sent to and its own CPU has
            run the function; any of them may do so much later. Its CPU's next call to one of them
            waits, as it queues, until that one has begun the function (machine-model page, section
            15).
        """
        if not isinstance(wait, bool):
            raise self._wrong(f"takes {wait!r} for wait", "wait=True or wait=False")
        if ack is not None and ack not in get_args(Ack):
            raise self._wrong(f"acknowledges at '{ack}'", "ack='completion' or ack='entry'")
        if not wait and ack is not None:
            raise self._wrong(
                f"says ack='{ack}' of a call that nobody waits for",
                "no ack with wait=False; ack='entry' waits until all have begun",
            )
        if not wait and not self._goes_on:
            raise self._wrong(
                "calls CPUs and does not wait, in code that its class does not hold",
                "the class says so: waits = False",
            )
        self._is_of_the_flush(function)
        chosen = self._others(targets)
        if wait or not chosen:
            return self._cross_call(chosen, ack or "completion")
        return self._call_and_go_on(chosen)

    def broadcast(self) -> Steps:
        """Have the interconnect tell all CPUs, as Arm's TLBI and AMD's INVLPGB do; wait for it.

        What it takes are the machine's ``costs: tlbi``.
        """
        return self._broadcast()

    def defer(
        self, cpus: int | Cpu | Sequence[int | Cpu], function: Any, until: Until
    ) -> Generator[Any, Any, bool]:
        """Leave CPUs out: they drop it later, by themselves.

        Parameters
        ----------
        cpus
            One, or several.
        function
            That of the flush.
        until
            ``kernel_entry``: an isolated CPU drops everything when it next enters the kernel from
            user mode; that takes the initiator no time. ``tick``: they drop it at their next tick
            or switch; it is written into a ring of the initiator, which takes ``costs: latr: save``
            with interrupts off, once in a shootdown. ``runs``: a virtual CPU that is frozen drops
            everything as it next runs; no time. The protocol has to say so: ``drops_at``.

        Returns
        -------
        bool
            Whether they do: not where the ring is full.
        """
        if until != self._drops_at:
            right = f"the class says when: drops_at = '{until}'"
            raise self._wrong(f"defers until '{until}'", right)
        self._is_of_the_flush(function)
        several = cpus if isinstance(cpus, Sequence) else (cpus,)
        chosen = self._others(several)
        for number in chosen:
            cpu = self.cpus[number]
            if until == "kernel_entry" and not cpu.isolated:
                raise self._wrong(
                    f"defers to CPU {number}, which is not isolated: it drops nothing as it enters"
                    " the kernel", "if cpu.isolated")  # fmt: skip
            if until == "runs" and cpu.mode != "frozen":
                raise self._wrong(f"defers to CPU {number}, which runs", "if cpu.mode == 'frozen'")
        return self._defer(chosen)

    def spin(self, time: int, *, drops: Sequence[int | Cpu] = ()) -> Steps:
        """Wait, interrupts on, for so many picoseconds of real time.

        Parameters
        ----------
        time
            How long.
        drops
            CPUs that have dropped it then, by their hardware; its own only if it is named.
        """
        named = [index(cpu) for cpu in drops]
        own = [self.cpu.number] if self.cpu.number in named else []
        return self._spin(self._time(time), (*self._others(drops), *own))

    def irqs_off(self, time: int) -> Steps:
        """Work for so many picoseconds with interrupts off."""
        return self._irqs_off(self._time(time))

    # -- the machine's part ------------------------------------------------------------------------

    @abstractmethod
    def _cross_call(self, targets: Sequence[int], ack: Ack) -> Steps: ...

    @abstractmethod
    def _call_and_go_on(self, targets: Sequence[int]) -> Steps: ...

    @abstractmethod
    def _broadcast(self) -> Steps: ...

    @abstractmethod
    def _defer(self, cpus: Sequence[int]) -> Generator[Any, Any, bool]: ...

    @abstractmethod
    def _spin(self, time: int, drops: Sequence[int]) -> Steps: ...

    @abstractmethod
    def _irqs_off(self, time: int) -> Steps: ...

    # -- checks ------------------------------------------------------------------------------------

    def _others(self, cpus: Sequence[int | Cpu]) -> list[int]:
        """Return numbers of CPUs ascending, its own left out."""
        numbers = sorted(index(cpu) for cpu in cpus)
        if len(set(numbers)) != len(numbers):
            raise self._wrong("names a CPU twice", "each one once")
        if numbers and not (numbers[0] >= 0 and numbers[-1] < len(self.cpus)):
            raise self._wrong(
                "names a CPU that is not there", f"numbers from 0 to {len(self.cpus) - 1}"
            )
        return [number for number in numbers if number != self.cpu.number]

    def _is_of_the_flush(self, function: Any) -> None:
        if self._flush is None or function is not self._flush.function:
            raise self._wrong("has CPUs run another function than the flush's", "flush.function")

    def _time(self, time: int) -> int:
        whole = isinstance(time, int) and not isinstance(time, bool)
        if not whole or not 0 <= time <= LONGEST_RUN:
            raise self._wrong(f"takes {time!r} as a time", "picoseconds, from 0 on")
        return time

    def _wrong(self, does: str, right: str) -> ProgramError:
        return ProgramError(f"the protocol {does} ({right})", self.now, f"CPU {self.cpu.number}")
