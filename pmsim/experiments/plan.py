"""What a sweep is to do: a scenario, its cells, and how many replications of each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

from pmsim.errors import Fault, ScenarioError
from pmsim.experiments.axes import Cell, Cells, Grid, Values, label
from pmsim.experiments.sampling import sample_of, sampled
from pmsim.scenario.faults import did_you_mean
from pmsim.scenario.override import TOGETHER
from pmsim.scenario.ranges import is_range
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.scenario.scenario import Scenario
from pmsim.simulation.result.manifest import own_codes, provenance

MOST_CELLS: Final = 100_000
"""Cells above which a sweep is refused unless it is forced: most likely it is a mistake."""
_OPTIONS: Final = {"replications": "--replications N gives every cell N runs"}
"""What keys are not varied, but asked for."""
_EXAMPLE: Final = "{'machine.cpus': [16, 56]} for example"
"""What the values of a sweep may be."""
MOST_FAULTS: Final = 20
"""Faults of cells that are reported; more of them say the same again."""


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs.

    Attributes
    ----------
    scenario
        What is varied, without a sweep of its own.
    cells
        Its variants.
    replications
        Runs of each cell; with a precision asked for, the first of them.
    """

    scenario: Scenario
    cells: Cells
    replications: int

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return self.scenario.resolve().seed

    def resolve(self, cell: Cell) -> ResolvedScenario:
        """Return the scenario of a cell, everything filled in; raise `ScenarioError` if invalid."""
        changed = self.scenario.with_(**cell.changes) if cell.changes else self.scenario
        return changed.resolve()

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the rows of a sweep depend on, as plain data."""
        resolved = self.scenario.resolve()
        data = resolved.as_dict()
        del data["replications"]
        known = provenance(data, resolved.seed, self.replications, resolved.inputs())
        cells = self.cells.as_dict()
        named = own_codes(data, cells)
        own = {"protocols": named} if named else {}
        return {"scenario": data, "cells": cells, "inputs": known["inputs"], **own}

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of `identity`: two plans share rows if theirs are equal."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> None:
        """Raise `ScenarioError` with the faults of the cells, the first of them, if any has one."""
        faults: list[Fault] = []
        for cell in islice(self.cells, MOST_CELLS):
            try:
                self.resolve(cell)
            except ScenarioError as error:
                faults += [fault for fault in error.faults if fault not in faults]
            if len(faults) >= MOST_FAULTS:
                break
        if faults:
            raise ScenarioError(faults[:MOST_FAULTS])


def plan_of(
    scenario: Scenario,
    values: Mapping[str, Any],
    *,
    replications: int | None = None,
    sample: str | None = None,
    force: bool = False,
) -> Plan:
    """Return the plan of a sweep.

    Parameters
    ----------
    scenario
        Its base; what stands under its ``sweep`` is varied.
    values
        Further values by dotted path, or others than those of the file. A text ``LOW..HIGH`` is a
        range, which needs a ``sample``.
    replications
        Runs of each cell; those of the scenario where not given.
    sample
        ``lhs:N`` or ``sobol:N`` for points; without it, every combination.
    force
        Whether to go on where there are more than `MOST_CELLS` cells.

    Raises
    ------
    ScenarioError
        If a path names nothing, a cell is no valid scenario, or there are too many cells; or where
        anything is not of the type that it has to be.
    """
    if not isinstance(values, Mapping):
        raise _wrong_type(
            f"the values of a sweep are a mapping of paths, not a {type(values).__name__}", _EXAMPLE
        )
    axes = {path: _values(path, given) for path, given in {**scenario.sweep, **values}.items()}
    base = scenario.without_sweep()
    if replications is not None:
        base = base.with_(replications=replications)
    _check_paths(base, axes)
    cells: Cells
    if sample is not None:
        cells = sampled(axes, sample_of(sample), base.resolve().seed)
    else:
        _refuse_ranges(axes)
        _refuse_twins(axes)
        cells = Grid(axes)
    if len(cells) > MOST_CELLS and not force:
        message = f"the sweep has {len(cells):,} cells ({_sizes(axes)})"
        hint = f"more than {MOST_CELLS:,} are run with --force only; --sample lhs:N takes N points"
        raise ScenarioError([Fault(scenario.file, 0, 0, "too-many-cells", message, hint)])
    plan = Plan(base, cells, base.resolve().replications)
    plan.check()
    return plan


def _values(path: str, given: Any) -> Values:
    """Return the values of an axis; a single one stands for itself."""
    if not isinstance(path, str):
        raise _wrong_type(f"{path!r} is no path of a scenario", _EXAMPLE)
    given = given.tolist() if hasattr(given, "tolist") else given  # NumPy's and pandas' own
    several = list(given) if isinstance(given, list | tuple | range) else [given]
    if not several:
        message = f"{path} has no values"
        raise ScenarioError([Fault("sweep", 0, 0, "no-values", message, "give at least one")])
    # Numbers as Python has them, which a manifest can hold.
    plain = tuple(one.item() if hasattr(one, "item") else one for one in several)
    for one in plain:
        try:
            json.dumps(one)
        except (TypeError, ValueError):
            message = f"{path}: no file could hold {one!r} ({type(one).__name__})"
            raise _wrong_type(message, f"a list of values: {_EXAMPLE}") from None
    return plain


def _wrong_type(message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault("sweep", 0, 0, "wrong-type", message, hint)])


def _check_paths(base: Scenario, axes: Mapping[str, Values]) -> None:
    """Raise `ScenarioError` for paths that name nothing, the nearest that exist as a hint."""
    faults: list[Fault] = []
    known = _sections()
    for path in axes:
        first = path.split(".")[0]
        if first not in known:
            hint = _OPTIONS.get(first) or did_you_mean(first, known)
            message = f"'{path}' names nothing in the scenario"
            faults.append(Fault(base.file, 0, 0, "bad-path", message, hint))
    if faults:
        raise ScenarioError(faults)


def _sections() -> list[str]:
    from pmsim.scenario.model import ScenarioKeys

    fixed = {"pmsim", "sweep", "replications"}
    return [*(name for name in ScenarioKeys.model_fields if name not in fixed), TOGETHER]


def _refuse_ranges(axes: Mapping[str, Values]) -> None:
    ranges = [path for path, values in axes.items() if any(map(is_range, values))]
    if ranges:
        message = f"{', '.join(ranges)}: a range needs points chosen from it"
        hint = "--sample lhs:N or sobol:N; or list the values"
        raise ScenarioError([Fault("sweep", 0, 0, "range-without-sample", message, hint)])


def _refuse_twins(axes: Mapping[str, Values]) -> None:
    """Raise `ScenarioError` for values that are given twice: their cells would be the same."""
    faults = []
    for path, values in axes.items():
        count = Counter(str(label(value)) for value in values)
        twice = sorted(one for one, times in count.items() if times > 1)
        if twice:
            message = f"{path} is given {', '.join(twice)} more than once"
            hint = "each value makes cells of its own; more runs of each: --replications"
            faults.append(Fault("sweep", 0, 0, "value-twice", message, hint))
    if faults:
        raise ScenarioError(faults)


def _sizes(axes: Mapping[str, Values]) -> str:
    return " x ".join(f"{len(values):,} {path}" for path, values in axes.items())
