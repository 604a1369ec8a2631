"""A calibration as experiments: ``pmsim reproduce host`` predicts its cells from its own file.

Cells that were held out are predicted; those that were fitted may be. Where pmsim ships
measurements of a machine like it (experiments named after the nearest platform, on as many CPUs),
they are predicted from the file too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pmsim.calibration.calibration import cells_file
from pmsim.calibration.cells import Cell
from pmsim.calibration.model import Setup, observable, scenario_of
from pmsim.errors import Fault, ScenarioError
from pmsim.reproduction.experiment import RUN, Experiment, Point, experiment_names, load_experiment
from pmsim.reproduction.measurements import Measured, Measurements, Use
from pmsim.scenario.nodes import node_of
from pmsim.scenario.platform import load_platform

_ZEN_3: Final = frozenset((0x19, number) for number in range(0x10))
"""Family and models of AMD EPYC 7003 (arch/x86/kernel/cpu/amd.c, ``bsp_init_amd``)."""
ENDINGS: Final = (".yaml", ".yml")


def calibration_at(name: str) -> Path | None:
    """Return the platform file that a name stands for if there are cells beside it.

    Parameters
    ----------
    name
        The file, or its name without the ending, such as ``host``.
    """
    given = Path(name)
    paths = [given] if given.suffix in ENDINGS else [Path(f"{name}{end}") for end in ENDINGS]
    return next((path for path in paths if path.is_file() and cells_file(path).is_file()), None)


def calibrated_experiments(path: Path) -> list[Experiment]:
    """Return the experiments that a calibration is: a curve each, and what is shipped of its like.

    Parameters
    ----------
    path
        The platform file; the cells are beside it.

    Raises
    ------
    ScenarioError
        If the platform has faults, or the cells cannot be read.
    """
    load_platform(str(path.absolute()))
    found = _read(cells_file(path))
    curves: dict[str, list[tuple[Cell, float]]] = {}
    for cell, ns in found.cells:
        curves.setdefault(cell.curve, []).append((cell, ns))
    setup = Setup(str(path.absolute()), found.kernel, found.cpu, found.numbers)
    own = [_curve(path, found, setup, curve, rows) for curve, rows in curves.items()]
    return [*own, *_shipped(path, found)]


@dataclass(frozen=True, slots=True)
class _Cells:
    """What a file of cells says: those that count, with their medians, and where they are from."""

    cells: Sequence[tuple[Cell, float]]
    machine: str
    zen_3: bool
    like: str
    kernel: str
    cpu: int
    numbers: Mapping[int, int]


def _read(path: Path) -> _Cells:
    """Return what a file of cells says; raise `ScenarioError` if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        host = content["host"]
        return _Cells(
            cells=[
                (_cell(row), float(row["ns"])) for row in content["cells"] if not row["refused"]
            ],
            machine=f"{host['model']}, Linux {host['release']}",
            zen_3=(host["family"], host["number"]) in _ZEN_3,
            like=str(content["like"]),
            kernel=str(content["kernel"]),
            cpu=int(content["cpu"]),
            numbers={int(cpu): int(number) for cpu, number in content["numbers"].items()},
        )
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError):
        message = "this file holds no cells of `pmsim calibrate`"
    hint = "pmsim calibrate --force writes it anew"
    raise ScenarioError([Fault(str(path), 0, 0, "no-cells", message, hint)])


def _cell(row: Mapping[str, Any]) -> Cell:
    return Cell(
        call=row["call"],
        figure=row["figure"],
        pages=int(row["pages"]),
        others=row["others"],
        cpus=tuple(map(int, row["cpus"])),
        idle_ns=int(row["idle_ns"]),
        held_out=bool(row["held_out"]),
    )


def _curve(
    path: Path, found: _Cells, setup: Setup, curve: str, rows: Iterable[tuple[Cell, float]]
) -> Experiment:
    """Return one curve of cells as an experiment."""
    rows = list(rows)
    first = rows[0][0]
    points, measured = [], {}
    for number, (cell, ns) in enumerate(rows):
        row = f"cell{number}"
        use: Use = "predict" if cell.held_out else "calibrate"
        measured[row] = Measured(row, ns, "ns", use, cells_file(path).name, "")
        (process,) = scenario_of(cell, setup).as_dict()["workloads"]
        changes = (("workloads.process", node_of(process)),)
        at = cell.us if cell.others == "idle" else cell.pages
        points.append(Point(cell.name, row, use, at, {RUN: changes}, {}, RUN, ""))
    return Experiment(
        name=f"{path.stem}-{curve}",
        title=_title(first),
        source=f"{cells_file(path).name}, written by `pmsim calibrate`",
        machine=f"{found.machine}; {path.name} stands for it",
        assumes=("Medians are compared with what the model says, which has no noise.",),
        missing=_MISSING,
        stands_in=False,
        seen="",
        scenario=scenario_of(first, setup),
        observe=observable(first),
        unit="ns",
        clock=None,
        axis="idle, in µs" if first.others == "idle" else "pages" if len(rows) > 1 else "",
        absolute=True,
        calibrate=None,
        points=tuple(points),
        signs=(),
        measurements=Measurements(measured),
    )


_MISSING: Final = (
    "Caches that are colder the more pages there are; page tables that calls walk; what virtual"
    " machines do beside interrupts."
)
_DO: Final[Mapping[str, str]] = {
    "none": "by itself",
    "asleep": "while another thread sleeps",
    "spinning": "while other threads compute",
    "idle": "while the CPU of another thread idles",
}


def _title(cell: Cell) -> str:
    what = {
        "call": f"{cell.call.partition('_')[0]}",
        "mmap": "mmap",
        "touch": "the first touch of pages",
        "lost": f"what {cell.call} takes from a CPU that computes",
    }[cell.figure]
    tables = " of a page that its page table goes with" if cell.call == "munmap_tables" else ""
    where = f" (CPUs {', '.join(map(str, cell.cpus))})" if cell.cpus else ""
    return f"{what}{tables} {_DO[cell.others]}{where}"


def _shipped(path: Path, found: _Cells) -> Iterator[Experiment]:
    """Yield the shipped experiments about a machine of the same kind, on this one's file.

    They were measured on processors of one generation, Zen 3. On others only their shape is tried.
    """
    for name in experiment_names():
        if not name.startswith(f"{found.like}-"):
            continue
        one = load_experiment(name)
        machine = one.scenario.resolve().machine
        if machine.name == found.like and machine.topology.n_cpus == len(found.numbers):
            yield replace(
                one,
                name=f"{path.stem}-as-{name}",
                machine=f"{one.machine} Here {path.name} stands for it: {found.machine}.",
                scenario=one.scenario.with_nodes([("machine", node_of(str(path.absolute())))]),
                absolute=found.zen_3,
            )
