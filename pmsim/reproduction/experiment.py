"""Experiments: read from their files, each point with the runs that predict it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.reproduction.arithmetic import names_in
from pmsim.reproduction.keys import ByKey, ExperimentKeys, PointKeys, SignKeys, row_names
from pmsim.reproduction.measurements import (
    Measurements,
    Use,
    measurements_of,
    shipped_measurements,
)
from pmsim.reproduction.observables import Observable
from pmsim.scenario.faults import FaultList, did_you_mean, validated
from pmsim.scenario.meant import refuse_others
from pmsim.scenario.nodes import Leaf, Node, Table, find
from pmsim.scenario.read import read_file
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.run.compiling import compiles_apart

RUN: Final = "run"
"""What a point's only run is called."""
OBSERVE: Final = "observe"
"""The key of a run that says what is read off it; all others are paths of the scenario."""
Changes = tuple[tuple[str, Node], ...]
"""Other values for keys of a scenario, by dotted path."""


_FAMILIES: Final = {
    "x86_64": "x86",
    "x86_32": "x86",
    "arm64": "Arm",
    "arm32": "Arm",
    "riscv64": "RISC-V",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One measured figure.

    Attributes
    ----------
    name
        What tables call it.
    measured
        The figure: a sum of rows.
    use
        Whether it may be fitted, or is to be predicted.
    at
        Where on the axis it was measured: a number, a word, or nothing.
    runs
        What is changed in the scenario for each run, by the run's name.
    observed
        What is read off those runs of which it is not what the experiment says, by their names.
    predicted
        What the runs are put together to.
    missing
        Which effect the model lacks just here; empty where that is said of the whole.
    """

    name: str
    measured: str
    use: Use
    at: float | str | None
    runs: Mapping[str, Changes]
    observed: Mapping[str, Observable]
    predicted: str
    missing: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """A published experiment.

    Attributes
    ----------
    name, title, source, machine, assumes, missing
        As its file says them.
    stands_in
        Whether the platform stands for another machine.
    seen
        What was chosen after its figures had been seen, so that none counts as predicted; empty
        where nothing was.
    scenario
        What is run.
    observe, unit, clock
        What is read off a run, and what figures are told in; cycles in a second where they are
        cycles.
    axis
        What `Point.at` counts; empty where there is no axis.
    absolute
        Whether raw predictions count.
    calibrate
        The key that is calibrated, `None` for a factor.
    points, signs
        What was measured, and the questions of yes or no.
    measurements
        Where the figures stand. Nothing that makes a raw prediction looks there.
    """

    name: str
    title: str
    source: str
    machine: str
    assumes: tuple[str, ...]
    missing: str
    stands_in: bool
    seen: str
    scenario: Scenario = field(repr=False)
    observe: Observable
    unit: str
    clock: float | None
    axis: str
    absolute: bool
    calibrate: ByKey | None
    points: tuple[Point, ...]
    signs: tuple[SignKeys, ...]
    measurements: Measurements = field(repr=False)

    @property
    def calibration(self) -> Point | None:
        """The one point that a scaled prediction is fitted to: the last that may be.

        Points stand in the order of their axis, so it is the one nearest to what is predicted.
        Where something was chosen after all had been seen, nothing is left to be predicted.
        """
        if self.seen:
            return None
        fitted = [point for point in self.points if point.use == "calibrate"]
        return fitted[-1] if fitted else None

    @property
    def family(self) -> str:
        """The kind of machine, for figures: an architecture, or guests."""
        resolved = self.scenario.resolve()
        if getattr(resolved.machine, "host", None) is not None:
            return "guests"
        return _FAMILIES[resolved.kernel.arch]

    @property
    def series(self) -> str:
        """What it has in common with others of its publication: the beginning of its name.

        Up to the year, as in ``van-riel-2025-share``; without one the first two words, as in
        ``kvm-milan-mprotect-alone``. Points of a series share a machine, so that they miss
        together.
        """
        words = self.name.split("-")
        years = [place for place, word in enumerate(words) if re.fullmatch(r"[12]\d{3}", word)]
        return "-".join(words[: years[0] + 1 if years else 2])

    @property
    def compiles_apart(self) -> bool:
        """Whether all is compiled apart for any of its runs."""
        runs = [changes for point in self.points for changes in point.runs.values()]
        # To resolve all runs takes longer than to compile: those of other hosts will do.
        hosted = [changes for changes in runs if any(map(_is_of_the_host, changes))]
        scenarios = [self.scenario, *(self.scenario.with_nodes(list(one)) for one in hosted)]
        return any(compiles_apart(one.resolve()) for one in scenarios)

    def measured(self, point: Point) -> float:
        """Return a point's measured figure in the experiment's unit."""
        return self.measurements.value(point.measured)


def _is_of_the_host(change: tuple[str, Node]) -> bool:
    path = change[0]
    return path == "machine" or path.startswith(("machine.host", "machine.platform"))


def experiment_names() -> list[str]:
    """Return the names of the experiments that pmsim ships, such as ``piggin-2008-eager``."""
    return sorted(_files())


def load_experiment(name_or_path: str | Path) -> Experiment:
    """Return an experiment by name, or from a file of one's own.

    Parameters
    ----------
    name_or_path
        A path; or, where no such file exists, a name as `pmsim list experiments` shows it.

    Raises
    ------
    ScenarioError
        With every fault of its file.
    """
    path, shown = Path(name_or_path), str(name_or_path)
    if not path.is_file() and path.name == shown and not path.suffix:
        shipped = _files().get(shown.replace("_", "-"))
        if shipped is None:
            message = f"there is no experiment '{shown}', and no such file"
            hint = did_you_mean(shown, _files())
            raise ScenarioError([Fault(shown, 0, 0, "no-such-file", message, hint)])
        path, shown = shipped, shipped.name
    tree = read_file(path, shown)
    refuse_others(tree, shown, "experiment")
    return _Reader(tree, shown, path.parent).experiment()


def _files() -> dict[str, Path]:
    """Return the files of all shipped experiments by their names."""
    folder = Path(str(resources.files("pmsim"))) / "data" / "experiments"
    return {path.stem.replace("_", "-"): path for path in folder.glob("*.yaml")}


class _Reader:
    """Makes an experiment of a file's tree; faults are collected, and raised together."""

    def __init__(self, tree: Node, file: str, directory: Path) -> None:
        self._tree = tree
        self._file = file
        self._directory = directory
        self._faults = FaultList(file)

    def experiment(self) -> Experiment:
        """Return it, or raise `ScenarioError`."""
        keys = validated(ExperimentKeys, self._tree, self._faults)
        scenario = self._scenario()
        self._faults.raise_if_any()
        assert keys is not None
        assert scenario is not None
        measurements = self._measurements(keys.data)
        points = tuple(
            self._point(point, find(self._tree, ("points", place)), keys, measurements)
            for place, point in enumerate(keys.points)
        )
        self._check_names(points, keys.signs)
        if isinstance(keys.calibrate, ByKey):
            self._check_key(keys.calibrate, measurements)
        self._faults.raise_if_any()
        return Experiment(
            name=keys.name or Path(self._file).stem.replace("_", "-"),
            title=_line(keys.title),
            source=_line(keys.source),
            machine=_line(keys.machine),
            assumes=tuple(map(_line, keys.assumes)),
            missing=_line(keys.missing),
            stands_in=keys.stands_in,
            seen=_line(keys.seen),
            scenario=scenario,
            observe=keys.observe,
            unit=keys.unit,
            clock=None if keys.clock is None else float(keys.clock),
            axis=keys.axis,
            absolute=keys.absolute,
            calibrate=keys.calibrate if isinstance(keys.calibrate, ByKey) else None,
            points=points,
            signs=keys.signs,
            measurements=measurements,
        )

    def _scenario(self) -> Scenario | None:
        """Return the scenario that stands in the file, or that it names."""
        node = find(self._tree, ("scenario",)) if isinstance(self._tree, Table) else self._tree
        if node is self._tree:
            return None  # the key is missing, which has been said
        try:
            if isinstance(node, Table):
                version = Leaf("1", True, node.line, node.column)
                return Scenario.from_node(
                    node.with_key("pmsim", version), self._file, self._directory
                )
            if isinstance(node, Leaf) and isinstance(node.value(), str):
                beside = self._directory / node.text
                return load(beside if beside.exists() else node.text)
        except ScenarioError as error:
            self._faults.extend(error.faults)
            return None
        message = "a scenario is a name, a path or a mapping"
        self._faults.at(node, "wrong-type", message, "for example scenario: piggin-2008")
        return None

    def _measurements(self, data: str) -> Measurements:
        return shipped_measurements(data) or measurements_of(self._directory / data)

    def _point(
        self, keys: PointKeys, node: Node, whole: ExperimentKeys, measurements: Measurements
    ) -> Point:
        changes = self._runs(keys, node, whole)
        predicted = keys.predicted or whole.predicted
        place = find(node if keys.predicted else self._tree, ("predicted",))
        self._check_sum(predicted, list(changes), place)
        return Point(
            name=keys.name or str(keys.measured),
            measured=str(keys.measured),
            use=self._use(keys, node, measurements, whole.seen),
            at=keys.at,
            runs=changes,
            observed=self._observed(keys, node),
            predicted=predicted,
            missing=_line(keys.missing),
        )

    def _runs(self, keys: PointKeys, node: Node, whole: ExperimentKeys) -> dict[str, Changes]:
        at = find(node, ("at",))
        if whole.vary and keys.at is None:
            self._faults.at(node, "missing-key", "the key 'at' is missing",
                            f"it is the value of {', '.join(whole.vary)}")  # fmt: skip
        varied = tuple((path, at) for path in whole.vary)
        if not keys.runs:
            return {RUN: varied + (_changes(find(node, ("set",))) if keys.set else ())}
        runs = find(node, ("runs",))
        return {name: varied + _changes(find(runs, (name,))) for name in keys.runs}

    def _observed(self, keys: PointKeys, node: Node) -> dict[str, Observable]:
        found = {}
        for name, given in keys.runs.items():
            if OBSERVE in given:
                read = validated(Observable, find(node, ("runs", name, OBSERVE)), self._faults)
                if read is not None:
                    found[name] = read
        return found

    def _use(self, keys: PointKeys, node: Node, measurements: Measurements, seen: str) -> Use:
        """Return what a figure may be used for: its table says it, or the point itself.

        Where something was chosen after figures had been seen, they were used for that.
        """
        place = find(node, ("measured",))
        try:
            use = measurements.use(str(keys.measured))
        except ValueError as error:
            names = [row for row in _rows_of(keys) if row not in measurements.rows]
            hint = did_you_mean(names[0], measurements.rows) if names else ""
            hint = hint if len(hint) < 80 else ""
            self._faults.at(place, "no-such-row", str(error), hint)
            return "predict"
        if use is not None and keys.use is not None:
            message = f"the table says that {keys.measured} is for '{use}'"
            hint = "leave 'use' out: the split stands with the measurements"
            self._faults.at(find(node, ("use",)), "conflict", message, hint)
        return "calibrate" if seen else use or keys.use or "predict"

    def _check_sum(self, text: str, known: Sequence[str], place: Node) -> None:
        try:
            unknown = [name for name in names_in(text) if name not in known]
        except ValueError as error:
            self._faults.at(place, "bad-value", str(error))
            return
        if unknown:
            self._faults.at(place, "no-such-run", f"there is no run '{unknown[0]}'",
                            did_you_mean(unknown[0], known))  # fmt: skip

    def _check_names(self, points: Sequence[Point], signs: Iterable[SignKeys]) -> None:
        """Report names that stand twice, and signs of points that there are not."""
        names = [point.name for point in points]
        for place, name in enumerate(names):
            if name in names[:place]:
                node = find(self._tree, ("points", place))
                message = f"the point '{name}' stands here a second time"
                self._faults.at(node, "duplicate-name", message, "give one of them a name")
        for place, sign in enumerate(signs):
            asked = {"larger": sign.larger}
            if isinstance(sign.than, str):
                asked["than"] = sign.than
            for key, name in asked.items():
                if name not in names:
                    node = find(self._tree, ("signs", place, key))
                    message = f"there is no point '{name}'"
                    self._faults.at(node, "no-such-point", message, did_you_mean(name, names))

    def _check_key(self, by: ByKey, measurements: Measurements) -> None:
        """Report a key that would be calibrated with what may not be fitted."""
        place = find(self._tree, ("calibrate", "value"))
        try:
            use = measurements.use(by.value)
        except ValueError as error:
            self._faults.at(place, "no-such-row", str(error))
            return
        if use != "calibrate":
            self._faults.at(place, "predicted", f"{by.value} may not be fitted",
                            "only rows whose split is 'calibrate' may")  # fmt: skip


def _changes(node: Node) -> Changes:
    """Return what a mapping of dotted paths changes; what is observed is none of them."""
    assert isinstance(node, Table)
    return tuple((key.text, below) for key, below in node.items if key.text != OBSERVE)


def _rows_of(keys: PointKeys) -> list[str]:
    try:
        return row_names(keys.measured)
    except ValueError:
        return []


def _line(text: str) -> str:
    return " ".join(text.split())
