"""What takes simulated time: the steps of a task, on every floor."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal, TypeAlias

Steps: TypeAlias = Generator[Any, Any, None]
"""The body of a task, or a call in it, used with ``yield from``: it waits through the machine's and
the kernel's calls only."""

Role: TypeAlias = Literal["foreground", "background", "daemon"]
"""Whether a run ``until: done`` waits for a task: always (foreground), never (background), or while
it does not wait for a completion itself (daemon)."""
