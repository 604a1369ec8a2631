"""What has become of one shootdown that is made of several primitives, and its row in the log.

The primitives are those of a protocol that is not pmsim's own (`own_task`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout

if TYPE_CHECKING:
    from pmsim.hardware.call_data import Unwaited
    from pmsim.units import CpuId

What = tuple[int, int, int, int]
"""What the row of a shootdown says of it: kind, cause, operation and pages."""


@dataclass(slots=True)
class Told:
    """What has become of one shootdown so far.

    Attributes
    ----------
    dropped
        When each CPU had dropped it, the initiator's too; the last time, if it was told again.
    deferred
        The CPUs that drop it later.
    closed_ps
        From when on none of the former ran code that could use it.
    acks, rows
        The last acknowledgement of each target; and the rows of its primitives.
    note
        The number of what was written into the ring of its CPU.
    number
        By which it is known what was put off; `layout.NONE` where nothing was.
    unwaited
        The calls that nobody waits for, target by target.
    """

    dropped: dict[int, int] = field(default_factory=dict)
    deferred: list[int] = field(default_factory=list)
    closed_ps: int = 0
    acks: dict[int, int] = field(default_factory=dict)
    rows: list[list[int]] = field(default_factory=list)
    number: int = layout.NONE
    note: int = layout.NONE
    unwaited: list[Unwaited] = field(default_factory=list)

    def has_dropped(self, at: Mapping[int, int]) -> None:
        """Note when CPUs have dropped it; a function that was acknowledged early may end later."""
        for cpu, instant in at.items():
            self.dropped[cpu] = max(self.dropped.get(cpu, 0), instant)

    def has_run(self, one: Unwaited) -> None:
        """Note that a target of a call that nobody waits for has run its function."""
        assert one.gone_ps is not None
        assert one.given_back_ps is not None
        self.has_dropped({one.cpu: one.gone_ps})
        self.acks[one.cpu] = max(self.acks.get(one.cpu, 0), one.given_back_ps)

    def not_run(self, now: int) -> list[Unwaited]:
        """Return the calls that nobody waits for whose targets have not dropped it by now."""
        dropped = self.dropped
        return [one for one in self.unwaited if not dropped.get(one.cpu, now + 1) <= now]

    def row(self, cpu: CpuId, start: int, end: int, what: What) -> npt.NDArray[np.int64]:
        """Return the row of the log, all over: its parts are those of its primitives.

        What they leave is the initiator's own work. Whose task it was, by which protocol, and what
        it is to wait for are left open.
        """
        row = np.zeros(layout.LOG_ROW, dtype=np.int64)
        parts = slice(layout.L_QUEUE, layout.L_RESUME + 1)
        if self.rows:
            rows = np.array(self.rows)
            longest = rows[np.argmax(rows[:, layout.L_END] - rows[:, layout.L_START])]
            row[:] = longest
            row[parts] = rows[:, parts].sum(axis=0)
            row[layout.L_INVALIDATIONS] = rows[:, layout.L_INVALIDATIONS].sum()
        else:
            row[[layout.L_SLOWEST_CPU, layout.L_SLOWEST_REASON]] = layout.NONE, layout.R_LOCAL
        row[layout.L_LOCAL] += end - start - int(row[parts].sum())
        row[[layout.L_CPU, layout.L_START, layout.L_END]] = cpu, start, end
        row[[layout.L_KIND, layout.L_CAUSE, layout.L_OPERATION, layout.L_PAGES]] = what
        called = {one.cpu for one in self.unwaited}
        row[layout.L_TARGETS] = len((self.dropped.keys() | called) - {cpu})
        row[layout.L_GONE] = max(self.dropped.values(), default=layout.NONE)
        row[layout.L_LEFT_OUT] = len(self.deferred)
        return row
