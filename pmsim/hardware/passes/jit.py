"""How the passes are compiled: entry points with a signature and a cache, and all within them.

What Python calls is an *entry point*: it has a signature, and its machine code is kept on disk.
Every other function is a part of the entry points that use it, and leaves nothing of its
own.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python, for a debugger, for coverage.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import numba
from numba.core import event as events
from numba.core import types
from numba.core.sigutils import normalize_signature
from numba.extending import overload

from pmsim.hardware.passes import cache

# Their type hints know neither every option nor every setting.
njit: Any = numba.njit
config: Any = numba.config

F = TypeVar("F", bound=Callable[..., Any])

# Without reference counts (`_nrt`): no function here makes an array, and calls between them become
# free. Divisions are by numbers that are never 0.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}

TRIED = ((0, 60), (0, 68))
"""The oldest and the newest version of Numba that `internals` was tried on."""


def internals(version: str = numba.__version__) -> ModuleType | None:
    """Return what makes compiling and loading quick, where this version of Numba has it."""
    oldest, newest = TRIED
    release = re.match(r"(\d+)\.(\d+)", version)
    if release is None or not oldest <= (int(release[1]), int(release[2])) <= newest:
        return None
    from pmsim.hardware.passes import internals

    return internals


def is_disabled() -> bool:
    """Return whether the passes run as plain Python."""
    return bool(config.DISABLE_JIT)


def compiled(function: F) -> F:
    """Compile a function into those that call it; Python itself cannot call it then."""
    options = dict(_OPTIONS)
    if quick := internals():
        options["pipeline_class"] = quick.PartCompiler
    inner: F = njit(function, no_cpython_wrapper=True, **options)
    return inner


def entry_point(signature: str) -> Callable[[F], F]:
    """Let Python call a function, once `compile_entry` has compiled or loaded it."""

    def decorate(function: F) -> F:
        options = dict(_OPTIONS)
        if quick := internals():
            options["pipeline_class"] = quick.EntryCompiler
        with _kept_in_its_directory() as kept:
            entry: Any = njit(function, cache=kept, **options)
            if quick and kept:
                entry._cache = quick.QuickCache(function)
        entry.signature = signature
        return entry

    return decorate


@contextmanager
def _kept_in_its_directory() -> Iterator[bool]:
    """Let Numba keep what is decorated in the block where `cache` says, if it is to keep it."""
    place, before = cache.directory(), config.CACHE_DIR
    if is_disabled() or place is None:
        yield False
        return
    config.CACHE_DIR = str(place)
    try:
        yield True
    finally:
        config.CACHE_DIR = before


def compile_entry(entry: Any, *, backwards: bool = False) -> None:
    """Compile an entry point, or load its code from disk; nothing if that was done before.

    Parameters
    ----------
    entry
        The entry point.
    backwards
        Whether it is to be compiled for states whose words lie backwards: `only_backwards`.
    """
    if is_disabled():
        return
    arguments, returned = _types(entry.signature)
    if backwards:
        arguments = (types.Array(types.int64, 1, "A"), *arguments[1:])
    if arguments in entry.signatures:
        return
    entry.disable_compile(False)
    entry.compile(returned(*arguments))
    entry.disable_compile()


@functools.cache
def _types(signature: str) -> Any:
    """Return the types of a signature, which takes a while: each machine asks again."""
    return normalize_signature(signature)


def only_backwards(function: F) -> F:
    """Let a test of a state be false, at no cost, in code for states that lie in memory as usual.

    A state for whose machine the test may hold has to lie there backwards, which Numba takes for
    another type: so its code is compiled apart, and that of all other machines has no trace of it.
    """

    @overload(function, inline="always", strict=False)
    def _compiled(S: Any) -> Any:
        return (lambda S: False) if S.layout == "C" else function

    return function


def absent_elsewhere(function: F) -> F:
    """Compile a function only into code for states whose words lie backwards (`only_backwards`).

    It is called behind such a test. Elsewhere it would be as dead as the call, but LLVM would take
    account of what it calls in turn, as it decides what to inline into what.
    """
    options: Any = {**_OPTIONS, "no_cpython_wrapper": True}
    if quick := internals():
        options["pipeline_class"] = quick.PartCompiler
    nothing = eval(f"lambda {', '.join(inspect.signature(function).parameters)}: 0")

    @overload(function, jit_options=options, strict=False)
    def _compiled(S: Any, *others: Any) -> Any:
        return nothing if S.layout == "C" else function

    return function


class _Counter(events.Listener):
    """Tells of each function that Numba has compiled."""

    def __init__(self, compiled_one: Callable[[], None]) -> None:
        self._compiled_one = compiled_one

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        self._compiled_one()


@contextmanager
def watched(compiled_one: Callable[[], None]) -> Iterator[None]:
    """Call ``compiled_one`` whenever a function has been compiled, within the block."""
    counter = _Counter(compiled_one)
    events.register("numba:compile", counter)
    try:
        yield
    finally:
        events.unregister("numba:compile", counter)
