"""Everything that pmsim raises on purpose.

::

    PmsimError
    ├── ReadError            a text that is not what should stand there (a ValueError too)
    │   ├── UnitError            a quantity without or with a wrong unit
    │   └── CpuListError         no list of CPUs, or of CPUs that are not there
    ├── ScenarioError        an input file that is not valid: all of its faults
    ├── OutputError          results cannot be written where they should go
    ├── ResultError          a directory that should hold a result does not, or not a whole one
    ├── CalibrationError     this machine cannot be measured
    ├── SchedulerError       workers cannot be used: no answer, another version, or they die
    └── SimulationError      something went wrong at a place in simulated time
        ├── ProgramError         a task misused a lock or asked for something impossible
        ├── UndefinedBehaviour   a call whose outcome the kernel leaves undefined
        ├── DeadlockError        nothing more can happen, and tasks wait for locks
        └── AccountingError      a CPU's time does not add up: a fault of pmsim itself
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pmsim.escaping import visible


class PmsimError(Exception):
    """Root of all errors that pmsim raises on purpose; its text is meant for the user."""


class ReadError(PmsimError, ValueError):
    """A text that is not what should stand there.

    Parameters
    ----------
    message
        What is wrong.
    code
        A short stable name of the kind of fault, as in `Fault`; each class has one of its own.
    hint
        What would be right, with an example.
    """

    usual_code: ClassVar[str] = "bad-value"

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        self.message = message
        self.code = code or self.usual_code
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


class UnitError(ReadError):
    """A quantity that cannot be read: the text says which units fit."""

    usual_code = "bad-quantity"


class CpuListError(ReadError):
    """What is no list of CPUs, as the kernel writes them, or names CPUs that are not there."""

    usual_code = "bad-cpulist"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input file.

    Attributes
    ----------
    file
        Name of the file as the user gave it.
    line, column
        Where it is, both counted from 1; 0 where the fault has no place (an unreadable file).
    code
        A short stable name of the kind of fault, such as ``unknown-key``.
    message
        What is wrong.
    hint
        What would be right; empty where nothing can be said.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        file = visible(self.file)
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        hint = f"\n    {visible(self.hint)}" if self.hint else ""
        return f"{place}: {visible(self.message)} [{self.code}]{hint}"


class ScenarioError(PmsimError):
    """An input file is not valid. All of its faults are reported at once."""

    def __init__(self, faults: tuple[Fault, ...] | list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class OutputError(PmsimError):
    """Results cannot be written: the place exists, is not writable, or is full."""


class ResultError(PmsimError):
    """A result cannot be read: it is missing, incomplete, or of another version."""


class CalibrationError(PmsimError):
    """A machine cannot be measured, or what was measured of it says too little."""


class SchedulerError(PmsimError):
    """Workers cannot be used: nobody answers there, they are of another version, or they die."""


class SimulationError(PmsimError):
    """Something went wrong at a place in simulated time.

    Parameters
    ----------
    message
        What went wrong.
    at_ps
        Simulated time in picoseconds.
    where
        The CPU and task, in words; empty where there is none.
    """

    def __init__(self, message: str, at_ps: int | None = None, where: str = "") -> None:
        self.message = message
        self.at_ps = at_ps
        self.where = where
        place = ", ".join(part for part in (where, _instant(at_ps)) if part)
        super().__init__(f"{message} ({place})" if place else message)


def _instant(at_ps: int | None) -> str:
    """Return an instant to the picosecond, in the unit that fits it; empty where there is none."""
    if at_ps is None:
        return ""
    units = (("s", 12), ("ms", 9), ("µs", 6), ("ns", 3), ("ps", 0))
    unit, digits = next((one for one in units if at_ps >= 10 ** one[1]), units[0])
    whole, rest = divmod(at_ps, 10**digits)
    decimals = f"{rest:0{digits}}".rstrip("0") if rest else ""
    return f"at {whole:,}{'.' if decimals else ''}{decimals} {unit}"


class ProgramError(SimulationError):
    """A task broke a rule of the machine: a lock misused, a negative time, a CPU out of range."""


class UndefinedBehaviour(SimulationError):  # noqa: N818 - named for what it is in the kernel
    """A call whose outcome the kernel leaves undefined, such as use after destroy."""


class DeadlockError(SimulationError):
    """Nothing more can happen while tasks wait for locks; the message names each task and lock."""


class AccountingError(SimulationError):
    """A CPU's time does not add up to the duration: a fault of the simulator itself."""
