"""The file of a replay: calls of the kernel at instants, read with every fault by its row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Final

from pmsim.cpulist import cpus_of
from pmsim.errors import CpuListError, Fault, ScenarioError
from pmsim.inputs import read_whole, status
from pmsim.readers.formats import LOOKED_AT, trace_hint
from pmsim.units import MAX_TIME
from pmsim.workloads.keys import MOST_BYTES
from pmsim.workloads.trace_file import MOST_FAULTS

MAX_BYTES: Final = 256 << 20
"""The largest file that is read: some 8 million calls."""
COLUMNS: Final = ("at_ps", "cpu", "op", "area", "first", "pages", "cpus")
"""The first line of a file."""
MOST_PAGES: Final = MOST_BYTES >> 12


class CallOp(Enum):
    """What a row asks of the kernel; the value is the word in the file."""

    VMALLOC = "vmalloc"
    MODULE_ALLOC = "module_alloc"
    VFREE = "vfree"
    SET_MEMORY_RO = "set_memory_ro"
    SET_MEMORY_RW = "set_memory_rw"
    SET_MEMORY_X = "set_memory_x"
    SET_MEMORY_NX = "set_memory_nx"
    SET_MEMORY_ROX = "set_memory_rox"
    VM_UNMAP_ALIASES = "vm_unmap_aliases"
    FLUSH_TLB_ALL = "flush_tlb_all"
    FLUSH_TLB_KERNEL_RANGE = "flush_tlb_kernel_range"
    FLUSH_TLB_MM = "flush_tlb_mm"
    CALL = "call"
    TEXT_POKE = "text_poke"
    BUSY = "busy"
    IDLE = "idle"


ALLOCATES: Final = frozenset({CallOp.VMALLOC, CallOp.MODULE_ALLOC})
CHANGES: Final = frozenset(op for op in CallOp if op.value.startswith("set_memory"))
STATES: Final = frozenset({CallOp.BUSY, CallOp.IDLE})
"""Ops that ask for nothing, but say what a CPU does between calls from then on."""
TELLS: Final = frozenset({CallOp.FLUSH_TLB_MM, CallOp.CALL})
"""Ops that name the CPUs that are told."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call.

    Attributes
    ----------
    at_ps
        When, from the start of the replay; None: before it, as what was there already.
    cpu
        Where.
    op
        What.
    area
        The number of the area that it is about.
    first, pages
        Its first page within the area, and how many; 0 pages of a flush of a process: all.
    cpus
        CPUs that are told.
    """

    at_ps: int | None
    cpu: int
    op: CallOp
    area: int = 0
    first: int = 0
    pages: int = 0
    cpus: tuple[int, ...] = ()


def read_calls(path: Path, n_cpus: int) -> tuple[CallRow, ...]:
    """Read the calls of a replay in order of their instants, those of before the start first.

    Raises
    ------
    ScenarioError
        With every bad row (`MOST_FAULTS` at most): what is no number, CPUs that the machine lacks,
        areas that are used before they are allocated, after they are freed, or beyond their end.
    """
    try:
        state = status(path)
    except OSError as error:
        raise ScenarioError([_unreadable(path, error)]) from error
    # A scenario is checked, asked for its CPUs, and run: one reading of the same file is enough.
    return _calls(path, n_cpus, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _calls(path: Path, n_cpus: int, _modified: int, _size: int) -> tuple[CallRow, ...]:
    rows = csv.reader(io.StringIO(_text(path), newline=None), strict=True)
    faults: list[Fault] = []
    read: list[tuple[int, CallRow]] = []
    try:
        _check_head(path, next(rows, []))
        for number, cells in enumerate(rows, start=2):
            if not cells:
                continue
            try:
                read.append((number, _parsed(cells, n_cpus)))
            except _RowError as error:
                faults.append(Fault(str(path), number, 1, error.code, str(error), error.hint))
            if len(faults) >= MOST_FAULTS:
                break
    except csv.Error as error:
        faults.append(Fault(str(path), rows.line_num, 1, "bad-csv", f"this is no CSV: {error}"))
    read.sort(key=lambda one: -1 if one[1].at_ps is None else one[1].at_ps)  # stable
    faults += _misused(path, read)
    if faults:
        raise ScenarioError(faults[:MOST_FAULTS])
    return tuple(row for _, row in read)


class _RowError(Exception):
    """What is wrong with a row."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def _parsed(cells: list[str], n_cpus: int) -> CallRow:
    if len(cells) != len(COLUMNS):
        message = f"{len(cells)} values where the header names {len(COLUMNS)} columns"
        raise _RowError("bad-row", message)
    given = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
    op = _OPS.get(given["op"])
    if op is None:
        raise _RowError("unknown-op", f"there is no op '{given['op']}'", f"ops: {', '.join(_OPS)}")
    cpu = _whole(given, "cpu", MAX_TIME)
    if cpu >= n_cpus:
        hint = f"the machine has {n_cpus}, numbered 0 to {n_cpus - 1}"
        raise _RowError("cpu-out-of-range", f"there is no CPU {cpu}", hint)
    try:
        told = cpus_of(given["cpus"], n_cpus) if given["cpus"] else ()
    except CpuListError as error:
        raise _RowError(error.code, error.message, error.hint) from error
    if cpu in told:
        raise _RowError("bad-row", f"CPU {cpu} tells itself", "name the others alone")
    row = CallRow(
        None if given["at_ps"] == "" else _whole(given, "at_ps", MAX_TIME),
        cpu,
        op,
        _whole(given, "area", MAX_TIME),
        _whole(given, "first", MOST_PAGES),
        _whole(given, "pages", MOST_PAGES),
        told,
    )
    if op in ALLOCATES and not row.pages:
        raise _RowError("bad-row", f"{op.value} of no pages", "at least 1")
    if op is CallOp.CALL and not told:
        raise _RowError("bad-row", "a call of no CPU", "cpus names who is called")
    return row


def _whole(given: Mapping[str, str], name: str, most: int) -> int:
    """Return a whole number that is not negative, 0 where there is none."""
    text = given[name]
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise _RowError("not-whole", f"{name} is '{text[:30]}', not a whole number", "such as 250")
    if len(text) > len(str(most)) or int(text) > most:
        raise _RowError("absurd", f"{name} is {text[:30]}, more than {most:,}")
    return int(text)


def _misused(path: Path, rows: list[tuple[int, CallRow]]) -> Iterator[Fault]:
    """Yield the faults of rows that use areas which are not there then."""
    live: dict[int, int] = {}
    known: set[int] = set()
    for number, row in rows:
        message = ""
        if row.op in ALLOCATES:
            if row.area in known:
                message = f"area {row.area} was allocated before"
            live[row.area] = row.pages
            known.add(row.area)
        elif row.op is CallOp.VFREE or row.op in CHANGES:
            size = live.get(row.area)
            if size is None:
                when = "is freed already" if row.area in known else "was never allocated"
                message = f"area {row.area} {when} then"
            elif row.op is CallOp.VFREE:
                del live[row.area]
            elif row.first + row.pages > size:
                message = f"area {row.area} has {size} pages, not {row.first + row.pages}"
        if message:
            yield Fault(str(path), number, 1, "bad-area", message)


_OPS: Final = {op.value: op for op in CallOp}


def _check_head(path: Path, cells: list[str]) -> None:
    if tuple(cell.strip() for cell in cells) != COLUMNS:
        hint = f"the first line is {','.join(COLUMNS)}; pmsim import writes such files"
        fault = Fault(str(path), 1, 1, "bad-header", "this is no file of calls", hint)
        raise ScenarioError([fault])


def _text(path: Path) -> str:
    try:
        content = read_whole(path, str(path), MAX_BYTES, "import a part of the trace")
        hint = trace_hint(content[:LOOKED_AT])
        if hint:
            fault = Fault(str(path), 0, 0, "no-calls", "this is no file of calls", hint)
            raise ScenarioError([fault])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ScenarioError([_unreadable(path, error)]) from error
    except UnicodeDecodeError as error:
        fault = Fault(str(path), 0, 0, "not-text", "this is not text (UTF-8)", "a CSV file is")
        raise ScenarioError([fault]) from error


def _unreadable(path: Path, error: OSError) -> Fault:
    return Fault(str(path), 0, 0, "unreadable", f"cannot read: {(error.strerror or '').lower()}")
