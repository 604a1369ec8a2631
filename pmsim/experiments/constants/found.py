"""What a sensitivity found, as it lies on disk: on which constants a figure hangs, and how far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final
from weakref import finalize

from pmsim import formatting
from pmsim.errors import ResultError
from pmsim.experiments.directory import read_manifest
from pmsim.formatting import from_to, written
from pmsim.record import Record
from pmsim.simulation.answer.metrics import metric_of
from pmsim.simulation.result.manifest import write_json
from pmsim.simulation.result.place import writing
from pmsim.simulation.result.rows import put_whole

if TYPE_CHECKING:
    import pandas as pd

FOUND: Final = "sensitivity.json"
"""The file that makes a directory a sensitivity, and is its last."""
SCREENING: Final = "screening"
"""The directory of the sweep that comes first."""
TABLE: Final = "sensitivity.csv"
"""The file with the same constants for other programs."""
MOST_NAMED: Final = 3
"""Constants that are named, those with the largest indices."""
ENOUGH: Final = 0.8
"""When so much of the spread is said, the rest is not."""
LITTLE: Final = 0.05
"""A constant with a smaller index is not spoken of."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundConstant(Record):
    """One constant whose value is open, and what the figure does when it changes."""

    name: Annotated[str, "Its keys below the machine's costs."]
    value: Annotated[str, "As it stands in a file."]
    low: Annotated[str, "Lower end of the range in which the truth may lie."]
    high: Annotated[str, "Its upper end."]
    basis: Annotated[str, "What it rests on; empty: not said."]
    source: Annotated[str, "Where it comes from; empty where nobody says."]
    effect: Annotated[float, "Morris' mean absolute effect of the whole range on the figure."]
    effect_half: Annotated[float, "Half the length of its 95 % interval."]
    interplay: Annotated[float, "Deviation of the effects: how much they hang on other constants."]
    first: Annotated[
        float | None, "Sobol' index: its share of the spread, alone; none: it matters too little."
    ] = None
    first_half: Annotated[float | None, "Half the length of its 95 % interval."] = None
    total: Annotated[float | None, "The same with all that it does together with others."] = None
    total_half: Annotated[float | None, "Half the length of its 95 % interval."] = None
    at_low: Annotated[float | None, "The figure at the lower end, all others as they are."] = None
    at_high: Annotated[float | None, "The figure at the upper end, all others as they are."] = None

    @property
    def said(self) -> str:
        """What it is, rests on and may be, as an answer says it."""
        between = from_to(written(self.low), written(self.high))
        return f"{self.name} = {written(self.value)} ({self.basis or 'no source'}, {between})"


@dataclass(frozen=True, slots=True, eq=False)
class Found(Record):
    """What a sensitivity found."""

    name: Annotated[str, "The scenario's name."]
    description: Annotated[str, "What it asks."]
    machine: Annotated[str, "The machine."]
    kernel: Annotated[str, "The kernel."]
    seed: Annotated[int, "The scenario's seed."]
    metric: Annotated[str, "The column of the metric that was looked at."]
    value: Annotated[float, "Its value as the scenario is."]
    low: Annotated[
        float, "A tenth of the runs with all constants drawn from their ranges is below."
    ]
    median: Annotated[float, "Half of them."]
    high: Annotated[float, "Nine tenths of them."]
    runs: Annotated[int, "Runs, all parts together."]
    constants: Annotated[
        tuple[FoundConstant, ...], "The constants that the run uses and that are open."
    ]


def write_found(place: Path, found: Found) -> None:
    """Write what was found, as JSON and as a table, each file whole or not at all."""
    with writing(place):
        put_whole(place / TABLE, lambda half: _frame(found).to_csv(half, index=False))
        put_whole(place / FOUND, lambda half: write_json(half, found.as_dict()))


def is_sensitivity(path: Path) -> bool:
    """Return whether a directory holds a sensitivity that is finished."""
    return (path / FOUND).is_file()


class Sensitivity:
    """On which constants a figure hangs.

    Parameters
    ----------
    path
        Its directory.
    temporary
        The directory that holds it, where it is to disappear with this object.

    Raises
    ------
    ResultError
        If there is none, or it cannot be read.
    """

    def __init__(self, path: Path, temporary: TemporaryDirectory[str] | None = None) -> None:
        self.path = path
        if temporary is not None:
            finalize(self, temporary.cleanup)
        _ = self.found

    @cached_property
    def found(self) -> Found:
        """What was found; each number by its name."""
        file = self.path / FOUND
        if not file.is_file():
            raise ResultError(f"there is no finished sensitivity at {self.path}: no {FOUND} in it")
        try:
            return Found.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise ResultError(f"{file} is not as it was written: {error}") from error

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.found.name

    @property
    def files(self) -> list[Path]:
        """The files that figures are drawn from."""
        return [self.path / FOUND]

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Scenario, seed, versions and host: those of its first sweep."""
        return read_manifest(self.path / SCREENING)

    @property
    def table(self) -> pd.DataFrame:
        """One row per constant, those that matter most first (see `FoundConstant`)."""
        return _frame(self.found)

    def sentences(self) -> list[str]:
        """Return the answer in words."""
        found = self.found
        metric, label = metric_of(found.metric)
        what = f"{metric.label} ({label})" if label else metric.label
        as_run = formatting.quantity(found.value, metric.form)
        ends = from_to(*(formatting.quantity(end, metric.form) for end in (found.low, found.high)))
        said = [
            f"{what[:1].upper()}{what[1:]}: {as_run} as the constants are, {ends} in 80 % of the"
            " runs with constants from their ranges."
        ]
        named = self._named()
        if named:
            first, *rest = (f"{formatting.share(total)} on {one.said}" for one, total in named)
            head = first.replace(" on ", " of that spread hangs on ", 1)
            said.append(f"{', '.join([head, *rest])}.")
        open_ones = len(found.constants)
        chosen = sum(one.total is not None for one in found.constants)
        said.append(
            f"{formatting.counted(open_ones, 'constant')} that the run uses are open;"
            f" {chosen} of them matter. {found.runs:,} runs."
        )
        return said

    def _named(self) -> list[tuple[FoundConstant, float]]:
        named: list[tuple[FoundConstant, float]] = []
        told = 0.0
        for one in self.found.constants[:MOST_NAMED]:
            if one.total is None or one.total < LITTLE or told >= ENOUGH:
                break
            share = min(one.total, 1.0)
            told += share
            named.append((one, share))
        return named

    def _repr_html_(self) -> str:
        words = "".join(f"<li>{sentence}</li>" for sentence in self.sentences())
        return f"<h4>{self.name}</h4><ul>{words}</ul>"

    def __repr__(self) -> str:
        return f"<pmsim.Sensitivity {self.name} in {self.path}>"


def _frame(found: Found) -> pd.DataFrame:
    import pandas as pd

    names = [one.name for one in fields(FoundConstant)]
    rows: list[dict[str, Any]] = [one.as_dict() for one in found.constants]
    return pd.DataFrame(rows, columns=names)
