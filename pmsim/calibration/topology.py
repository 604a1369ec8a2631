"""Which CPUs this machine has, and how far they are from each other, as sysfs tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.errors import ScenarioError
from pmsim.readers.machine import cpu_places

SYSFS: Final = Path("/sys/devices/system/cpu")
THREAD, CORE, DIE, PACKAGE = "thread", "core", "die", "package"
LEVELS: Final = ("packages", "dies", "cores", "threads")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a CPU is: its package, its die there, its core there, its thread there."""

    package: int
    die: int
    core: int
    thread: int


@dataclass(frozen=True, slots=True)
class HostTopology:
    """The CPUs of this machine that are online.

    Attributes
    ----------
    places
        Where each is, by Linux's number.
    shape
        Packages, dies of each, cores of each, threads of each: of an irregular machine what it
        comes to with fewer levels.
    notes
        What was left out of an irregular one, in sentences.
    """

    places: Mapping[int, Place]
    shape: tuple[int, int, int, int]
    notes: tuple[str, ...] = ()

    @property
    def order(self) -> list[int]:
        """Linux's numbers in the order in which pmsim counts: threads innermost."""
        return sorted(self.places, key=lambda cpu: (self.places[cpu], cpu))

    def distance(self, one: int, other: int) -> str:
        """Return how far two CPUs are from each other: thread, core, die or package."""
        a, b = self.places[one], self.places[other]
        if a.package != b.package:
            return PACKAGE
        if a.die != b.die:
            return DIE
        return CORE if a.core != b.core else THREAD


def read_topology(root: Path = SYSFS) -> HostTopology:
    """Return the topology of this machine; one of a single CPU where sysfs does not tell it.

    Parameters
    ----------
    root
        Where sysfs has the CPUs.
    """
    try:
        places = cpu_places(root)
    except ScenarioError:
        places = {}
    if _caches_are_cores(places.values()):
        places = {cpu: (package, "", core) for cpu, (package, _, core) in places.items()}
    return topology_of(places or {0: (0, "", "")})


Key = tuple[int, str, str]
"""What is the same for CPUs of a package, of a die of it, and of a core of that."""


def topology_of(keys: Mapping[int, Key]) -> HostTopology:
    """Return the topology of CPUs, each with what tells its package, die and core from others."""
    places = _ranked(keys)
    notes: list[str] = []
    for flat, note in _FLATTENED:
        shape = _shape(places.values())
        if shape is not None:
            return HostTopology(places, shape, tuple(notes))
        notes.append(note)
        places = _ranked({cpu: flat(cpu, key) for cpu, key in keys.items()})
    return HostTopology(places, (1, 1, len(places), 1), tuple(notes))


_FLATTENED: Final[Sequence[tuple[Callable[[int, Key], Key], str]]] = (
    (
        lambda cpu, key: (key[0], key[1], f"{cpu:08d}"),
        "not all cores have as many threads: each CPU is taken as a core",
    ),
    (
        lambda cpu, key: (key[0], "", f"{cpu:08d}"),
        "not all dies have as many cores: each package is taken as one",
    ),
    (
        lambda cpu, _: (0, "", f"{cpu:08d}"),
        "not all packages have as many CPUs: all are taken as one",
    ),
)
"""What an irregular machine is made into, one level after the other, and how that is said."""


def _ranked(keys: Mapping[int, Key]) -> dict[int, Place]:
    """Return the places of CPUs, each level numbered from 0 within the one above."""
    places = {}
    for cpu, (package, die, core) in keys.items():
        packages = sorted({key[0] for key in keys.values()})
        dies = sorted({key[1] for key in keys.values() if key[0] == package})
        cores = sorted({key[2] for key in keys.values() if key[:2] == (package, die)})
        threads = sorted(one for one, key in keys.items() if key == (package, die, core))
        places[cpu] = Place(
            packages.index(package), dies.index(die), cores.index(core), threads.index(cpu)
        )
    return places


def _shape(places: Iterable[Place]) -> tuple[int, int, int, int] | None:
    """Return how many there are of each level, `None` where it is not as many everywhere."""
    found = list(places)
    counts = (
        {len({p.package for p in found})},
        {len({p.die for p in found if p.package == a}) for a in {p.package for p in found}},
        {len({p.core for p in found if (p.package, p.die) == a})
         for a in {(p.package, p.die) for p in found}},
        {len([p for p in found if (p.package, p.die, p.core) == a])
         for a in {(p.package, p.die, p.core) for p in found}},
    )  # fmt: skip
    if any(len(count) > 1 for count in counts):
        return None
    packages, dies, cores, threads = (count.pop() for count in counts)
    return packages, dies, cores, threads


def _caches_are_cores(keys: Iterable[Key]) -> bool:
    """Return whether each core has a third-level cache of its own, as some hosts tell guests."""
    cores = set(keys)
    return len({key[:2] for key in cores}) == len(cores)
