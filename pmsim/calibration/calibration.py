"""A calibration: what was measured of a machine, what was fitted to it, and how well that holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pmsim import formatting
from pmsim.calibration.ceiling import Ceiling, find_ceiling
from pmsim.calibration.cells import Cell
from pmsim.calibration.fit import Fit
from pmsim.calibration.host import Host
from pmsim.calibration.load import LOADED
from pmsim.calibration.measured import Measured
from pmsim.calibration.measuring import Session
from pmsim.calibration.platform_file import base_machine, with_values, written
from pmsim.kernel.profiles import load_profile
from pmsim.simulation.result.files import new_files
from pmsim.simulation.result.manifest import made_by

if TYPE_CHECKING:
    import pandas as pd

WANTED: Final = 0.15
"""The median error of held-out cells that is aimed at."""


@dataclass(frozen=True)
class Calibration:
    """What became of measuring this machine.

    Attributes
    ----------
    host
        What it is.
    like, kernel
        The nearest platform, and the kernel's profile, that cells were simulated with.
    session
        What was measured.
    fit
        What was fitted to it.
    """

    host: Host
    like: str
    kernel: str
    session: Session
    fit: Fit

    @property
    def held_out_error(self) -> float | None:
        """The median error of the cells that were held out; `None` where none counts."""
        return _median_error(self.fit, self.session.cells, held_out=True)

    @property
    def fitted_error(self) -> float | None:
        """The median error of the cells that were fitted."""
        return _median_error(self.fit, self.session.cells, held_out=False)

    @property
    def ceiling(self) -> Ceiling | None:
        """From how many pages on everything is flushed, where the cells show it."""
        return find_ceiling(self.session.cells)

    @property
    def points(self) -> pd.DataFrame:
        """One row per cell: what was measured, how sure that is, and what the simulator says."""
        import pandas as pd

        return pd.DataFrame([_row(one, self.fit.predicted) for one in self.session.cells])

    def sentences(self) -> list[str]:
        """Return what it comes to, a sentence each: the most important one first."""
        return [*self._outcome(), *self._conditions(), *self.host.limits]

    def _outcome(self) -> list[str]:
        cells = self.session.cells
        counted = [one for one in cells if one.counts]
        held = sum(one.cell.held_out for one in counted)
        said = []
        if self.held_out_error is not None:
            met = "as aimed at" if self.held_out_error < WANTED else "more than aimed at"
            said.append(
                f"Held-out cells, {held} of {len(counted)}: median error"
                f" {formatting.share(self.held_out_error)} ({met}: below"
                f" {formatting.share(WANTED)}); fitted ones"
                f" {formatting.share(self.fitted_error or 0.0)}."
            )
        if len(counted) < len(cells):
            said.append(
                f"{formatting.counted(len(cells) - len(counted), 'cell')} of {len(cells)} do not"
                " count; the table says why."
            )
        said.append(self._said_of_ceiling())
        return said

    def _said_of_ceiling(self) -> str:
        known, found = load_profile(self.kernel).user_ceiling, self.ceiling
        if found is None:
            return (
                "The cells do not show from how many pages on everything is flushed;"
                f" {self.kernel} has more than {known}."
            )
        less = "less" if found.step_ns < 0 else "more"
        size = formatting.time(abs(found.step_ns) * 1000)
        step = f"{found.above} pages take {size} {less} than a page more than {found.below} would"
        if found.below <= known < found.above:
            return f"{step}: above {known} pages everything is flushed, as {self.kernel} has it."
        return (
            f"{step}: above {found.below} pages everything is flushed, where {self.kernel} has"
            f" {known}; name it as kernel: {{profile: {self.kernel}, user_ceiling: {found.below}}}."
        )

    def _conditions(self) -> list[str]:
        session, said = self.session, []
        counted = [one.noise for one in session.cells if one.counts]
        if counted:
            said.append(
                f"Noise: medians of {formatting.counted(session.rounds, 'round')} are known to"
                f" {formatting.share(median(counted))} (half of the cells; at worst"
                f" {formatting.share(max(counted))}); reading the clock takes"
                f" {session.clock_ns} ns, and is left out."
            )
        load = session.load
        if load is None:
            said.append("Whether other programs ran meanwhile cannot be seen.")
        elif load.others >= LOADED or load.stolen >= LOADED:
            said.append(
                f"The machine was loaded: other programs took {formatting.share(load.others)} of"
                f" the CPUs' time, the host {formatting.share(load.stolen)}. Medians leave that"
                " out in part; measure again when it is quiet."
            )
        return said

    def machine(self, name: str, cells_file: str) -> dict[str, Any]:
        """Return the machine as plain data, as its platform file has it.

        Parameters
        ----------
        name
            What it is called.
        cells_file
            Where the cells are to be found, for the sources.
        """
        used = sum(one.counts and not one.cell.held_out for one in self.session.cells)
        source = f"`pmsim calibrate` on this machine, {used} cells ({cells_file})"
        machine = with_values(base_machine(self.host, self.like), self.fit.constants, source)
        machine["name"] = name
        machine["description"] = (
            f"{self.host.processor.model}, {len(self.host.topology.places)} CPUs, measured; what"
            f" cells do not tell is as on {self.like}"
        )
        return machine

    def save(self, path: Path, *, force: bool = False) -> list[Path]:
        """Write the platform file, and the raw cells beside it; return both.

        Raises
        ------
        OutputError
            If one of them is there already, or cannot be written.
        """
        cells = cells_file(path)
        text = written(self.machine(path.stem, cells.name), self._notes())
        with new_files([path, cells], force=force) as halves:
            halves[0].write_text(text, encoding="utf-8")
            halves[1].write_text(_json(self.as_dict()), encoding="utf-8")
        return [path, cells]

    def _notes(self) -> list[str]:
        """Return what stands in front of a platform file: where it comes from, and how good."""
        one = self.host.processor
        maker = f" ({one.vendor}, family {one.family}, model {one.number})" if one.vendor else ""
        left = [f"{left.path} ({left.why})" for left in self.fit.left]
        return [
            f"Written by `pmsim calibrate` on {one.model}{maker}, {len(self.host.topology.places)}"
            f" CPUs, Linux {self.host.release}. Cells were simulated with kernel {self.kernel}:"
            " name it in scenarios.",
            "",
            *self.sentences(),
            "",
            f"What is not marked as measured is as on {self.like}. Looked at, and left:",
            *left,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data, fit for JSON."""
        host = self.host
        predicted = self.fit.predicted
        return {
            "calibration": 1,
            "host": {
                "arch": host.arch,
                "release": host.release,
                "vendor": host.processor.vendor,
                "model": host.processor.model,
                "family": host.processor.family,
                "number": host.processor.number,
                "guest": host.processor.guest,
            },
            "like": self.like,
            "kernel": self.kernel,
            "cpu": host.cpu,
            "numbers": {str(cpu): number for cpu, number in host.numbers.items()},
            "rounds": self.session.rounds,
            "seconds": round(self.session.seconds, 3),
            "clock_ns": self.session.clock_ns,
            "load": None if self.session.load is None else asdict(self.session.load),
            "held_out_error": self.held_out_error,
            "fitted_error": self.fitted_error,
            "constants": [asdict(one) for one in self.fit.constants],
            "left": [asdict(one) for one in self.fit.left],
            "sentences": self.sentences(),
            "cells": [
                {**asdict(one.cell), "predicted_ns": predicted.get(one.cell), **_told(one)}
                for one in self.session.cells
            ],
            **made_by(),
        }


def _json(content: Mapping[str, Any]) -> str:
    """Return a calibration as JSON that people can read: each cell with its samples on a line."""
    head = json.dumps({**content, "cells": []}, indent=2, ensure_ascii=False, allow_nan=False)
    cells = ",\n    ".join(json.dumps(one, allow_nan=False) for one in content["cells"])
    return head.replace('"cells": []', f'"cells": [\n    {cells}\n  ]') + "\n"


def cells_file(path: Path) -> Path:
    """Return where the cells of a platform file are: beside it."""
    return path.with_suffix(".cells.json")


def _median_error(fit: Fit, cells: Iterable[Measured], *, held_out: bool) -> float | None:
    errors = [
        abs(fit.predicted[one.cell] / one.ns - 1)
        for one in cells
        if one.counts and one.cell.held_out == held_out
    ]
    return median(errors) if errors else None


def _told(one: Measured) -> dict[str, Any]:
    """Return what is known of a measured cell as plain data."""
    low, high = one.between if one.samples else (None, None)
    return {
        "ns": one.ns if one.samples else None,
        "low_ns": low,
        "high_ns": high,
        "interrupts": one.interrupts,
        "refused": one.refused,
        "samples": list(one.samples),
    }


def _row(one: Measured, predicted: Mapping[Cell, float]) -> dict[str, Any]:
    said = predicted.get(one.cell)
    told = _told(one)
    return {
        "cell": one.cell.name,
        "curve": one.cell.curve,
        "call": one.cell.call,
        "figure": one.cell.figure,
        "pages": one.cell.pages,
        "held_out": one.cell.held_out,
        "measured_ns": told["ns"],
        "low_ns": told["low_ns"],
        "high_ns": told["high_ns"],
        "predicted_ns": said,
        "error": None if said is None else said / one.ns - 1,
        "samples": len(one.samples),
        "interrupts": one.interrupts,
        "refused": one.refused,
    }
