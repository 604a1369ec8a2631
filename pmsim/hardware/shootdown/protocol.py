"""What a shootdown protocol is: one record that everybody reads.

A protocol says who is told of a change and how, when the initiator goes on and what holds then, who
pays, and which options it has. Machine and reference, the random programs of the tests, the tables,
the answer, the kernel's key ``shootdown``, the checks and the documentation read it. A new protocol
is a file here with its record, its cost group in `pmsim.hardware.costs`, and its line in
`pmsim.hardware.shootdown.protocols`; code only where it does what none did before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from enum import IntEnum
from typing import Any, Literal

from pmsim.constants import Group, declarations
from pmsim.hardware.costs import MachineCosts

Deferral = Literal["", "kernel_entry", "tick", "runs"]
"""When CPUs that are left out drop what they were: as they enter the kernel from user mode (all
isolated CPUs drop everything then), at their ticks and switches, or as a virtual CPU runs again;
empty: none is left out."""


class Holds(IntEnum):
    """What holds on every CPU that was told, at one instant; weakest first."""

    REQUESTED = 0
    """It has been told."""
    CLOSED = 1
    """It executes nothing that could use the old translation, or is about to drop it."""
    GONE = 2
    """Its TLB does not hold the old translation and cannot load it again."""

    @property
    def words(self) -> str:
        """The same as the reference says it."""
        return _IN_WORDS[self]


_IN_WORDS = {
    Holds.REQUESTED: "every CPU has been told, and may go on using the old translation",
    Holds.CLOSED: "no CPU runs code that could use the old translation, though a TLB may hold it",
    Holds.GONE: "no TLB holds the old translation",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an option.

    Attributes
    ----------
    name, text
        What it is called in a file, and what it means.
    at_return
        The most that holds with it when the initiator goes on.
    """

    name: str
    text: str
    at_return: Holds = Holds.GONE


@dataclass(frozen=True, slots=True)
class Option:
    """What may be chosen of a protocol: one of some values, of which the first is the default.

    The compiled passes find the chosen value's number in the header, in the word of the option's
    name, if the protocol is a cross-call.
    """

    name: str
    text: str
    values: tuple[Value, ...]

    @property
    def default(self) -> str:
        """What holds if nothing is chosen."""
        return self.values[0].name

    def number(self, value: str) -> int:
        """Return the place of a value among the values; raise `ValueError` if it is none."""
        return [one.name for one in self.values].index(value)

    def at_return(self, value: str) -> Holds:
        """Return the most that holds with a value when the initiator goes on."""
        return self.values[self.number(value)].at_return


@dataclass(frozen=True, slots=True)
class Count:
    """What may be chosen of a protocol, if it is a number; from ``least`` to ``most``."""

    name: str
    text: str
    default_number: int
    least: int
    most: int

    @property
    def default(self) -> str:
        """What holds if nothing is chosen."""
        return str(self.default_number)

    def number(self, value: str) -> int:
        """Return the number; raise `ValueError` if it is none, or too small or too large."""
        number = int(value)
        if not self.least <= number <= self.most:
            raise ValueError(f"{self.name} is from {self.least} to {self.most}")
        return number

    def at_return(self, value: str) -> Holds:
        """Return the most that holds with a value: it makes no difference to that."""
        self.number(value)
        return Holds.GONE


@dataclass(frozen=True, slots=True, repr=False)
class Protocol:
    """One way to have other CPUs drop translations.

    Attributes
    ----------
    name
        What it is called in files and tables; its costs stand under it in a machine's file.
    text
        What happens, in words.
    told
        How shootdowns are made by it, as the answer says it; empty for the ordinary way.
    costs
        The group of its costs.
    interrupts
        Whether the others are interrupted: it is a cross-call. Else the hardware tells them.
    held_off
        Whether a target's window with interrupts off holds the handler off.
    at_return
        What holds when the initiator goes on.
    pays
        Who loses time, in words.
    source
        What it stands for.
    options
        What may be chosen of it.
    calls
        The group whose costs its cross-calls have; empty: its own.
    frees
        What holds of freed memory of user space, if that is something else.
    drops_at
        When CPUs drop what they were left out of.
    asks_for_holders
        Whether its code asks who holds a translation.
    goes_on
        Whether its code calls CPUs and does not wait for them.
    own
        The class of a protocol that is not pmsim's own (`shootdown.own`).
    code_sha256
        The hash of the code that this class stands in.
    """

    name: str
    text: str
    told: str
    costs: type[Group]
    interrupts: bool
    held_off: bool
    at_return: Holds
    pays: str
    source: str
    options: tuple[Option | Count, ...] = ()
    calls: str = ""
    frees: str = ""
    drops_at: Deferral = ""
    asks_for_holders: bool = False
    goes_on: bool = False
    own: type[Any] | None = None
    code_sha256: str = ""

    def __repr__(self) -> str:
        return f"<protocol {self.name}>"

    @property
    def by_calls(self) -> bool:
        """Whether flushes of the kernel's addresses are cross-calls."""
        return self.interrupts or self.calls != ""

    def costs_on(self, machine: MachineCosts) -> Group | None:
        """Return what it costs on a machine, None if that machine does not have it.

        A protocol of somebody's own is had by every machine where all its costs have defaults.
        """
        if self.own is None:
            group: Group | None = getattr(machine, self.name)
            return group
        given = next((one for one in machine.own if isinstance(one, self.costs)), None)
        declared: type = self.costs
        if given is None and all(one.default is not MISSING for one in declarations(declared)):
            return self.costs()
        return given

    def call_costs_on(self, machine: MachineCosts) -> Group | None:
        """Return what its cross-calls cost on a machine."""
        group: Group | None = getattr(machine, self.calls or self.name)
        return group


@dataclass(frozen=True, slots=True)
class Shootdown:
    """A protocol with its options: how a machine is told.

    Parameters
    ----------
    protocol
        Which one.
    chosen
        The values that are not the defaults, by option, in order of the options.
    """

    protocol: Protocol
    chosen: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> str:
        """Return what was chosen of an option; nothing where the protocol does not have it."""
        defaults = {option.name: option.default for option in self.protocol.options}
        return dict(self.chosen).get(name, defaults.get(name, ""))

    @property
    def numbers(self) -> Mapping[str, int]:
        """The number of each option's value, by the option's name."""
        return {one.name: one.number(self.value(one.name)) for one in self.protocol.options}

    @property
    def at_return(self) -> Holds:
        """What holds when the initiator goes on, with these options."""
        most = [one.at_return(self.value(one.name)) for one in self.protocol.options]
        return min([self.protocol.at_return, *most])


def with_options(protocol: Protocol, options: Mapping[str, str]) -> Shootdown:
    """Return a protocol with some options chosen.

    Raises
    ------
    ValueError
        If it has no such option, or an option no such value.
    """
    names = [one.name for one in protocol.options]
    for name in options:
        if name not in names:
            raise ValueError(f"{protocol.name} has no option '{name}'")
    chosen = []
    for option in protocol.options:
        value = options.get(option.name, option.default)
        if option.number(value) != option.number(option.default):
            chosen.append((option.name, value))
    return Shootdown(protocol, tuple(chosen))
