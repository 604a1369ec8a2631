"""The keys of a scenario file."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pmsim.quantities import (
    Keys,
    PositiveTime,
    PositiveTimeOrAuto,
    Rate,
    RunLength,
    Time,
    TimeOrAuto,
)
from pmsim.scenario.faults import DIRECTORY_NAME
from pmsim.scenario.machine import FormatVersion
from pmsim.units import format_time

DEFAULT_KERNEL: Final = "linux-6.1-x86_64"
"""The kernel profile of a scenario that names none."""
MOST_REPLICATIONS: Final = 1_000_000
MOST_WORKLOADS: Final = 10_000


class DetailKeys(Keys):
    """The part of each run of which everything is kept."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Time = Field(default=0, alias="from", description="Where it begins.")
    to: PositiveTime | None = Field(
        default=None, description="Where it ends; with the run if omitted."
    )

    @model_validator(mode="after")
    def _forwards(self) -> DetailKeys:
        if self.to is not None and self.to <= self.from_:
            text = {
                "code": "conflict",
                "message": f"a part from {format_time(self.from_)} to {format_time(self.to)}"
                " holds nothing",
                "hint": "'from' comes before 'to'",
            }
            raise PydanticCustomError("conflict", "{message}", text)
        return self


class IsolatedBudget(Keys):
    """What is allowed on an isolated CPU."""

    interrupts: Rate | None = Field(
        default=None, description="How often each may be interrupted; 0/s: not once."
    )
    longest: Time | None = Field(
        default=None, description="How long an interruption may keep it from what it runs."
    )


class BudgetKeys(Keys):
    """What a run may cost; what costs more fails."""

    isolated: IsolatedBudget = Field(description="What is allowed on each isolated CPU.")


class MeasureKeys(Keys):
    """What is measured, and from when on."""

    warmup: TimeOrAuto = Field(
        default="auto",
        description="What is left out of the steady state's figures at the start: a time, or auto,"
        " which looks for the end of the transient.",
    )
    timeline: PositiveTimeOrAuto = Field(
        default="auto",
        description="Length of the timeline's intervals: a time, or auto, which goes by the length"
        " of the run.",
    )
    detail: DetailKeys | None = Field(
        default=None,
        description="The part of each run of which every target of every IPI call, every window"
        " with interrupts off and every wait of a task is kept; up to 200,000 targets and as many"
        " windows and waits.",
    )
    budget: BudgetKeys | None = Field(
        default=None,
        description="What the run may cost: `pmsim run` and `pmsim sweep` end with status 1 where"
        " it costs more.",
    )


class ScenarioKeys(Keys):
    """One question: a machine, a kernel, and what runs on them.

    What stands behind ``machine``, ``kernel``, ``workloads`` and ``sweep`` has models of its own,
    chosen by what is there.
    """

    pmsim: FormatVersion = Field(description="Version of the format: 1.")
    name: Annotated[str, Field(pattern=DIRECTORY_NAME)] | None = Field(
        default=None, description="What it is called; the file's name if omitted."
    )
    description: str = Field(default="", description="The question, in words.")
    machine: Any = Field(
        description="A platform by name, a path to one, {platform: NAME, ...} with keys that"
        " replace the platform's, or a machine described in full."
    )
    kernel: Any = Field(
        default=DEFAULT_KERNEL,
        description="A kernel profile by name, or {profile: NAME, ...} with keys that replace the"
        " profile's.",
    )
    duration: RunLength | None = Field(
        default=None, description="Simulated time. Without it the run is `until: done`."
    )
    until: Literal["done"] | None = Field(
        default=None, description="done: the run ends when all finite workloads have ended."
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = Field(
        default=0, description="Of all random draws. The same seed gives the same run."
    )
    workloads: Annotated[tuple[Any, ...], Field(min_length=1, max_length=MOST_WORKLOADS)] = Field(
        description="What runs; `kind` says which keys each has."
    )
    measure: MeasureKeys = Field(default=MeasureKeys(), description="What is measured.")
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] | None = Field(
        default=None,
        description="A grid: values for keys by dotted path; or ranges, such as [2..448], for"
        " points chosen from them. Behind `together` each value is a name and several keys:"
        " [{name: Arm, machine.platform: altra-max, kernel: linux-6.18-arm64}, ...].",
    )
    replications: Annotated[int, Field(ge=1, le=MOST_REPLICATIONS)] = Field(
        default=1, description="Runs with random draws of their own."
    )

    @model_validator(mode="after")
    def _one_end(self) -> ScenarioKeys:
        if self.duration is not None and self.until is not None:
            raise PydanticCustomError(
                "conflict",
                "{message}",
                {
                    "code": "conflict",
                    "message": "'duration' and 'until' exclude each other",
                    "hint": "keep one of them",
                },
            )
        return self
