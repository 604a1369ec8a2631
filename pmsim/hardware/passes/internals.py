"""What leans on Numba's internals: faster code, one cold start in half the time, quick warm ones.

Numba documents its code libraries and its cache in its source alone. This is the only file that
uses them, and only on versions that were tried; `jit` does without it on any other.
"""

from __future__ import annotations

from typing import Any

from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from pmsim.hardware.passes import cache


class _NowhereYet:
    """Stands for the engine that code runs in, where there is none to run."""

    def set_env(self, _name: str, _environment: Any) -> None:
        """Numba would write where an error of this function finds its globals: it raises none."""


class _Part(JITCodeLibrary):
    """A function as it was lowered; the entry points that it is linked into optimise it.

    By itself Numba optimises every function, makes machine code of it, and then both again for
    whatever it is linked into: more than a third of the time that the passes took.
    """

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

    def _optimize_final_module(self) -> None:
        """Optimise the parts as functions that nobody else calls.

        To Numba others might, so that LLVM has to pass each all that it was declared with, of an
        array seven words. Of a function of the entry's own it passes on what is looked at: the code
        is a third smaller, and calls that meet others take 0.7 of the time.
        """
        for function in self._final_module.functions:
            if function.linkage.name == "linkonce_odr":
                function.linkage = "internal"
        super()._optimize_final_module()


def _gather(library: Any, needed: dict[Any, None]) -> None:
    """Add what a library needs, in the order of a walk that leaves a library after its parts."""
    if library in needed:
        return
    if isinstance(library, _Part):
        for part in library._linking_libraries:
            _gather(part, needed)
    needed[library] = None


class PartCompiler(Compiler):
    """Compiles a function as a part of others."""

    def define_pipelines(self) -> Any:
        """Give the function its library; the way to it is Numba's own."""
        self.state.library = _Part(self.state.targetctx.codegen(), "part")
        return super().define_pipelines()


class EntryCompiler(Compiler):
    """Compiles an entry point with all its parts."""

    def define_pipelines(self) -> Any:
        """Give the function its library; the way to it is Numba's own."""
        self.state.library = _Entry(self.state.targetctx.codegen(), "entry")
        self.state.library.enable_object_caching()
        return super().define_pipelines()


class QuickCache(FunctionCache):
    """Numba's cache, which loads without the types and functions that only compiling needs.

    Making those ready takes several times as long as all else that a warm start does.
    """

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Load code, if there is some."""
        return self._load_overload(signature, target_context)

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        """Say which code fits, wherever a user's settings let Numba keep it."""
        return (*super()._index_key(signature, codegen), cache.fingerprint())
