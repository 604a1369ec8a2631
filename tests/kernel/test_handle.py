"""The handle that workloads get is what the marks of the calls say."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

from docs._generate.handle import HANDLE, handle, method_text
from pmsim.hardware.task import Task
from pmsim.kernel.calls import Address, call, calls_of
from pmsim.kernel.handle import KernelHandle
from pmsim.units import Bytes, Pages
from tests.kernel.booted import Booted

Truth = Generator[Any, Any, bool]


class Trial:
    """A part with calls of each sort."""

    @call
    def remap(self, task: Task, address: Address, size: Bytes = 4096, *, pages: Pages) -> Truth:
        """Map anew.

        Parameters
        ----------
        task
            Who calls.
        address, size
            What.
        pages
            How many.
        """
        yield from ()
        return True

    @call
    def mapped(self, name: str) -> bool:
        """Return at once whether it is."""
        return bool(name)

    def internal(self, task: Task) -> None:
        """Serve other parts."""


def test_the_handle_is_written_from_the_marks() -> None:
    assert HANDLE.read_text(encoding="utf-8") == handle(), "run `make docs`"


def test_what_is_not_marked_is_no_call() -> None:
    assert list(calls_of(Trial)) == ["remap", "mapped"]


def test_a_call_keeps_its_signature_without_the_task_and_takes_texts_and_null() -> None:
    text, words = method_text("_trial", "remap", Trial.remap)
    size = "size if type(size) is int else as_size(size)"
    assert text.splitlines() == [
        "    def remap(self, address: int | None, size: Size = 4096, *, pages: Pages) -> Truth:",
        '        """Map anew.',
        "",
        "        Parameters",
        "        ----------",
        "        address, size",
        "            What.",
        "        pages",
        "            How many.",
        '        """',
        f"        return self._trial.remap(self.task, address or 0, {size}, pages=pages)",
    ]
    assert {"Pages", "Truth", "Size"} <= words


def test_a_call_that_needs_no_task_gets_none() -> None:
    text, _ = method_text("_trial", "mapped", Trial.mapped)
    assert (
        text
        == '''\
    def mapped(self, name: str) -> bool:
        """Return at once whether it is."""
        return self._trial.mapped(name)
'''
    )


def test_a_call_of_the_handle_is_the_parts_call_made_as_its_task() -> None:
    booted = Booted()
    heard: list[Any] = []

    def program(kernel: KernelHandle) -> Generator[Any, Any, None]:
        area = yield from kernel.vmalloc("16KiB")
        assert area is not None
        heard.append(booted.kernel.vmalloc.find(area.address) is area)
        heard.append((kernel.profile is booted.kernel.profile, kernel.costs is booted.kernel.costs))

    booted.run(program)
    assert heard == [True, (True, True)]


def test_every_call_has_a_docstring() -> None:
    public = inspect.getmembers(KernelHandle, inspect.isfunction)
    assert [name for name, one in public if not name.startswith("_") and not one.__doc__] == []
