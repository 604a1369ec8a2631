"""Measured figures: each a row with its source, and what it may be used for."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Final, Literal, get_args

from pmsim.errors import Fault, ScenarioError
from pmsim.inputs import read_whole
from pmsim.reproduction.arithmetic import evaluate, names_in

Use = Literal["calibrate", "predict"]
Split = Literal["calibrate", "predict", "unused"]
PUBLISHED: Final = "published"
"""The table of what others have measured and published."""
MOST_BYTES: Final = 1 << 24
"""The largest table that is read, in bytes."""
_NEEDED: Final = ("id", "value", "split")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured figure.

    Attributes
    ----------
    id
        What descriptions call it.
    value, unit
        As the source has them.
    split
        Whether it may be fitted, is to be predicted, or is used for nothing.
    source
        Where it was read.
    note
        What is to be known of it.
    """

    id: str
    value: float
    unit: str
    split: Split
    source: str
    note: str


class Measurements:
    """A table of measured figures.

    Parameters
    ----------
    rows
        By their ids.
    """

    def __init__(self, rows: Mapping[str, Measured]) -> None:
        self.rows = rows

    def value(self, expression: str) -> float:
        """Return what a sum of rows comes to; raise `ValueError` or `KeyError` if it is none."""
        names = names_in(expression)
        return evaluate(expression, {name: self.rows[name].value for name in names})

    def use(self, expression: str) -> Use | None:
        """Return what a sum of rows may be used for; `None` where it reads no row.

        It may be fitted only if every one of its rows may.

        Raises
        ------
        ValueError
            If a row does not exist or is used for nothing.
        """
        names = names_in(expression)
        for name in names:
            if name not in self.rows:
                raise ValueError(f"there is no measurement '{name}'")
            if self.rows[name].split == "unused":
                raise ValueError(f"measurement {name} is marked as unused")
        if not names:
            return None
        fitted = all(self.rows[name].split == "calibrate" for name in names)
        return "calibrate" if fitted else "predict"


def shipped_measurements(name: str = PUBLISHED) -> Measurements | None:
    """Return a table of measurements that pmsim ships, `None` if there is none of that name."""
    table = resources.files("pmsim") / "data" / "measurements" / f"{name}.csv"
    if not name.isidentifier() or not table.is_file():
        return None
    return _read(table.read_text(encoding="utf-8"), table.name)


def measurements_of(path: Path) -> Measurements:
    """Return the measurements of a user's own table: CSV with the columns id, value and split.

    Raises
    ------
    ScenarioError
        With every fault of the file.
    """
    name = str(path)
    try:
        text = read_whole(path, name, MOST_BYTES, "leave out what is not used").decode("utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError([Fault(name, 0, 0, "no-such-file", "there is no such file")]) from None
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"the file cannot be read: {reason}"
        raise ScenarioError([Fault(name, 0, 0, "unreadable", message)]) from None
    except UnicodeDecodeError:
        message = "the file is not UTF-8"
        raise ScenarioError([Fault(name, 0, 0, "not-utf8", message)]) from None
    return _read(text, name)


def _read(text: str, file: str) -> Measurements:
    lines = csv.DictReader(StringIO(text))
    lacking = [name for name in _NEEDED if name not in (lines.fieldnames or ())]
    if lacking:
        message = f"the column '{lacking[0]}' is missing"
        hint = f"a table of measurements has the columns {', '.join(_NEEDED)}"
        raise ScenarioError([Fault(file, 1, 1, "missing-column", message, hint)])
    rows: dict[str, Measured] = {}
    faults: list[Fault] = []
    for fields in lines:
        try:
            row = _row(fields, rows)
        except ValueError as error:
            faults.append(Fault(file, lines.line_num, 1, "bad-value", str(error)))
        else:
            rows[row.id] = row
    if faults:
        raise ScenarioError(faults)
    return Measurements(rows)


def _row(fields: Mapping[str, str | None], known: Mapping[str, Measured]) -> Measured:
    name = fields["id"] or ""
    if not name.isidentifier():
        raise ValueError(f"'{name}' is no id: letters, digits and _, no digit first")
    if name in known:
        raise ValueError(f"the id '{name}' stands here a second time")
    try:
        value = evaluate(fields["value"] or "", {})
    except (ValueError, KeyError):
        raise ValueError(f"'{fields['value']}' is no number") from None
    split = fields["split"] or ""
    for one in get_args(Split):
        if one == split:
            text = {key: fields.get(key) or "" for key in ("unit", "source", "note")}
            return Measured(name, value, text["unit"], one, text["source"], text["note"])
    raise ValueError(f"'{split}' is not one of: {', '.join(get_args(Split))}")
