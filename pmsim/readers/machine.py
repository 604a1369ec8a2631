"""Machines as they describe themselves: ``lscpu``, and /sys/devices/system/cpu."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any, Final

from pmsim.cpulist import cpus_of
from pmsim.errors import Fault, ScenarioError
from pmsim.readers.formats import MOST_CPUS
from pmsim.readers.text import text_of, unreadable

_VENDORS: Final = {"0000": "GenuineIntel", "0002": "AuthenticAMD", "0009": "HygonGenuine"}
"""``X86_VENDOR_...`` (arch/x86/include/asm/processor.h), as modalias has them."""
_GUEST: Final = ",009F,"
"""``X86_FEATURE_HYPERVISOR`` (4*32 + 31), as modalias has it."""


@dataclass(frozen=True, slots=True)
class SeenMachine:
    """What a machine says of itself.

    Attributes
    ----------
    arch
        As ``uname -m`` has it; empty where nothing tells.
    vendor, model_name
        Of its processors.
    family, model
        Of x86 processors, 0 elsewhere.
    hypervisor
        Its vendor; empty on bare metal.
    packages, dies, cores, threads
        Packages, dies of each (CPUs that share a last-level cache), cores of each, threads of each.
    cpus
        CPUs that are online.
    order
        The CPUs, numbered as Linux does, in the order of packages, dies, cores and threads; empty
        where nothing tells.
    isolated
        CPUs that are isolated, numbered as Linux does.
    even
        Whether all packages, dies and cores are alike.
    """

    arch: str
    vendor: str
    model_name: str
    family: int
    model: int
    hypervisor: str
    packages: int
    dies: int
    cores: int
    threads: int
    cpus: int
    order: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()
    even: bool = True


def read_lscpu(path: Path) -> SeenMachine:
    """Read what ``lscpu`` prints; raise `ScenarioError` if the topology is not in it."""
    return _from_fields(
        path, _joined(re.findall(r"^\s*([^:\n]+):[ \t]*(.*)$", text_of(path), re.M))
    )


def read_lscpu_json(path: Path) -> SeenMachine:
    """Read what ``lscpu -J`` prints; raise `ScenarioError` if the topology is not in it."""
    text = text_of(path)
    try:
        fields = _joined(_flattened(json.loads(text)["lscpu"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, 1, "this is not what lscpu -J prints", "lscpu -J > FILE") from error
    return _from_fields(path, fields)


def _flattened(entries: list[Any]) -> list[tuple[str, str]]:
    """Return fields and their data, those of newer versions that lie below others too."""
    found = []
    for entry in entries:
        found.append((str(entry["field"]).rstrip(":"), str(entry.get("data") or "")))
        found += _flattened(entry.get("children", []))
    return found


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return fields by name; those that stand there for each kind of core, joined into one package.

    ``lscpu`` (util-linux 2.37 on) tells of each kind of core of a big.LITTLE machine by itself, and
    calls its clusters sockets.
    """
    fields = dict(pairs)
    kinds = [text for name, text in pairs if name == "Model name"]
    shapes = [
        [int(text) for name, text in pairs if name == one and text.isdigit()]
        for one in ("Socket(s)", "Core(s) per socket", "Thread(s) per core")
    ]
    if len(kinds) > 1 and all(len(shape) == len(kinds) for shape in shapes):
        sockets, cores, threads = shapes
        fields["Model name"] = " + ".join(kinds)
        fields["Socket(s)"] = "1"
        fields["Core(s) per socket"] = str(sum(map(mul, sockets, cores)))
        fields["Thread(s) per core"] = str(max(threads))
    return fields


def _from_fields(path: Path, fields: Mapping[str, str]) -> SeenMachine:
    def number(*names: str) -> int:
        texts = (fields[name] for name in names if fields.get(name, "").isdigit())
        return int(next(texts, "0"))

    cpus = number("CPU(s)")
    packages = number("Socket(s)") or 1
    clusters = number("Cluster(s)")
    cores = number("Core(s) per socket")
    if not cores and clusters:  # where Arm's firmware tells of no sockets
        cores = clusters * number("Core(s) per cluster")
    threads = number("Thread(s) per core") or 1
    if not cpus or not cores:
        raise unreadable(path, 1, "CPU(s) or Core(s) per socket are missing", "lscpu > FILE")
    online = fields.get("On-line CPU(s) list", "")
    caches = re.search(r"\((\d+) instances?\)", fields.get("L3 cache") or fields.get("L3") or "")
    dies = int(caches[1]) // packages if caches else 1
    if dies < 1 or cores % dies:
        dies = 1
    return SeenMachine(
        arch=fields.get("Architecture", ""),
        vendor=fields.get("Vendor ID", ""),
        model_name=fields.get("Model name", ""),
        family=number("CPU family"),
        model=number("Model"),
        hypervisor=fields.get("Hypervisor vendor", ""),
        packages=packages,
        dies=dies,
        cores=cores // dies,
        threads=threads,
        cpus=len(cpus_of(online, MOST_CPUS)) if online else cpus,
    )


def read_sysfs(path: Path) -> SeenMachine:
    """Read a directory such as /sys/devices/system/cpu.

    Raises
    ------
    ScenarioError
        If a CPU's package or core is missing there.
    """
    places = cpu_places(path)
    order = tuple(sorted(places, key=lambda cpu: (places[cpu], cpu)))
    packages = len({place[0] for place in places.values()})
    dies = Counter(package for package, _ in {place[:2] for place in places.values()})
    cores = Counter(place[:2] for place in set(places.values()))
    threads = Counter(places.values())
    alias = _word(path / "modalias")
    x86 = re.search(r"type:x86,ven(\w{4})fam(\w{4})mod(\w{4})", alias)
    plain = re.search(r"type:(\w+)", alias)
    isolated = _word(path / "isolated")
    return SeenMachine(
        arch="x86_64" if x86 else plain[1] if plain else "",
        vendor=_VENDORS.get(x86[1], "") if x86 else "",
        model_name="",
        family=int(x86[2], 16) if x86 else 0,
        model=int(x86[3], 16) if x86 else 0,
        hypervisor="a hypervisor" if x86 and _GUEST in alias else "",
        packages=packages,
        dies=max(dies.values()),
        cores=max(cores.values()),
        threads=max(threads.values()),
        cpus=len(places),
        order=order,
        isolated=cpus_of(isolated, MOST_CPUS),
        even=len({*dies.values()}) == len({*cores.values()}) == len({*threads.values()}) == 1,
    )


def cpu_places(path: Path) -> dict[int, tuple[int, str, str]]:
    """Return package, die and core of each CPU, in a directory such as /sys/devices/system/cpu.

    Raises
    ------
    ScenarioError
        If a CPU's package or core is missing there.
    """
    return {
        int(directory.parent.name.removeprefix("cpu")): _place(directory)
        for directory in path.glob("cpu[0-9]*/topology")
    }


def _place(directory: Path) -> tuple[int, str, str]:
    """Return package, die and core of a CPU; a die is known by the CPUs of its last-level cache."""
    package, core = _word(directory / "physical_package_id"), _word(directory / "core_id")
    if not package.lstrip("-").isdigit() or not core:
        fault = Fault(str(directory), 0, 0, "bad-directory", "physical_package_id or core_id is"
                      " missing", "copy it with cp -rL, or tar it up on the machine")  # fmt: skip
        raise ScenarioError([fault])
    shared = _word(directory.parent / "cache" / "index3" / "shared_cpu_list")
    siblings = _word(directory / "thread_siblings_list") or core
    die = shared or _word(directory / "die_id")
    return int(package), _in_order(die), _in_order(siblings)


def _in_order(text: str) -> str:
    """Return a list of CPUs such that others of its kind sort by their first CPU."""
    first = re.match(r"\d+", text)
    return f"{int(first[0]) if first else 0:08d} {text}"


def _word(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
