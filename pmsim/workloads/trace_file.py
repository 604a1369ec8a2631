"""The file of a trace workload: reading it from CSV, with every fault by its row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from pmsim.errors import Fault, ScenarioError
from pmsim.inputs import read_whole, status
from pmsim.readers.formats import LOOKED_AT, trace_hint
from pmsim.units import MAX_TIME
from pmsim.workloads.program import OPS, Programs

MAX_BYTES = 64 << 20
"""The largest file that is read: some 4 million rows."""
MOST_FAULTS = 100
"""Bad rows that are reported; a file of another kind would have them without number."""

_SURE_DIGITS = len(str(MAX_TIME)) - 1
_WHOLE = re.compile(r"[+-]?[0-9]+")
_FEW_DIGITS = rf"[0-9]{{1,{_SURE_DIGITS}}}"
_WORDS = f"(?:{'|'.join(op.value for op in OPS)})"
_REQUIRED = ("cpu", "op", "arg")
_COLUMNS = (*_REQUIRED, "task")


_PLACES = {op.value: place for place, op in enumerate(OPS)}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file a row stands."""

    file: str
    line: int
    row: int

    def fault(self, code: str, message: str, hint: str = "") -> Fault:
        return Fault(self.file, self.line, 1, code, f"row {self.row}: {message}", hint)


def read_programs(path: Path, n_cpus: int | None = None) -> Programs:
    """Read the programs of all tasks from a CSV file.

    Parameters
    ----------
    path
        A file with the columns ``cpu,op,arg`` and optionally ``task``, in any order.
    n_cpus
        CPUs of the machine; `None` lets every number pass.

    Returns
    -------
    Mapping
        From (cpu, task), ascending, to the task's rows. A task is 0 where the file names none.

    Raises
    ------
    ScenarioError
        With every bad row (`MOST_FAULTS` at most), by its line and its number, the first row after
        the header being row 1; blank ones count.
    """
    try:
        state = status(path)
    except OSError as error:
        raise ScenarioError([_unreadable(path, error)]) from error
    # A scenario is checked, asked for its CPUs, and run: one reading of the same file is enough.
    return _programs(path, n_cpus, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _programs(path: Path, n_cpus: int | None, _modified: int, _size: int) -> Programs:
    text = _text(path)
    regular = _regular(text)
    if regular is not None and (n_cpus is None or all(cpu < n_cpus for cpu, _ in regular)):
        return regular
    return _checked(path, text, n_cpus)


def _regular(text: str) -> Programs | None:
    """Read a file in which every row is as plain as can be, which is as a rule, and much faster."""
    import numpy as np

    header, _, body = text.replace("\r\n", "\n").partition("\n")
    names = header.split(",")
    if len(set(names)) < len(names) or not set(_REQUIRED) <= set(names) <= set(_COLUMNS):
        return None
    row = ",".join(_WORDS if name == "op" else _FEW_DIGITS for name in names)
    if not re.fullmatch(rf"(?:{row}\n)*+(?:{row})?", body):
        return None
    for op, place in _PLACES.items():
        body = body.replace(op, str(place))
    if not body:
        return None  # a header alone
    numbers = np.fromstring(body.rstrip("\n").replace("\n", ","), np.int64, sep=",")
    cells = dict(zip(names, numbers.reshape(-1, len(names)).T, strict=True))
    tasks = cells.get("task", np.zeros(len(cells["cpu"]), dtype=np.int64))
    return Programs(cells["cpu"], tasks, cells["op"], cells["arg"])


def _checked(path: Path, text: str, n_cpus: int | None) -> Programs:
    """Read any file; raise `ScenarioError` with its faults."""
    import numpy as np

    rows = csv.reader(io.StringIO(text, newline=None), strict=True)
    read: list[tuple[int, int, int, int]] = []
    faults: list[Fault] = []
    try:
        columns = _header(str(path), next(rows, []))
        for place, cells in _numbered(str(path), rows):
            row, found = _parsed(place, cells, columns, n_cpus)
            faults += found
            if len(faults) >= MOST_FAULTS:
                break
            read.append(row)
    except csv.Error as error:
        faults.append(Fault(str(path), rows.line_num, 1, "bad-csv", f"this is no CSV: {error}"))
    if faults:
        raise ScenarioError(faults[:MOST_FAULTS])
    return Programs(*np.array(read, dtype=np.int64).reshape(-1, 4).T)


def _text(path: Path) -> str:
    try:
        content = read_whole(path, str(path), MAX_BYTES, "divide it by CPUs into several traces")
        hint = trace_hint(content[:LOOKED_AT])
        if hint:
            message = "this is no CSV file of steps"
            raise ScenarioError([Fault(str(path), 0, 0, "no-steps", message, hint)])
        # With the byte-order mark that spreadsheets write.
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ScenarioError([_unreadable(path, error)]) from error
    except UnicodeDecodeError as error:
        fault = Fault(str(path), 0, 0, "not-text", "this is not text (UTF-8)", "a CSV file is")
        raise ScenarioError([fault]) from error


def _unreadable(path: Path, error: OSError) -> Fault:
    reason = (error.strerror or str(error)).lower()
    return Fault(str(path), 0, 0, "unreadable", f"cannot read: {reason}")


def _header(file: str, cells: Sequence[str]) -> dict[str, int]:
    """Return where each column is; raise `ScenarioError` with all that is wrong with the header."""
    names = [cell.strip() for cell in cells]
    wanted = f"in the first line, parted by commas: {','.join(_REQUIRED)} and optionally task"
    if not set(names) & set(_COLUMNS):
        message = "the columns have no names"
        raise ScenarioError([Fault(file, 1, 1, "missing-column", message, wanted)])
    faults = []
    for name in sorted(set(names) - set(_COLUMNS), key=names.index):
        near = get_close_matches(name, _COLUMNS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"columns: {', '.join(_COLUMNS)}"
        faults.append(Fault(file, 1, 1, "unknown-column", f"there is no column '{name}'", hint))
    for name in _REQUIRED:
        if name not in names:
            faults.append(Fault(file, 1, 1, "missing-column", f"no column '{name}'", wanted))
    for name in _COLUMNS:
        if names.count(name) > 1:
            faults.append(Fault(file, 1, 1, "duplicate-column", f"column '{name}' stands twice"))
    if faults:
        raise ScenarioError(faults)
    return {name: names.index(name) for name in names}


def _numbered(file: str, rows: Iterator[list[str]]) -> Iterator[tuple[_Place, list[str]]]:
    """Yield the rows that are not blank, with their place."""
    for number, cells in enumerate(rows, start=1):
        if any(cell.strip() for cell in cells):
            yield _Place(file, rows.line_num, number), cells  # type: ignore[attr-defined]


def _parsed(
    place: _Place, cells: Sequence[str], columns: Mapping[str, int], n_cpus: int | None
) -> tuple[tuple[int, int, int, int], list[Fault]]:
    """Return CPU, task, op and argument of a row, and what is wrong (then they mean nothing)."""
    if len(cells) != len(columns):
        fault = place.fault(
            "bad-row", f"{len(cells)} values where the header names {len(columns)} columns"
        )
        return (0, 0, 0, 0), [fault]
    faults: list[Fault] = []
    given = {name: cells[at].strip() for name, at in columns.items()}
    cpu = _whole(place, "cpu", given["cpu"], faults)
    task = _whole(place, "task", given.get("task", "0"), faults)
    arg = _whole(place, "arg", given["arg"], faults)
    if n_cpus is not None and cpu >= n_cpus:
        hint = f"the machine has {n_cpus}, numbered 0 to {n_cpus - 1}"
        faults.append(place.fault("cpu-out-of-range", f"there is no CPU {cpu}", hint))
    op = _PLACES.get(given["op"])
    if op is None:
        near = get_close_matches(given["op"], _PLACES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"ops: {', '.join(_PLACES)}"
        faults.append(place.fault("unknown-op", f"there is no op '{given['op']}'", hint))
    return (cpu, task, op or 0, arg), faults


def _whole(place: _Place, name: str, text: str, faults: list[Fault]) -> int:
    """Return a whole number that is not negative, or 0 and a fault."""
    if len(text) <= _SURE_DIGITS and text.isascii() and text.isdigit():
        return int(text)  # nearly every cell of a long file
    # The length keeps hostile digits away from int().
    if len(text) > 30 or not _WHOLE.fullmatch(text):
        faults.append(
            place.fault("not-whole", f"{name} is '{text[:30]}', not a whole number", "such as 250")
        )
        return 0
    value = int(text)
    if value < 0:
        faults.append(place.fault("negative", f"{name} is {value}, and cannot be negative"))
    elif value > MAX_TIME:
        faults.append(place.fault("absurd", f"{name} is {value}, more than 2^63 - 1"))
    else:
        return value
    return 0
