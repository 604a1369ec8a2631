"""How the passes are compiled: entry points with a signature and a cache, and all within them.

What Python calls is an *entry point*: it has a signature, and its machine code is kept on disk.
Everything else is compiled into the entry points that use it, and leaves nothing of its own.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python, for a debugger, for coverage.

Numba documents its cache and some of these options in its source alone; this is the only file that
leans on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
from numba.core import event as events
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from pmsim.hardware.passes import cache

# Their type hints know neither every option nor every argument.
njit: Any = numba.njit
register: Any = events.register
unregister: Any = events.unregister

F = TypeVar("F", bound=Callable[..., Any])

# Without reference counts (`_nrt`): no function here makes an array, and calls between them become
# free. Divisions are by numbers that are never 0.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def _disabled() -> bool:
    return bool(getattr(numba.config, "DISABLE_JIT", False))


def compiled(function: F) -> F:
    """Compile a function into those that call it; Python itself cannot call it then."""
    inner: F = njit(function, no_cpython_wrapper=True, **_OPTIONS)
    return inner


def entry_point(signature: str) -> Callable[[F], F]:
    """Let Python call a function, once `compile_entry` has compiled or loaded it."""

    def decorate(function: F) -> F:
        entry: Any = njit(function, **_OPTIONS)
        entry.signature = signature
        if not _disabled() and cache.directory() is not None:
            entry._cache = _new_cache(function)
        return entry

    return decorate


def compile_entry(entry: Any) -> None:
    """Compile an entry point, or load its code from disk; nothing if that was done before."""
    if _disabled() or entry.signatures:
        return
    entry.compile(entry.signature)
    entry.disable_compile()


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
    register("numba:compile", counter)
    try:
        yield
    finally:
        unregister("numba:compile", counter)


class _Locator(_CacheLocator):
    """Tells Numba which directory to keep the code of a function in."""

    def get_cache_path(self) -> str:
        return str(cache.directory())

    def get_source_stamp(self) -> str:
        return cache.fingerprint()

    def get_disambiguator(self) -> str:
        return "pmsim"

    @classmethod
    def from_function(cls, _function: Any, _file: str) -> _Locator:
        return cls()


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes: Any = [_Locator]  # noqa: RUF012 - declared as an instance's by Numba


class _Cache(FunctionCache):
    _impl_class = _CacheImpl

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        """Say which code fits, wherever a user's settings let Numba keep it."""
        own: Any = super()
        return (*own._index_key(signature, codegen), cache.fingerprint())


_new_cache: Any = _Cache
