"""What the kernel refused to a workload."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that the kernel refused to a task, which went on.

    Attributes
    ----------
    at_ps, workload, cpu, task
        When, to whom and where.
    kind, detail
        What: a short name, and words.
    """

    at_ps: int
    workload: str
    cpu: int
    task: int
    kind: str
    detail: str
