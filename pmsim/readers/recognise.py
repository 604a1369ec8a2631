"""What a file is, by what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.readers.formats import LOOKED_AT, Format, format_of
from pmsim.readers.stream import TextStream


@dataclass(frozen=True, slots=True)
class _Binary:
    """A file that a tool has to turn into text first."""

    magic: bytes
    what: str
    hint: str


_BINARIES: Final = (
    _Binary(b"\x17\x08\x44tracing", "a trace of trace-cmd", "trace-cmd report FILE > trace.txt"),
    _Binary(b"PERFILE2", "a recording of perf", "perf script -i FILE > trace.txt"),
    _Binary(b"PAR1", "a table of a result (Parquet)", "pmsim report reads its directory"),
    _Binary(b"\x7fELF", "a program", ""),
)
"""``TRACECMD_MAGIC`` and ``PERF_MAGIC``, and what else is met."""

ASKED_FOR: Final = (
    "pmsim import reads a kernel trace as text (the file trace of ftrace, trace-cmd report, perf"
    " script), /proc/interrupts, /proc/vmallocinfo, lscpu with or without -J, a directory such as"
    " /sys/devices/system/cpu, and what perf stat prints; packed by gzip or zstd or not"
)
"""What would be right where a file is none of these."""

_SCENARIO: Final = re.compile(
    rb"\A(?:[ \t]*(?:#.*)?\n)*(?:pmsim|name|description|machine|kernel|duration|workloads)[ \t]*:"
)


def recognised(path: Path) -> Format:
    """Return what a file is, or a directory.

    Raises
    ------
    ScenarioError
        If it is none of what can be read; the fault says what it looks like, and what would be
        right.
    """
    if path.is_dir():
        if list(path.glob("cpu[0-9]*/topology")):
            return Format.SYSFS
        raise _unknown(path, "this directory has no cpu0/topology", ASKED_FOR)
    head = TextStream(path).head(LOOKED_AT)
    found = format_of(head)
    if found is not None:
        return found
    if not head.strip():
        raise _unknown(path, "the file is empty", ASKED_FOR)
    for one in _BINARIES:
        if head.startswith(one.magic):
            hint = f"{one.hint}, and import that" if one.hint.endswith("txt") else one.hint
            raise _unknown(path, f"this is {one.what}, not text", hint or ASKED_FOR)
    if b"\x00" in head:
        raise _unknown(path, "this is a binary file, not text", ASKED_FOR)
    if _SCENARIO.search(head):
        raise _unknown(path, "this is a scenario", f"pmsim run {path}")
    raise _unknown(path, "this is nothing that can be imported", ASKED_FOR)


def _unknown(path: Path, message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault(str(path), 0, 0, "unknown-format", message, hint)])
