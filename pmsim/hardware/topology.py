"""Who is how far from whom: packages, dies, cores and threads.

Normative source: the machine-model page, section 2 (``docs/machine-model.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod

import numpy as np
import numpy.typing as npt

ByDistance = tuple[int, int, int, int, int]
"""Five costs in picoseconds, indexed by `Distance`."""

MAX_CPUS = 4096
"""The largest machine: what the simulator is tested up to."""


class Distance(IntEnum):
    """How far two logical CPUs are from each other, nearest first."""

    SELF = 0
    THREAD = 1
    CORE = 2
    DIE = 3
    PACKAGE = 4


def at_code(table: ByDistance, code: int) -> int:
    """Return the entry of a table by distance for a distance code: ``3 + h`` is ``h`` hops."""
    return table[code] if code < Distance.PACKAGE else table[Distance.PACKAGE] * (code - 3)


@dataclass(frozen=True, slots=True)
class Topology:
    """``packages x dies x cores x threads`` logical CPUs, threads numbered innermost.

    Parameters
    ----------
    packages, dies, cores, threads
        Dies per package, cores per die and threads per core; each at least 1.
    cpus
        Logical CPUs kept. Below the product, CPUs ``0 .. cpus-1`` remain; above it, packages of
        the same shape are added. ``None`` keeps the product.
    hops
        Optional square matrix, ``hops[p][q]`` the number of interconnect hops between packages
        ``p`` and ``q``; it multiplies costs of the distance ``PACKAGE``. Without it every pair of
        packages is one hop apart.

    Raises
    ------
    ValueError
        If a count is below 1, there are more than `MAX_CPUS` CPUs, or ``hops`` is not a square
        matrix over the packages with entries of at least 1 off the diagonal.
    """

    packages: int = 1
    dies: int = 1
    cores: int = 1
    threads: int = 1
    cpus: int | None = None
    hops: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name in ("packages", "dies", "cores", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.n_cpus <= MAX_CPUS:
            raise ValueError(f"a machine has 1 to {MAX_CPUS} CPUs, not {self.n_cpus}")
        if self.hops is not None:
            self._check_hops(self.hops)

    def _check_hops(self, hops: tuple[tuple[int, ...], ...]) -> None:
        n = self.n_packages
        if len(hops) != n or any(len(row) != n for row in hops):
            raise ValueError(f"hops must be a {n} x {n} matrix, a row per package")
        if any(hops[p][q] < 1 for p in range(n) for q in range(n) if p != q):
            raise ValueError("hops between two different packages must be at least 1")

    @property
    def n_cpus(self) -> int:
        """Number of logical CPUs, all of them online."""
        if self.cpus is not None:
            return self.cpus
        return prod((self.packages, self.dies, self.cores, self.threads))

    @property
    def cpus_per_package(self) -> int:
        """Logical CPUs of a full package."""
        return self.dies * self.cores * self.threads

    @property
    def n_packages(self) -> int:
        """Packages that hold at least one CPU, or are declared."""
        needed = -(-self.n_cpus // self.cpus_per_package)
        return max(needed, self.packages) if self.cpus is None else needed

    def distance(self, a: int, b: int) -> Distance:
        """Return the distance class of two logical CPUs."""
        return Distance(self._distance(a, b))

    def _distance(self, a: int, b: int) -> int:
        """Return the same as a plain number: members of an enumeration are found slowly."""
        if a == b:
            return 0
        size = self.threads
        if a // size == b // size:
            return 1
        size *= self.cores
        if a // size == b // size:
            return 2
        size *= self.dies
        return 3 if a // size == b // size else 4

    @property
    def most_hops(self) -> int:
        """Hops between the two packages that are farthest apart."""
        return 1 if self.hops is None else max(max(row) for row in self.hops)

    def hops_between(self, a: int, b: int) -> int:
        """Return the factor on `PACKAGE` costs between two CPUs: 1 without a matrix."""
        if self.hops is None:
            return 1
        return self.hops[a // self.cpus_per_package][b // self.cpus_per_package]

    def cost(self, table: tuple[int, ...], a: int, b: int) -> int:
        """Return the entry of a table by distance that holds between two CPUs.

        Parameters
        ----------
        table
            Five costs in picoseconds, indexed by `Distance`.
        """
        distance = self._distance(a, b)
        if distance == 4 and self.hops is not None:
            return table[4] * self.hops_between(a, b)
        return table[distance]

    def codes(self) -> npt.NDArray[np.uint8]:
        """Return the distance code of every pair, shape ``(n_cpus, n_cpus)``.

        Code 0 to 3 is the `Distance`; code ``3 + h`` is `PACKAGE` at ``h`` hops.
        """
        cpu = np.arange(self.n_cpus)
        codes = np.full((self.n_cpus, self.n_cpus), 4, dtype=np.uint8)
        if self.hops is not None:
            package = cpu // self.cpus_per_package
            hops = np.asarray(self.hops, dtype=np.uint8)
            codes = (hops[np.ix_(package, package)] + 3).astype(np.uint8)
        sizes = (
            (Distance.DIE, self.cpus_per_package),
            (Distance.CORE, self.cores * self.threads),
            (Distance.THREAD, self.threads),
            (Distance.SELF, 1),
        )
        for distance, size in sizes:
            group = cpu // size
            codes[group[:, None] == group[None, :]] = distance
        return codes

    def max_code(self) -> int:
        """Return the largest code that `codes` can hold."""
        if self.hops is None:
            return int(Distance.PACKAGE)
        return 3 + self.most_hops
