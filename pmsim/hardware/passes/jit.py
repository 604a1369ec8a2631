"""How the passes are compiled: entry points with a signature and a cache, and all within them.

What Python calls is an *entry point*: it has a signature, and its machine code is kept on disk.
Every other function is an ingredient: it is lowered once, and optimised and turned into machine
code only as a part of the entry points that use it. Numba by itself would do both for every
function on its own as well, which took more than a third of the time.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python, for a debugger, for coverage.

Numba documents its libraries, cache and some options in its source alone; this is the only file
that leans on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
from numba.core import event as events
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from pmsim.hardware.passes import cache

njit: Any = numba.njit  # with options that its type hints do not know

F = TypeVar("F", bound=Callable[..., Any])

# Without reference counts (`_nrt`): no function here makes an array, and calls between them become
# free. Divisions are by numbers that are never 0.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def _disabled() -> bool:
    return bool(getattr(numba.config, "DISABLE_JIT", False))


def compiled(function: F) -> F:
    """Compile a function into those that call it; Python itself cannot call it then."""
    inner: F = njit(
        function, no_cpython_wrapper=True, pipeline_class=_IngredientCompiler, **_OPTIONS
    )
    return inner


def entry_point(signature: str) -> Callable[[F], F]:
    """Let Python call a function, once `compile_entry` has compiled or loaded it."""

    def decorate(function: F) -> F:
        entry: Any = njit(function, pipeline_class=_EntryCompiler, **_OPTIONS)
        entry.signature = signature
        if not _disabled() and cache.directory() is not None:
            entry._cache = _Cache(function)
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
    events.register("numba:compile", counter)
    try:
        yield
    finally:
        events.unregister("numba:compile", counter)


class _NowhereYet:
    """Stands for the engine that code runs in, where there is none to run."""

    def set_env(self, _name: str, _environment: Any) -> None:
        """Numba would write where an error of this function finds its globals: it raises none."""


class _Ingredient(JITCodeLibrary):
    """A function as it was lowered; the entry points that it is linked into optimise it."""

    @property
    def codegen(self) -> Any:
        return _NowhereYet()

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        return 0  # there is no machine code of it alone


class _Entry(JITCodeLibrary):
    """An entry point: all that it needs, and what this needs in turn, is linked into it."""

    def finalize(self) -> None:
        needed: dict[Any, None] = {}
        for library in self._linking_libraries:
            _gather(library, needed)
        # LLVM links a function only where it is called already: callers come first.
        self._linking_libraries = list(reversed(needed))
        super().finalize()


def _gather(library: Any, needed: dict[Any, None]) -> None:
    """Add what a library needs, in the order of a walk that leaves a library after its parts."""
    if library in needed:
        return
    if isinstance(library, _Ingredient):
        for part in library._linking_libraries:
            _gather(part, needed)
    needed[library] = None


class _IngredientCompiler(Compiler):
    def define_pipelines(self) -> Any:
        self.state.library = _Ingredient(self.state.targetctx.codegen(), "ingredient")
        return super().define_pipelines()


class _EntryCompiler(Compiler):
    def define_pipelines(self) -> Any:
        self.state.library = _Entry(self.state.targetctx.codegen(), "entry")
        self.state.library.enable_object_caching()
        return super().define_pipelines()


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

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Load code, without the types and functions that Numba needs to compile.

        Making those ready takes several times as long as all else that a warm start does.
        """
        return self._load_overload(signature, target_context)

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep code, and delete what was kept of other sources."""
        super().save_overload(signature, code)
        cache.forget_others()

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        """Say which code fits, wherever a user's settings let Numba keep it."""
        return (*super()._index_key(signature, codegen), cache.fingerprint())
