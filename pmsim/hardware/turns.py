"""When virtual CPUs run, for arrays of instants: what `passes.turns` is for single ones.

Normative source: machine-model page, section 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout

if TYPE_CHECKING:
    from pmsim.hardware.fabric import Fabric

Ints = npt.NDArray[np.int64]


class Turns:
    """The turns of a machine's CPUs; where all run all the time, running time is time.

    Parameters
    ----------
    fabric
        Of the machine.
    """

    def __init__(self, fabric: Fabric) -> None:
        state = fabric.state
        rows = layout.HEADER + layout.CPU_WORDS * np.arange(fabric.n_cpus)
        self._slice, self._period = int(state[layout.SLICE]), int(state[layout.PERIOD])
        self._phases: Ints = state[rows + layout.PHASE].copy()

    def run_by(self, cpu: Ints, time: Ints) -> Ints:
        """Return for how long CPUs have run by instants, since their last turns before 0."""
        if self._period == 0:
            return time
        turns, into = np.divmod(time - self._phases[cpu] + self._period, self._period)
        ran: Ints = turns * self._slice + np.minimum(into, self._slice)
        return ran

    def frozen(self, cpu: Ints, since: Ints, until: Ints) -> Ints:
        """Return for how long CPUs did not run between two instants."""
        return until - since - (self.run_by(cpu, until) - self.run_by(cpu, since))

    def reached(self, cpu: Ints, run: Ints) -> Ints:
        """Return the first instants by which CPUs have run for so long."""
        if self._period == 0:
            return run
        turns, more = np.divmod(run - 1, self._slice)
        at: Ints = (turns - 1) * self._period + more + 1 + self._phases[cpu]
        return at

    def run_from(self, cpu: Ints, start: Ints, length: Ints) -> Ints:
        """Return when CPUs have run for so long from instants on."""
        if self._period == 0:
            return start + length
        return np.where(length > 0, self.reached(cpu, self.run_by(cpu, start) + length), start)

    def next_run(self, cpu: Ints, time: int) -> Ints:
        """Return the first instants from one on at which CPUs run."""
        into: Ints = (time - self._phases[cpu]) % self._period
        return np.where(into < self._slice, time, time + self._period - into)
