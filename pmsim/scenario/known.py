"""Every cost of a machine with what it rests on, and the range in which the truth may lie.

The value comes from a machine's file or from the default of its field; so do basis and source. The
range is the file's own, or follows from the field and the basis (`pmsim.constants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, get_args

from pmsim import formatting
from pmsim.constants import PPM, Constant, Declared, Ends, Kind, declarations
from pmsim.errors import UnitError
from pmsim.hardware.costs import Jitter, MachineCosts
from pmsim.hardware.host import Host
from pmsim.kernel.costs import KernelCosts
from pmsim.quantities import Keys
from pmsim.scenario.costs import OwnKeys
from pmsim.scenario.faults import FaultList
from pmsim.scenario.nodes import Leaf
from pmsim.scenario.sources import GivenConstant
from pmsim.units import format_time, parse_time

COSTS: Final = "costs"
"""Where the paths of costs begin, below the machine."""
HOST: Final = "host"
"""Where those of the host begin."""
KERNEL: Final = "kernel"
"""The group of the CPU times of kernel work, among the costs."""


@dataclass(frozen=True, slots=True)
class KnownConstant:
    """One cost of a machine as it is simulated.

    Attributes
    ----------
    path
        Its keys below the machine, as in ``costs.ipi.delivery.core``.
    kind
        What it counts.
    value
        In the unit of its field: picoseconds, millionths, or things.
    basis, source
        What it rests on; empty where nobody says.
    ends
        The range in which the truth may lie; both are the value where nothing is open.
    elsewhere
        The same range on another machine, for which this one stands: its own, an estimate's and
        the field's together.
    """

    path: str
    kind: Kind
    value: int
    basis: str
    source: str
    ends: Ends
    elsewhere: Ends

    @property
    def name(self) -> str:
        """What it is called for short: its path below the costs."""
        return self.path.removeprefix(f"{COSTS}.")

    @property
    def open(self) -> bool:
        """Whether it may be another value than it is."""
        return self.ends[0] < self.ends[1]

    @property
    def between(self) -> str:
        """The range as people read it; empty where there is none."""
        return formatting.from_to(*map(self.said, self.ends)) if self.open else ""

    def written(self, value: int) -> Any:
        """Return a value of it as it would stand in a file."""
        if self.kind in _TIMES:
            return format_time(value)
        return value / PPM if self.kind is Kind.SHARE else value

    def said(self, value: int) -> str:
        """Return a value of it as people read it."""
        if self.kind in _TIMES:
            return formatting.time(value)
        return formatting.share(value / PPM) if self.kind is Kind.SHARE else f"{value:,}"


def known_constants(
    keys: Keys,
    host: Keys | None,
    own: Sequence[OwnKeys],
    given: Sequence[GivenConstant],
    faults: FaultList,
) -> tuple[KnownConstant, ...]:
    """Return every cost of a machine that is a number, in the order of their declaration.

    Parameters
    ----------
    keys, host, own
        The models of its costs, of its host if it is a guest, and of the costs of protocols that
        are not pmsim's own.
    given
        What its file says of them.
    faults
        Where ranges that make no sense go.
    """
    found = {one.path: one for one in given}
    known = [
        _known(path, constant, value, default, _nearest(found, path), faults)
        for path, constant, value, default in _numbers(keys, host, own)
    ]
    paths = {one.path for one in known}
    for one in given:
        if one.range is not None and one.path not in paths:
            faults.at(one.range[0], "bad-value", "there is no range here",
                      "single times, shares and counts of `costs` have one")  # fmt: skip
    return tuple(known)


_TIMES: Final = (Kind.TIME, Kind.TIME_BY_DISTANCE, Kind.JITTER)

_Number = tuple[str, Constant, int, bool]
"""Path, declaration, value, and whether nobody gave that value."""


def _numbers(keys: Keys, host: Keys | None, own: Sequence[OwnKeys]) -> Iterator[_Number]:
    """Yield every number among a machine's costs."""
    yield from _of_group(keys, MachineCosts, COSTS)
    for one in own:
        yield from _of_group(one.keys, one.protocol.costs, f"{COSTS}.{one.protocol.name}")
    if host is not None:
        yield from _of_group(host, Host, HOST)
    yield from _of_group(dict(keys)[KERNEL], KernelCosts, f"{COSTS}.{KERNEL}")


def _of_group(keys: Keys, group: type, path: str) -> Iterator[_Number]:
    for one in declarations(group):
        held, below = getattr(keys, one.key), f"{path}.{one.key}"
        if held is None:
            continue
        if isinstance(one.note, Constant):
            yield from _of_constant(
                one, one.note, held, below, one.key not in keys.model_fields_set
            )
        elif isinstance(held, tuple):
            for number, state in enumerate(held):
                yield from _of_group(state, get_args(one.type)[0], f"{below}.{number}")
        else:
            inside = get_args(one.type)
            yield from _of_group(held, inside[0] if inside else one.type, below)


def _of_constant(
    declared: Declared, constant: Constant, held: Any, path: str, default: bool
) -> Iterator[_Number]:
    """Yield the numbers of one key: of a mapping by distance those that it gives."""
    match constant.kind:
        case Kind.TIME | Kind.COUNT:
            yield path, constant, held, default
        case Kind.SHARE:
            yield path, constant, round(held * PPM), default
        case Kind.TIME_BY_DISTANCE if not isinstance(held, int):
            for distance, value in held.given().items():
                yield f"{path}.{distance.name.lower()}", constant, value, default
        case Kind.JITTER if not isinstance(held, int):
            yield f"{path}.{_SCALE}", constant, getattr(held, _SCALE), default
        case Kind.TIME_BY_DISTANCE | Kind.JITTER:
            yield path, constant, held, default
        case _:
            return


_SCALE: Final = declarations(Jitter)[-1].key
"""The number among the keys of a jitter."""


def _nearest(given: Mapping[str, GivenConstant], path: str) -> GivenConstant | None:
    """Return what a file says of a constant: of itself, or of the table that it stands in."""
    while path:
        if path in given:
            return given[path]
        path = path.rpartition(".")[0]
    return None


def _known(
    path: str,
    constant: Constant,
    value: int,
    default: bool,
    given: GivenConstant | None,
    faults: FaultList,
) -> KnownConstant:
    basis: str = constant.basis or ""
    source = constant.note.lstrip(":;, ")
    ends = (default and constant.range) or constant.ends(value, basis)
    if given is not None:
        basis, source = given.basis, given.source
        ends = constant.ends(value, basis)
        if given.range is not None and given.path == path:
            ends = _given_ends(given.range, constant, value, faults) or ends
    elsewhere = _together(ends, constant.ends(value, "estimate"), constant.range or ends)
    return KnownConstant(path, constant.kind, value, basis, source, ends, elsewhere)


def _together(*ranges: Ends) -> Ends:
    """Return the range from the lowest end of some to the highest."""
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


# --- ranges as files give them --------------------------------------------------------------------


def _given_ends(
    leaves: tuple[Leaf, Leaf], constant: Constant, value: int, faults: FaultList
) -> Ends | None:
    """Return the range that a file gives; `None` where it makes no sense, which is reported."""
    low, high = (_end(leaf, constant, faults) for leaf in leaves)
    if low is None or high is None:
        return None
    if not low <= value <= high:
        faults.at(leaves[0], "out-of-range",
                  f"the value is not in its range, {leaves[0].text} to {leaves[1].text}",
                  "the lower end comes first, and the value lies between")  # fmt: skip
        return None
    return low, high


def _end(leaf: Leaf, constant: Constant, faults: FaultList) -> int | None:
    read = _READ.get(constant.kind)
    if read is None:
        return None
    try:
        found = read(leaf)
    except UnitError as error:
        faults.at(leaf, error.code, error.message, error.hint)
        return None
    if not constant.least <= found <= constant.most:
        written = format_time if constant.kind in _TIMES else str
        faults.at(leaf, "out-of-range", f"{leaf.text} cannot be an end of a range here",
                  f"between {written(constant.least)} and {written(constant.most)}")  # fmt: skip
        return None
    return found


def _time(leaf: Leaf) -> int:
    return parse_time(leaf.text)


def _number(leaf: Leaf) -> float:
    value = leaf.value()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UnitError(f"'{leaf.text}' is no number", code="wrong-type", hint="as the value is")
    return value


def _count(leaf: Leaf) -> int:
    value = _number(leaf)
    if not isinstance(value, int):
        raise UnitError(
            f"'{leaf.text}' is no whole number", code="wrong-type", hint="as the value is"
        )
    return value


_READ: Final[Mapping[Kind, Callable[[Leaf], int]]] = {
    Kind.TIME: _time,
    Kind.TIME_BY_DISTANCE: _time,
    Kind.JITTER: _time,
    Kind.COUNT: _count,
    Kind.SHARE: lambda leaf: round(_number(leaf) * PPM),
}
"""Reads an end of a range as a file has it."""
