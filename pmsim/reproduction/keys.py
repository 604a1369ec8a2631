"""The keys of an experiment's file."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from pmsim.quantities import Keys, QuantityKey, refused
from pmsim.reproduction.arithmetic import names_in
from pmsim.reproduction.observables import Observable
from pmsim.scenario.faults import DIRECTORY_NAME
from pmsim.scenario.machine import FormatVersion
from pmsim.units import RATE

Unit = Literal["ps", "ns", "us", "ms", "s", "cycles", "1/s", "1", "%"]
MOST_POINTS: Final = 1_000
Name = Annotated[str, Field(pattern=DIRECTORY_NAME)]
Clock = Annotated[Any, QuantityKey(RATE, positive=True)]
Sum = str | float | int
"""Numbers and names with + - * / and brackets."""


class PointKeys(Keys):
    """One measured figure, and how the model comes to its own."""

    measured: Sum = Field(
        description="The figure: the id of a row, or a sum of rows and numbers, in the"
        " experiment's unit."
    )
    name: str | None = Field(
        default=None, description="What tables call it; by default what is measured."
    )
    use: Literal["calibrate", "predict"] | None = Field(
        default=None,
        description="Of a figure that stands in no table: whether it may be fitted. Of rows their"
        " table says it.",
    )
    at: float | str | None = Field(
        default=None,
        description="Where on the axis it was measured: a number of threads, CPUs or pages, or a"
        " word.",
    )
    set: dict[str, Any] = Field(
        default={}, description="Other values for keys of the scenario, by dotted path."
    )
    runs: dict[str, dict[str, Any]] = Field(
        default={},
        description="Several runs by their names, each with other values for some keys; `observe`"
        " among them says what is read off that run, where it is something else.",
    )
    predicted: str | None = Field(
        default=None, description="What the runs are put together to; of a single run: run."
    )
    missing: str = Field(default="", description="Which effect the model lacks just here.")


class ByKey(Keys):
    """Calibration of a key of the scenario, in the place of a factor on all predictions."""

    key: str = Field(description="The key, by dotted path.")
    value: str = Field(description="Its value in picoseconds, a sum of rows that may be fitted.")


class SignKeys(Keys):
    """A question of yes or no: of two points, which is larger."""

    says: str = Field(min_length=1, description="What is so if the first is larger.")
    larger: str = Field(description="The name of a point.")
    than: str | float = Field(description="The name of another, or a figure.")


class ExperimentKeys(Keys):
    """A published experiment: a scenario, what was measured of it, and what is known to be missing.

    What stands behind ``scenario`` is a scenario, or the name or path of one.
    """

    pmsim: FormatVersion = Field(description="Version of the format: 1.")
    name: Name | None = Field(
        default=None, description="What it is called; the file's name if omitted."
    )
    title: str = Field(min_length=1, description="What was measured, in words.")
    source: str = Field(min_length=1, description="Who measured it, where it was published.")
    machine: str = Field(
        min_length=1, description="On what it was measured, and which platform stands for that."
    )
    assumes: tuple[str, ...] = Field(
        default=(), description="What the publication does not say, and what was taken for it."
    )
    missing: str = Field(
        min_length=1, description="Which effects the model lacks, and how large they are."
    )
    stands_in: bool = Field(
        default=False,
        description="Whether the platform stands for another machine, so that none of its constants"
        " was measured there and all have the ranges of estimates.",
    )
    data: str = Field(
        default="published",
        description="The table of measurements: one that pmsim ships (published, host_kvm_milan),"
        " or a CSV file beside this one.",
    )
    seen: str = Field(
        default="",
        description="What was chosen after its figures had been seen, and what else would have"
        " given. None of its points and questions counts as predicted then.",
    )
    scenario: Any = Field(description="What is run.")
    observe: Observable = Field(description="What is read off a run.")
    unit: Unit = Field(description="What figures are told in.")
    clock: Clock | None = Field(
        default=None, description="Cycles in a time, where figures are in cycles."
    )
    axis: str = Field(default="", description="What `at` counts, in words.")
    vary: tuple[str, ...] = Field(
        default=(), description="Keys of the scenario that take the value of `at`."
    )
    predicted: str = Field(
        default="run", description="What the runs of a point are put together to."
    )
    calibrate: Literal["factor"] | ByKey = Field(
        default="factor",
        description="What the calibration point fits: one factor for all predictions, or a key.",
    )
    absolute: bool = Field(
        default=True,
        description="Whether a platform stands for the machine, so that raw predictions count;"
        " otherwise the experiment tests the shape alone.",
    )
    points: Annotated[tuple[PointKeys, ...], Field(min_length=1, max_length=MOST_POINTS)] = Field(
        description="What was measured."
    )
    signs: tuple[SignKeys, ...] = Field(default=(), description="Questions of yes or no.")

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentKeys:
        if (self.unit == "cycles") != (self.clock is not None):
            raise refused("conflict", "'unit: cycles' and 'clock' go together",
                          "for example clock: 2.6GHz")  # fmt: skip
        for point in self.points:
            if point.runs and point.set:
                raise refused("conflict", "a point has 'set' or 'runs', not both",
                              "put what is set into each run")  # fmt: skip
        return self


def row_names(value: Sum) -> list[str]:
    """Return the rows that a sum reads; raise `ValueError` if it is none."""
    return names_in(str(value))
