"""How often ``perf stat`` counted each event, and in how much time: its text, ``-x``, ``-j``.

Text has a line for each event, with ``-I`` a time in front. With ``-x SEP`` the fields of a line
are the counter's value, its unit, the event, how long it ran (ns) and which part of the time,
behind those that ``-I`` (seconds), ``-A`` (``CPU0``), ``--per-socket`` and their like (``S0``, its
CPUs) or ``--per-thread`` put in front (tools/perf/Documentation/perf-stat.txt, *CSV FORMAT*); with
``-j`` a line is an object with the same under names (*JSON FORMAT*).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pmsim.readers.text import text_of

_LINE: Final = re.compile(
    r"^(?:\s*(\d+\.\d{6,9})(?=\s))?\s*(?:\S*?CPU(\d+))?\s*"
    r"(<not counted>|<not supported>|\d[\d,.'\u202f ]*\d|\d)"
    r"(?:\s+(ns|msec|s))?\s+([A-Za-z][\w.-]*(?::[\w.-]+)*(?:/[^/\s]*/\w*)?)(?:\s|$)"
)
"""Time (``-I``), CPU (``-A``), number, unit of a time, and event."""
_ELAPSED: Final = re.compile(r"^\s*([\d.,]+)\s+seconds time elapsed", re.MULTILINE)
_SEPARATORS: Final = ",;\t|"
"""What people write behind ``-x``; others are not looked for."""
_VALUE: Final = re.compile(r"\d+(?:\.\d+)?|<not counted>|<not supported>")
_UNIT: Final = re.compile(r"[A-Za-z%/]*")
_EVENT: Final = re.compile(r"[A-Za-z][\w.:/=-]*")
_CPU: Final = re.compile(r"CPU(\d+)")
_SECONDS: Final = re.compile(r"\d+\.\d{6,9}")
_RAN: Final = re.compile(r"\d+")


@dataclass(slots=True)
class PerfStat:
    """What was counted.

    Attributes
    ----------
    counts
        By event and CPU (`None`: of all).
    seconds
        Time that they are of, if told.
    uncounted
        Events that perf could not count, with what it says of each.
    """

    counts: dict[tuple[str, int | None], int] = field(default_factory=dict)
    seconds: float | None = None
    uncounted: dict[str, str] = field(default_factory=dict)

    def add(self, value: str, event: str, cpu: int | None, seconds: str | None) -> None:
        """Add what a line says; values with a unit of time are left aside by who reads them."""
        if seconds is not None:
            self.seconds = max(self.seconds or 0.0, float(seconds))
        if value.startswith("<"):
            self.uncounted[event] = value.strip("<>")
        else:
            self.counts[event, cpu] = self.counts.get((event, cpu), 0) + int(float(value))


def read_perfstat(path: Path) -> PerfStat:
    """Read it; lines without a number and a name are left aside, and so are events of time.

    Raises
    ------
    ScenarioError
        If it cannot be read.
    """
    text = text_of(path)
    lines = text.splitlines()
    found = PerfStat()
    separator = separator_of(lines)
    for line in lines:
        if line.lstrip().startswith("{"):
            _add_object(found, line)
        elif separator is not None:
            _add_fields(found, line.split(separator))
        elif "seconds" not in line:
            _add_text(found, line)
    elapsed = _ELAPSED.search(text)
    if elapsed:
        found.seconds = float(elapsed[1].replace(",", "."))
    for event in {event for event, _ in found.counts} & found.uncounted.keys():
        del found.uncounted[event]
    return found


def separator_of(lines: Sequence[str]) -> str | None:
    """Return what parts the fields of the first line that ``-x`` writes; None where none is one."""
    for line in lines:
        for one in _SEPARATORS:
            if one in line and _place(line.split(one)) is not None:
                return one
    return None


def _place(fields: Sequence[str]) -> int | None:
    """Return which field holds the counter's value; None in other lines."""
    for at in range(len(fields) - 3):
        value, unit, event, *_ = fields[at:]
        if (
            _VALUE.fullmatch(value)
            and _UNIT.fullmatch(unit)
            and _EVENT.fullmatch(event)
            and any(_RAN.fullmatch(ran) for ran in fields[at + 3 : at + 5])
        ):
            return at
    return None


def _add_fields(found: PerfStat, fields: Sequence[str]) -> None:
    fields = [one.strip() for one in fields]
    at = _place(fields)
    if at is None:
        return
    value, unit, event = fields[at : at + 3]
    before = fields[:at]
    cpu = next((int(one[1]) for one in map(_CPU.fullmatch, before) if one), None)
    seconds = before[0] if before and _SECONDS.fullmatch(before[0]) else None
    _add(found, value, unit, event, cpu, seconds)


def _add_object(found: PerfStat, line: str) -> None:
    try:
        entry = json.loads(line)
    except ValueError:
        return
    if not isinstance(entry, Mapping) or not {"counter-value", "event"} <= entry.keys():
        return
    value, event = str(entry["counter-value"]), str(entry["event"])
    cpu = str(entry.get("cpu", ""))
    interval = entry.get("interval")
    if _VALUE.fullmatch(value) and _EVENT.fullmatch(event):
        seconds = f"{interval:.9f}" if isinstance(interval, float) else None
        unit = str(entry.get("unit", ""))
        _add(found, value, unit, event, int(cpu) if cpu.isdigit() else None, seconds)


def _add(
    found: PerfStat, value: str, unit: str, event: str, cpu: int | None, seconds: str | None
) -> None:
    if event != "duration_time":
        if unit not in _TIMES:
            found.add(value, event, cpu, seconds)
    elif not value.startswith("<"):
        found.seconds = (found.seconds or 0.0) + float(value) * _TIMES.get(unit, 1e-9)


_TIMES: Final = {"ns": 1e-9, "msec": 1e-3, "s": 1.0}
"""Units of events that are times (task-clock, duration_time), and their seconds."""


def _add_text(found: PerfStat, line: str) -> None:
    match = _LINE.match(line)
    if match is None:
        return
    value = re.sub(r"[,'\u202f ](?=\d)", "", match[3])
    if value.isdigit() or value.startswith("<"):
        cpu = None if match[2] is None else int(match[2])
        _add(found, value, match[4] or "", match[5], cpu, match[1])
