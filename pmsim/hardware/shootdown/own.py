"""Protocols that are not pmsim's own: a class with one method, `shootdown`, and its record.

The decorator `protocol` reads the class once: what it says of itself, its keys, its method. What it
may do is in `shootdown.initiator`::

    @protocol("early")
    class Early:
        \"\"\"IPI call that is acknowledged at its start.\"\"\"

        promises = "closed"

        def shootdown(self, initiator, flush):
            yield from initiator.cross_call(flush.targets, flush.function, ack="entry")

Times among its keys are costs, which stand in a machine's file under the protocol's name; all
other keys are options, which the kernel chooses.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from inspect import cleandoc, isgeneratorfunction
from pathlib import Path
from types import CodeType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pmsim.constants import Constant, Group, Kind, declarations
from pmsim.errors import UnitError
from pmsim.hardware.costs import MachineCosts, by_distance
from pmsim.hardware.shootdown.protocol import (
    Count,
    Deferral,
    Holds,
    Option,
    Protocol,
    Shootdown,
    Value,
)
from pmsim.hardware.shootdown.protocols import PROTOCOLS, protocol_named
from pmsim.hardware.topology import Distance
from pmsim.steps import forgotten_wait
from pmsim.units import parse_time

_Class = TypeVar("_Class", bound=type)

Time = Annotated[Any, Constant(text="")]
"""A key that is a time: picoseconds in the code, a number with a unit in files and defaults."""

TimeByDistance = Annotated[Any, Constant(text="", kind=Kind.TIME_BY_DISTANCE)]
"""A key that is a time for each distance: see `Initiator.between`."""

MOST: Final = 1 << 31
"""The largest whole number that can be chosen."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_TAKEN: Final = {"native", "kernel", *(one.name for one in fields(MachineCosts))}
"""Other things that stand where a protocol's name does."""


def protocol(name: str) -> Callable[[_Class], _Class]:
    """Register a class as a shootdown protocol.

    Parameters
    ----------
    name
        What it is called behind ``shootdown:`` of a kernel, under ``costs:`` of a machine, and in
        tables.

    Returns
    -------
    Callable
        A decorator, which returns the class as it is. The class has

        - ``shootdown(self, initiator, flush)``: a generator, which makes one shootdown by what an
          `Initiator` can do;
        - ``promises``: what holds when it is over of all that the kernel relies on then: ``gone``,
          ``closed`` or ``requested``;
        - ``waits = False``, if it calls CPUs and does not wait for them in code that stands in none
          of its methods;
        - ``drops_at``, if it leaves CPUs out: when these drop it, as in `Initiator.defer`;
        - keys: annotated attributes. Those of type `Time` and `TimeByDistance` are costs of the
          machine, ``bool``, ``int`` and ``Literal`` options of the kernel;
        - a docstring, which says what it does; ``pays`` and ``source``, in words, if it likes.

    Raises
    ------
    TypeError
        When applied to anything but a class that has all that, or if ``shootdown`` makes a call and
        does not wait for it.
    ValueError
        If the name is taken, or is no name at all.
    """
    if not isinstance(name, str):
        raise TypeError('a protocol is registered by a name: @pmsim.protocol("my-protocol")')

    def register(cls: _Class) -> _Class:
        PROTOCOLS.add(record_of(name, cls))
        return cls

    return register


def record_of(name: str, cls: type) -> Protocol:
    """Return the record of a class, which is not registered; see `protocol` for what it raises."""
    if not isinstance(cls, type):
        raise TypeError(f"a protocol is a class with a method shootdown, not {cls!r}")
    place = _place(cls)
    if not _NAME.fullmatch(name):
        hint = "up to 32 letters, digits, - and _, a letter first"
        raise ValueError(f"{place}'{name}' cannot name a protocol: {hint}")
    known = PROTOCOLS.of(name)
    if name in _TAKEN or (known is not None and known.own is None):
        raise ValueError(f"{place}the name '{name}' is taken by pmsim itself: choose another one")
    _check_method(cls, place)
    costs, options = _keys(name, cls, place)
    text = " ".join(cleandoc(cls.__doc__ or "").replace("``", "").split())
    return Protocol(
        name=name,
        text=text or f"{cls.__qualname__}, which says nothing of itself.",
        told=f"by {name}",
        costs=costs,
        interrupts=False,
        held_off=True,
        at_return=_promised(cls, place),
        pays=getattr(cls, "pays", "whom its code makes pay"),
        source=getattr(cls, "source", f"{cls.__qualname__} of {cls.__module__}, not pmsim's own"),
        options=options,
        calls="ipi",
        drops_at=_drops_at(cls, place),
        asks_for_holders=_asks_for_holders(cls),
        goes_on=_goes_on(cls, place),
        own=cls,
        code_sha256=_code(cls),
    )


def instance_of(shootdown: Shootdown, costs: MachineCosts) -> Any:
    """Return an object of a protocol's class for one machine, its keys being what was chosen."""
    protocol_ = shootdown.protocol
    assert protocol_.own is not None
    made = protocol_.own()
    group = protocol_.costs_on(costs)
    for one in fields(protocol_.costs):
        setattr(made, one.name, getattr(group, one.name))
    for option in protocol_.options:
        word = shootdown.value(option.name)
        chosen: Any = int(word) if isinstance(option, Count) else word
        setattr(made, option.name, {"true": True, "false": False}.get(chosen, chosen))
    return made


def missing_group(of: Protocol, costs: MachineCosts) -> str:
    """Return the group of costs that a machine lacks for what CPUs drop later; empty: none."""
    if of.own is None or not of.drops_at:
        return ""
    name = "latr" if of.drops_at == "tick" else "deferred"
    return name if getattr(costs, name) is None else ""


# --- what a class says of itself ------------------------------------------------------------------


def _place(cls: type) -> str:
    """Return file and line of a class, with a colon behind; nothing where they are not known."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}: "
    except (OSError, TypeError):
        return ""


def _code(cls: type) -> str:
    """Return the hash of the file, or the notebook's cell, that a class stands in.

    What was never written anywhere is known by what its method was compiled to.
    """
    try:
        text = "".join(inspect.findsource(cls)[0]).encode()
    except (OSError, TypeError):
        text = _compiled(cls.shootdown.__code__)  # type: ignore[attr-defined]
    return hashlib.sha256(text).hexdigest()


def _compiled(code: CodeType) -> bytes:
    said = [_written(one) for one in code.co_consts]
    return code.co_code + repr(code.co_names).encode() + b"".join(said)


def _written(constant: object) -> bytes:
    """Return a constant of compiled code, the same in every process."""
    if isinstance(constant, CodeType):
        return _compiled(constant)
    plain = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
    return repr(plain).encode()


def _check_method(cls: type, place: str) -> None:
    method = getattr(cls, "shootdown", None)
    if method is None:
        raise TypeError(
            f"{place}the protocol {cls.__qualname__} does not define"
            " shootdown(self, initiator, flush)"
        )
    if len(inspect.signature(method).parameters) != 3:
        raise TypeError(
            f"{place}shootdown of {cls.__qualname__} has other parameters than"
            " (self, initiator, flush)"
        )
    call = forgotten_wait(method, slice(1, 2), plain=("between", "holders"))
    if call is not None:
        raise TypeError(call)
    if not isgeneratorfunction(method):
        raise TypeError(
            f"{place}shootdown of {cls.__qualname__} tells nobody anything: it needs a `yield from`"
            " before a call of the initiator"
        )
    try:
        cls()
    except TypeError as error:
        raise TypeError(
            f"{place}{cls.__qualname__} cannot be made without arguments: {error}"
        ) from None


def _promised(cls: type, place: str) -> Holds:
    words = [one.name.lower() for one in Holds]
    promised = getattr(cls, "promises", None)
    if promised not in words:
        said = "does not say what it promises" if promised is None else f"promises '{promised}'"
        raise TypeError(
            f"{place}the protocol {cls.__qualname__} {said}: promises = 'gone' if no TLB holds the"
            " old translation when shootdown is over, of all that the kernel relies on then; else"
            " 'closed' or 'requested'"
        )
    return Holds[promised.upper()]


def _asks_for_holders(cls: type) -> bool:
    """Return whether a method of a class asks for ``holders``."""
    return any("holders" in code.co_names for code in _codes(cls))


def _goes_on(cls: type, place: str) -> bool:
    """Return whether a class calls CPUs and does not wait: it says so, or a method does."""
    says = getattr(cls, "waits", None)
    if says is not None and not isinstance(says, bool):
        raise TypeError(f"{place}waits of {cls.__qualname__} is neither True nor False")
    names = (one for code in _codes(cls) for one in code.co_consts if isinstance(one, tuple))
    return not says if says is not None else any("wait" in one for one in names)


def _codes(cls: type) -> Iterator[CodeType]:
    """Yield what the methods of a class were compiled to, and the functions within them."""
    methods = [getattr(cls, name, None) for name in dir(cls)]
    codes = [method.__code__ for method in methods if inspect.isfunction(method)]
    while codes:
        code = codes.pop()
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
        yield code


def _drops_at(cls: type, place: str) -> Deferral:
    given: Deferral = getattr(cls, "drops_at", "")
    if given not in get_args(Deferral):
        words = ", ".join(repr(one) for one in get_args(Deferral) if one)
        raise TypeError(f"{place}drops_at of {cls.__qualname__} is none of {words}")
    return given


class _Cost(NamedTuple):
    """A cost among the keys of a class; without a default it has to be given."""

    key: str
    constant: Constant
    default: Any


# --- its keys -------------------------------------------------------------------------------------


def _keys(name: str, cls: type, place: str) -> tuple[type[Group], tuple[Option | Count, ...]]:
    """Return the group of a class's costs, and its options."""
    # Where it was defined may be no module that can be found by its name.
    names = cls.shootdown.__globals__  # type: ignore[attr-defined]
    hints = get_type_hints(cls, globalns=names, include_extras=True)
    costs: list[_Cost] = []
    options: list[Option | Count] = []
    for key, hint in hints.items():
        default = getattr(cls, key, MISSING)
        constant = next(
            (one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Constant)), None
        )
        if constant is None:
            options.append(_option(key, hint, default, f"{place}{key} of {cls.__qualname__}"))
            continue
        words = [one for one in hint.__metadata__ if isinstance(one, str)]
        described = Constant(text=" ".join(words) or f"{key} of {name}.", kind=constant.kind)
        where = f"{place}{key} of {cls.__qualname__}"
        value = None if default is MISSING else _time(constant, default, where)
        costs.append(_Cost(key, described, value))
    return _group(name, costs), tuple(options)


def _time(constant: Constant, default: Any, place: str) -> Any:
    """Return a default of a cost in picoseconds."""
    try:
        if constant.kind is Kind.TIME:
            return _picoseconds(default)
        if isinstance(default, dict):
            given = {Distance[key.upper()]: _picoseconds(value) for key, value in default.items()}
            return by_distance(given)
        return by_distance({Distance.SELF: _picoseconds(default)})
    except (UnitError, KeyError, ValueError) as error:
        raise TypeError(f"{place}: {default!r} is no time ({error}); for example '20ns'") from None


def _picoseconds(value: Any) -> int:
    return value if isinstance(value, int) else parse_time(value)


def _option(key: str, hint: Any, default: Any, place: str) -> Option | Count:
    """Return an option; the first of its values is its default."""
    text = " ".join(one for one in getattr(hint, "__metadata__", ()) if isinstance(one, str))
    plain = hint.__origin__ if get_origin(hint) is Annotated else hint
    if default is MISSING:
        raise TypeError(f"{place} has no default: an option needs one")
    if plain is int:
        return Count(key, text or f"{key}.", default, 0, MOST)
    words = ("true", "false") if plain is bool else get_args(plain)
    first = str(default).lower() if plain is bool else default
    if not (plain is bool or get_origin(plain) is Literal) or first not in words:
        raise TypeError(
            f"{place} is neither a pmsim.Time, a bool, an int, nor a Literal of words with one of"
            " them as its default"
        )
    ordered = (first, *(word for word in words if word != first))
    return Option(key, text or f"{key}.", tuple(Value(word, word) for word in ordered))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCosts(Group):
    """Base of the costs of protocols that are not pmsim's own; it goes by the protocol's name."""

    def __reduce__(self) -> tuple[Any, ...]:
        kind: type = type(self)
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _costs_again, (PROTOCOLS[kind.__name__], values)


def _costs_again(of: Protocol, values: dict[str, Any]) -> Group:
    return of.costs(**values)


def _group(name: str, costs: Sequence[_Cost]) -> type[Group]:
    given: list[Any] = []
    for one in costs:
        default = () if one.default is None else (field(default=one.default),)
        given.append((one.key, Annotated[Any, one.constant], *default))
    made = make_dataclass(
        "Costs", given, bases=(OwnCosts,), frozen=True, slots=True, kw_only=True,
        namespace={"__doc__": f"What {name} costs."},
    )  # fmt: skip
    made.__name__ = made.__qualname__ = name
    return made


# --- in another process ---------------------------------------------------------------------------


def _sent(protocol: Protocol) -> tuple[Callable[..., Protocol], tuple[Any, ...]]:
    """Pickle a protocol by its name, and with its class if it is not pmsim's own.

    So it is the same one in each process of a sweep.
    """
    if protocol.own is None:
        return protocol_named, (protocol.name,)
    declared: type = protocol.costs
    costs = [
        _Cost(one.key, one.note, None if one.required else one.default)
        for one in declarations(declared)
        if isinstance(one.note, Constant)
    ]
    facts = {one.name: getattr(protocol, one.name) for one in fields(protocol)}
    del facts["costs"]
    return _received, (costs, facts)


def _received(costs: Sequence[_Cost], facts: dict[str, Any]) -> Protocol:
    """Return a protocol that another process has sent, registered in this one, too."""
    known = PROTOCOLS.of(facts["name"])
    if known is None or known.own is not facts["own"]:
        PROTOCOLS.add(Protocol(costs=_group(facts["name"], costs), **facts))
    return PROTOCOLS[facts["name"]]


copyreg.pickle(Protocol, _sent)


# --- its faults -----------------------------------------------------------------------------------

PACKAGE: Final = str(Path(__file__).parents[2])
"""Where pmsim's own code is."""


def own_line(error: BaseException) -> str:
    """Return file and line of the last code that is not pmsim's which led to an error."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(PACKAGE)
    ]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""
