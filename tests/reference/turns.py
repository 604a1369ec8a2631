"""When a virtual CPU runs, and its own clock, which stands still while it does not.

Section 10 of the page. Times of CPUs come in two kinds: instants, which are everybody's, and what a
CPU's own clock shows. That clock goes while the CPU runs and does not drop what it owes.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Drop:
    """Dropping everything when it next runs: what the CPU's clock shows then, and how long."""

    shows: int
    takes: int


@dataclass
class Turns:
    """The turns of one virtual CPU: of each period it has the slice that begins at the phase."""

    phase: int
    slice: int
    period: int
    drops: list[Drop] = field(default_factory=list)

    def run_by(self, instant: int) -> int:
        """Return for how long the CPU has run by an instant, since its last turn before 0."""
        turns, into = divmod(instant - self.phase + self.period, self.period)
        return turns * self.slice + min(into, self.slice)

    def reached(self, run: int) -> int:
        """Return the first instant by which it has run for so long."""
        turns, more = divmod(run, self.slice)
        if more == 0:
            turns, more = turns - 1, self.slice
        return turns * self.period + more + self.phase - self.period

    def is_frozen(self, instant: int) -> bool:
        """Whether it does not run."""
        return (instant - self.phase) % self.period >= self.slice

    def next_run(self, instant: int) -> int:
        """Return the first instant from this one on at which it runs."""
        if not self.is_frozen(instant):
            return instant
        return instant + self.period - (instant - self.phase) % self.period

    def run(self, start: int, ps: int) -> int:
        """Return when so much running time has passed: the page's run(c, x, w)."""
        return start if ps == 0 else self.reached(self.run_by(start) + ps)

    # -- the CPU's own clock -------------------------------------------------------------------

    def clock(self, instant: int) -> int:
        """Return what its clock shows at an instant."""
        shows = self.run_by(instant)
        for drop in self.drops:
            if shows <= drop.shows:
                break
            shows -= min(drop.takes, shows - drop.shows)
        return shows

    def when(self, shows: int) -> int:
        """Return the first instant at which its clock shows so much, as far as drops are known."""
        return self.reached(shows + sum(drop.takes for drop in self.drops if drop.shows < shows))

    def drops_from(self, instant: int, ps: int) -> None:
        """From an instant on, at which it begins to run, it drops everything for so long.

        If it was dropping everything when it froze, it begins with that anew.
        """
        last = self.drops[-1] if self.drops else None
        shows = self.clock(instant)
        if last is not None and last.shows == shows:
            begun = last.shows + sum(drop.takes for drop in self.drops[:-1])
            last.takes = self.run_by(instant) - begun + ps
        else:
            self.drops.append(Drop(shows, ps))


def always() -> Turns:
    """Return the turns of a CPU that always runs."""
    return Turns(0, 1, 1)
