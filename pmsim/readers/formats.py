"""Formats of files of the kernel and its tools, and how each begins."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

LOOKED_AT: Final = 1 << 16
"""Bytes from the beginning that tell what a file is."""

MOST_CPUS: Final = 8192
"""CPUs that the largest kernel can be built for (``NR_CPUS_RANGE_END``, arch/x86/Kconfig)."""

LINE: Final = re.compile(
    rb"^ *(\S.*?)[- ] *(\d+)(?:/\d+)? +(?:\([ \d-]+\) +)?\[(\d+)\] +(?:([^\d\s]\S*) +)?"
    rb"(\d+)(?:\.(\d+))?: +(?:\d+ +)?(?:[\w-]+:)?(\w+): ?(.*)$",
    re.MULTILINE,
)
"""Name, number, CPU, flags, seconds, fraction, event and rest of a line."""


class Format(Enum):
    """A format that can be read; the value is what people call it."""

    FTRACE = "a kernel trace (ftrace text)"
    TRACE_CMD = "a kernel trace (trace-cmd report)"
    PERF_SCRIPT = "a kernel trace (perf script)"
    INTERRUPTS = "counts of interrupts (/proc/interrupts)"
    VMALLOCINFO = "areas of the kernel's address space (/proc/vmallocinfo)"
    LSCPU = "a machine (lscpu)"
    LSCPU_JSON = "a machine (lscpu -J)"
    SYSFS = "a machine (/sys/devices/system/cpu)"
    PERF_STAT = "counts of events (perf stat)"


TRACES: Final = (Format.FTRACE, Format.TRACE_CMD, Format.PERF_SCRIPT)

_PERF_LINE: Final = re.compile(
    rb"^ *\S.*? +\d+(?:/\d+)? +\[\d+\] .*?: +(?:\d+ +)?[\w-]+:\w+:", re.M
)
_SHOWN_LINES: Final = 200
_TRACE_CMD: Final = re.compile(rb"^(?:cpus|version)\s*=\s*\d+", re.MULTILINE)
_TESTS: Final = {
    Format.INTERRUPTS: re.compile(rb"\A\s*CPU\d+(?:\s+CPU\d+)*\s*\n\s*\w+:\s*\d"),
    Format.VMALLOCINFO: re.compile(rb"\A(?:0x)?[0-9a-f]{8,16}-(?:0x)?[0-9a-f]{8,16} +\d+ "),
    Format.LSCPU_JSON: re.compile(rb'\A\s*\{\s*"lscpu"\s*:'),
    Format.LSCPU: re.compile(rb"\AArchitecture: +\S|^(?:CPU\(s\): +\d+|Socket\(s\): +\d+)$", re.M),
    Format.PERF_STAT: re.compile(
        rb"^ *(?:Performance counter stats for |[\d.]+ +seconds time elapsed)"
        rb"|^# +time +(?:\w+ +)?(?:cpus +)?counts unit events"  # -I
        rb'|^\{[^\n]*"counter-value" *:'  # -j
        rb"|^(?:[^\n#]{0,60}[,;\t|])?(?:\d+(?:\.\d+)?|<not \w+>)(?P<by>[,;\t|])[A-Za-z%/]*"
        rb"(?P=by)[A-Za-z][\w.:/=-]*(?P=by)(?:[\d.]+%(?P=by))?\d+(?P=by)[\d.]+(?:$|(?P=by))",  # -x
        re.M,
    ),
}
"""What each looks like that has a beginning of its own."""


def format_of(head: bytes) -> Format | None:
    """Return what begins like this, unpacked; None for what is nothing of all that."""
    for format_, test in _TESTS.items():
        if test.search(head):
            return format_
    lines = b"\n".join(head.split(b"\n")[:_SHOWN_LINES])
    if not LINE.search(lines):
        return None
    if _PERF_LINE.search(lines):
        return Format.PERF_SCRIPT
    return Format.TRACE_CMD if _TRACE_CMD.search(lines) else Format.FTRACE


def trace_hint(head: bytes) -> str:
    """Return what to do with a trace that was given for something else; empty for other files."""
    found = format_of(head)
    return "" if found is None else f"this is {found.value}: pmsim import reads it"
