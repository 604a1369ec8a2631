"""A machine that describes itself becomes one to simulate: its topology, and costs of the nearest.

Nothing that a machine says of itself tells what an interrupt or a TLB walk costs there. So the
costs are those of the shipped platform that is nearest, and the file says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pmsim import formatting
from pmsim.cpulist import format_cpulist
from pmsim.imports.found import Imported, sentences, text_file
from pmsim.readers.formats import Format
from pmsim.readers.machine import SeenMachine, read_lscpu, read_lscpu_json, read_sysfs
from pmsim.report.table import Table, word
from pmsim.scenario.nearest import nearest

READERS: Final = {
    Format.LSCPU: read_lscpu,
    Format.LSCPU_JSON: read_lscpu_json,
    Format.SYSFS: read_sysfs,
}
FILE: Final = "machine.yaml"
"""The piece of a scenario that is written."""


KERNELS: Final = {
    "altra-max": "linux-6.12-arm64",
    "ampereone-192": "linux-6.12-arm64",
    "grace-2s": "linux-6.12-arm64",
    "tensor-g4": "linux-6.12-arm64",
    "snapdragon-888": "linux-6.12-arm64",
    "thunderx2-2s": "linux-6.12-arm64",
    "kunpeng-920-2s": "linux-6.12-arm64",
    "cortex-a15": "linux-6.1-arm32",
    "sg2042": "linux-6.12-riscv64",
    "hifive-unmatched": "linux-6.12-riscv64",
    "xeon-2003": "linux-4.16-x86_32",
}
"""The kernel of the scenario that is written, where it is not x86 of 64 bits."""


_ZEN: Final = {23: "Zen or Zen 2", 25: "Zen 3", 26: "Zen 5"}
_ZEN_4: Final = (range(0x10, 0x20), range(0x60, 0xB0))
"""What AMD's families are, and the models of family 25 that are Zen 4 (``bsp_init_amd``,
arch/x86/kernel/cpu/amd.c, 6.8): names of guests' processors often tell no more than *AMD EPYC*."""


def zen_of(seen: SeenMachine) -> str:
    """Return the generation of an AMD processor; empty where it is none, or not known."""
    if seen.vendor != "AuthenticAMD":
        return ""
    if seen.family == 25 and any(seen.model in models for models in _ZEN_4):
        return "Zen 4"
    return _ZEN.get(seen.family, "")


def import_machine(path: Path, format_: Format) -> Imported:
    """Return a machine, and a scenario that runs on it.

    Raises
    ------
    ScenarioError
        If the file or directory does not tell its topology.
    """
    seen = READERS[format_](path)
    platform = nearest(seen)
    said = [
        f"{formatting.counted(seen.cpus, 'CPU')}: {_shape(seen)}",
        f"its costs are those of {platform}, the nearest of the platforms: nothing in the file"
        " tells what an interrupt costs; times are as far off as the two machines are apart",
    ]
    if seen.hypervisor:
        said.append(f"a guest of {seen.hypervisor}, whose interrupts go through the host")
        generation = zen_of(seen)
        if platform.startswith("kvm-milan") and generation not in {"", "Zen 3"}:
            said.append(
                f"family {seen.family}, model {seen.model} is {generation}, but no guest of one is"
                f" among the platforms, and {platform} is one of Zen 3: pmsim calibrate, in the"
                " guest, measures it"
            )
    said += _numbering(seen)
    rows = [
        ("architecture", seen.arch or "not told"),
        ("processor", _processor(seen)),
        ("packages", str(seen.packages)),
        ("dies of each", str(seen.dies)),
        ("cores of each", str(seen.cores)),
        ("threads of each", str(seen.threads)),
        ("isolated", format_cpulist(_isolated(seen)) or "none"),
        ("costs of", platform),
    ]
    table = Table("machine", ("what", "value"), tuple((word(a), word(b)) for a, b in rows))
    text = _scenario(path.name, format_, seen, platform)
    return Imported(path.name, format_.value, sentences(said), (table,), {FILE: text_file(text)})


def _processor(seen: SeenMachine) -> str:
    """Return what is known of the processor: its name, or vendor, family and model (modalias)."""
    if seen.model_name or not seen.vendor:
        return seen.model_name or "not told"
    return f"{seen.vendor}, family {seen.family}, model {seen.model}"


def _shape(seen: SeenMachine) -> str:
    parts = (
        (seen.packages, "package"),
        (seen.dies, "die"),
        (seen.cores, "core"),
        (seen.threads, "thread"),
    )
    return " x ".join(formatting.counted(number, name) for number, name in parts)


def _numbering(seen: SeenMachine) -> list[str]:
    """Say how its CPUs are numbered here, where that is another way."""
    said = []
    whole = seen.packages * seen.dies * seen.cores * seen.threads
    if seen.even and seen.cpus < whole:
        said.append(
            f"it has fewer CPUs than these {whole}: some are offline, or some cores have fewer"
            " threads than others; here the last ones are left out"
        )
    if not seen.even:
        said.append("its packages, dies or cores differ; here all are as large as the largest")
    if seen.order and seen.order != tuple(sorted(seen.order)):
        at = next(place for place, cpu in enumerate(seen.order) if place != cpu)
        said.append(
            "Linux numbers its CPUs in another order than pmsim, where threads of a core come one"
            f" after the other: CPU {at} here is CPU {seen.order[at]} there"
        )
    elif not seen.order and seen.threads > 1:
        said.append(
            "Linux may number the second threads of all cores last; here threads of a core come"
            " one after the other (a copy of /sys/devices/system/cpu tells)"
        )
    return said


def _isolated(seen: SeenMachine) -> list[int]:
    """Return the isolated CPUs as they are numbered here."""
    places = {cpu: place for place, cpu in enumerate(seen.order)}
    return [places[cpu] for cpu in seen.isolated if cpu in places]


def _scenario(name: str, format_: Format, seen: SeenMachine, platform: str) -> str:
    topology = (
        f"{{packages: {seen.packages}, dies: {seen.dies}, cores: {seen.cores},"
        f" threads: {seen.threads}}}"
    )
    isolated = format_cpulist(_isolated(seen))
    lines = [
        f"# Made by pmsim import of {name}, {format_.value}.",
        f"# Processor: {_processor(seen)}.",
        "# The topology is the machine's own. The costs are those of the nearest platform,",
        f"# {platform}: nothing was measured on this machine.",
        "pmsim: 1",
        f"name: {re.sub(r'[^A-Za-z0-9_.-]', '-', name)}",
        "description: What does a flush of everything cost on this machine?",
        "machine:",
        f"  platform: {platform}",
        f"  topology: {topology}",
        f"  cpus: {seen.cpus}",
        *([f"  isolated: '{isolated}'"] if isolated else []),
        f"kernel: {KERNELS.get(platform, 'linux-6.12-x86_64')}",
        "until: done",
        "workloads:",
        "  - {kind: kernel_flush, cpus: [0], flushes: 100, pages: all, arrival: {every: 1ms}}",
        "  - {kind: user_work, cpus: others}",
    ]
    return "\n".join(lines) + "\n"
