"""How numbers of several runs are written: those of the mean run."""

from __future__ import annotations

from pmsim.formatting import number, time
from pmsim.simulation.answer.summary import Summary


def duration(summary: Summary) -> str:
    """Write how long a run is, and of how many runs it is the mean."""
    runs = summary.replications
    text = time(summary.duration_ps / runs)
    return text if runs == 1 else f"{text} (means of {runs:,} runs)"


def how_many(count: int, runs: int) -> str:
    """Write how many things there are in the mean run."""
    return f"{count:,}" if runs == 1 else number(count / runs)


def times(count: int, runs: int) -> str:
    """Write how often something happens in the mean run."""
    text = how_many(count, runs)
    return ("once" if text == "1" else f"{text} times") + (" a run" if runs > 1 else "")


def time_of(part_ps: int, whole_ps: int, runs: int) -> str:
    """Write how much of a time something is in the mean run; the whole where both read alike."""
    part, whole = time(part_ps / runs), time(whole_ps / runs)
    return whole if part == whole else f"{part} of {whole}"


def shootdowns_made(shootdowns: int, runs: int = 1) -> str:
    """Write how many shootdowns something made in the mean run."""
    number = how_many(shootdowns, runs) if shootdowns else "no"
    return f"{number} shootdown{'' if number in ('no', '1') else 's'}"


def is_over(summary: Summary) -> bool:
    """Return whether shootdowns stop for good, so that they have no rate that would go on."""
    runs = summary.transients
    return bool(runs) and all(one.verdict == "silent_from" for one in runs)
