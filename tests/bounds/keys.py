"""Every numeric key of a scenario, found in the models, with values that it may break at.

A key that is added to a model is found here by itself.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pmsim import units
from pmsim.kernel.profile import KernelProfile
from pmsim.quantities import QuantityKey
from pmsim.scenario.machine import MachineKeys
from pmsim.scenario.model import ScenarioKeys
from pmsim.workloads.registry import workload_kinds
from tests.machines import machine

Data = dict[str, Any]

MANY = (2**31, 2**53, 2**62, 2**63 - 1)
"""Where whole numbers of some size end; the last is the largest that a column holds."""
KERNELS = {
    "rare_writes": {"pmalloc": "prmem"},
    "kmap": {"profile": "linux-4.16-x86_32"},
}
"""What some kinds of workload need of a kernel."""
BESIDE = {
    "SegmentKeys": {"core_text": "1 page"},
    "Kswapd": {"memory": "1GiB"},
    "Children": {"cpus": [1]},
    "Process": {"does": ["fork"]},
}
"""Keys that a mapping needs besides those that its model requires, because they belong together;
and values of required ones where a small one is none."""
RATES = ("1e-9/s", "1/min", "2147483648/s", "1e12/s")
"""Rates, from an event in 30 years to one a picosecond."""

WORKLOAD = ("workloads", 0)
"""Where the workload stands that the keys of a kind are tried in."""

BUSY = (
    "thread_churn", "vmalloc_churn", "module_burst", "policy_load", "user_munmap", "bpf_programs",
    "static_keys", "vmap_touch",
)  # fmt: skip
"""Kinds of workload that use much of a kernel together."""

DURATION = ("duration",)
"""The key that says how much is to be simulated."""
CELLS = ("replications",)
"""Keys that say how many runs there are, and so do not fit into one."""


@dataclass(frozen=True)
class Number:
    """A key whose value is a number or a quantity.

    Attributes
    ----------
    path
        Where it stands: names of keys and indices of lists.
    beside
        What has to stand beside it, by the path of the mapping that it stands in.
    kind
        The kind of quantity; None for a plain number.
    least, most
        The ends that its model declares, both inclusive; None: no end, or no number's.
    whole
        Whether it is an integer.
    """

    path: tuple[str | int, ...]
    beside: tuple[tuple[tuple[str | int, ...], Any], ...]
    kind: units.Quantity | None
    least: int | float | None
    most: int | float | None
    whole: bool = True

    def __str__(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def kind_of_workload(self) -> str:
        """The kind of workload whose key it is; empty for a key of something else."""
        return next((v["kind"] for path, v in self.beside if path == WORKLOAD), "")

    @property
    def part(self) -> str:
        """The part of the scenario that it belongs to: a kind of workload, or a mapping."""
        return self.kind_of_workload or str(self.path[0])

    def values(self) -> list[Any]:
        """Return what is tried, as it would stand in a file."""
        if self.kind is units.RATE:
            ends = [self.most, self.most * 2] if self.most is not None else []
            return ["0/s", "-1/s", *RATES, *(f"{int(end)}/s" for end in ends)]
        ends = [end for end in (self.least, self.most) if end is not None]
        if not self.whole:
            return [0.0, -1.0, 1e-300, 1e300, *ends, *(end * (1 + 1e-9) for end in ends), 2**63]
        around = {int(end) + step for end in ends for step in (-1, 0, 1)}
        numbers = sorted({-1, 0, 1, *MANY, 2**63, 2**64, *around})
        if self.kind is None:
            return numbers
        unit = {"a time": "ps", "a size": "B", "a number of pages": "pages"}[self.kind.name]
        return [f"{number}{unit}" for number in numbers]

    def largest(self) -> Any:
        """Return the largest value that its model lets pass."""
        if self.kind is units.RATE:
            return f"{int(self.most or units.MAX_RATE)}/s"
        if not self.whole:
            return self.most if self.most is not None else 1e300
        number = self.most if self.most is not None else 2**63 - 1
        unit = {"a time": "ps", "a size": "B", "a number of pages": "pages"}
        return number if self.kind is None else f"{number}{unit[self.kind.name]}"

    def set(self, scenario: Data, value: Any) -> Data:
        """Return a scenario with the key set, and with what has to stand beside it."""
        for path, beside in self.beside:
            scenario = with_value(scenario, path, beside, keep=True)
        return with_value(scenario, self.path, value)


def with_value(data: Any, path: tuple[str | int, ...], value: Any, keep: bool = False) -> Any:
    """Return nested data with one value replaced or added; ``keep`` keeps what is there."""
    if not path:
        if keep and isinstance(data, dict) and isinstance(value, dict):
            return {**value, **data}
        return data if keep and data is not None and not isinstance(value, dict) else value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(data) if isinstance(data, list | tuple) else [None]
        items[step] = with_value(items[step], rest, value, keep)
        return items
    table = dict(data) if isinstance(data, Mapping) else {}
    table[step] = with_value(table.get(step), rest, value, keep)
    return table


def numbers() -> list[Number]:
    """Return every numeric key of a scenario: of all kinds of workload, the machine, the kernel."""
    found = [
        one
        for kind, model in workload_kinds().items()
        for one in _in_model(model, WORKLOAD, ((WORKLOAD, workload(kind)),))
    ]
    found += _in_model(MachineKeys, ("machine",), ((("machine",), machine()),))
    found += _in_model(KernelProfile, ("kernel",), ())
    found += _in_model(ScenarioKeys, (), ())
    return [one for one in found if one.path[-1] not in CELLS]


def busy() -> list[Data]:
    """Return workloads that use much of a kernel, each on a CPU of its own."""
    found = []
    for cpu, kind in enumerate(BUSY):
        fields = workload_kinds()[kind].model_fields
        place = {"cpu": cpu} if "cpu" in fields else {"cpus": [cpu]} if "cpus" in fields else {}
        pace = {"arrival": {"every": "20us"}} if "arrival" in fields else {}
        found.append(workload(kind) | place | pace)
    return found


def workload(kind: str) -> Data:
    """Return a workload of a kind that does a little."""
    model = workload_kinds()[kind]
    needed: Data = {"kind": kind, **sample(model)}
    if "segments" in model.model_fields:
        needed["segments"] = ["crc7"]
    if kind == "replay":
        needed["file"] = "calls.csv"
    if kind == "rare_writes":
        needed["pool"] = {"mode": "wr"}
    return needed


BUDGET = ("measure", "budget")
"""Keys that make sense where a CPU is isolated."""


def scenario(one: Number | None = None) -> Data:
    """Return a scenario of one millisecond, in which the workload of a key runs."""
    kind = one.kind_of_workload if one else ""
    if one is not None and one.path == DURATION:
        kind = "policy_load"  # which ends: what has no end takes as long as the run
    isolated = {"isolated": [0]} if one and one.path[:2] == BUDGET else {}
    return {
        "pmsim": 1,
        "machine": machine(3 if kind else len(BUSY)) | {"costs": costs()} | isolated,
        "kernel": {"profile": "linux-6.1-x86_64", **KERNELS.get(kind, {})},
        "duration": "1ms" if kind else "2ms",  # which a module needs
        "measure": {"timeline": "100us"},
        "workloads": [workload(kind)] if kind else busy(),
    }


def costs() -> Data:
    """Return the costs of a machine that can tell other CPUs in every way."""
    return {
        **machine()["costs"],
        "tlbi": {"barrier": "100ns", "operation": "50ns", "round_trip": "300ns"},
        "sbi": {"trap": "100ns", "queue": "10ns", "entry": "200ns"},
        "coherent": {"store": "100ns"},
        "directory": {"lookup": "100ns", "message": "10ns", "round_trip": "300ns"},
        "deferred": {"check": "10ns", "entry_flush": "100ns"},
        "latr": {"save": "132ns", "scan": "20ns", "sweep": "158ns"},
        "rar": {"queue": "10ns", "action": "100ns"},
    }


def sample(model: type[BaseModel]) -> Data:
    """Return the keys that a model needs, each with a small value."""
    required = {
        field.alias or name: _small(_annotated(field))
        for name, field in model.model_fields.items()
        if field.is_required() and name != "kind"
    }
    return required | BESIDE.get(model.__name__, {})


def _in_model(
    model: type[BaseModel],
    path: tuple[str | int, ...],
    beside: tuple[tuple[tuple[str | int, ...], Any], ...],
) -> Iterator[Number]:
    for name, field in model.model_fields.items():
        yield from _in_type(_annotated(field), (*path, field.alias or name), beside)


def _annotated(field: FieldInfo) -> Any:
    """Return a field's type with what was annotated, which pydantic takes off it."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _in_type(
    kind: Any, path: tuple[str | int, ...], beside: tuple[Any, ...], notes: tuple[Any, ...] = ()
) -> Iterator[Number]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *more = get_args(kind)
        for note in more:
            notes = (*notes, *(note.metadata if isinstance(note, FieldInfo) else (note,)))
        quantity = next((note for note in notes if isinstance(note, QuantityKey)), None)
        if quantity is not None:
            most = quantity.largest if quantity.largest is not None else quantity.kind.largest
            least = quantity.smallest
            yield Number(path, beside, quantity.kind, least, most)
            return
        yield from _in_type(inner, path, beside, notes)
    elif origin in (Union, types.UnionType):
        for branch in get_args(kind):
            yield from _in_type(branch, path, beside)
    elif origin is tuple:
        yield from _in_type(get_args(kind)[0], (*path, 0), beside)
    elif origin is dict:
        return
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _in_model(kind, path, (*beside, (path, sample(kind))))
    elif kind is int or kind is float:
        yield Number(path, beside, None, *_ends(notes, kind), whole=kind is int)


def _ends(notes: tuple[Any, ...], kind: type) -> tuple[Any, Any]:
    step = 1 if kind is int else 0
    least = most = None
    for note in notes:
        if isinstance(note, at.Ge):
            least = note.ge
        elif isinstance(note, at.Gt):
            least = note.gt + step  # type: ignore[operator]
        elif isinstance(note, at.Le):
            most = note.le
        elif isinstance(note, at.Lt):
            most = note.lt - step  # type: ignore[operator]
    return least, most


_SMALL: Mapping[str, Any] = {
    units.TIME.name: "1us", units.SIZE.name: "64B", units.PAGES.name: "1 page",
    units.RATE.name: "9000/s",
}  # fmt: skip


def _small(kind: Any) -> Any:
    """Return a small value of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        quantity = next((note for note in arguments[1:] if isinstance(note, QuantityKey)), None)
        return _small(arguments[0]) if quantity is None else _SMALL[quantity.kind.name]
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return _small(arguments[0])
    if origin is tuple:
        return [_small(arguments[0])]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sample(kind)
    return {int: 1, float: 0.5, bool: False, str: "programs.csv", Fraction: "9000/s"}[kind]
