"""Which shipped platform is nearest to a machine that describes itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pmsim.readers.machine import SeenMachine


@dataclass(frozen=True, slots=True)
class _Rule:
    """Machines of one kind, and the platform that is nearest to them.

    Of each text an expression has to be found in what the machine says; numbers are the least.
    Models are named as ``lscpu`` does: on x86 as the processor itself, on Arm by its table of parts
    (util-linux, sys-utils/lscpu-arm.c), on RISC-V by ``uarch`` of /proc/cpuinfo. The second digit
    of a scalable Xeon's number is its generation: 3 is Ice Lake (or Cooper Lake, whose numbers end
    in H), 4 Sapphire Rapids, 5 Emerald Rapids. An AMD family of 26 is Zen 5
    (arch/x86/kernel/cpu/amd.c, ``bsp_init_amd``), an Intel family of 15 NetBurst.
    """

    platform: str
    arch: str
    vendor: str = ""
    model: str = ""
    hypervisor: str = ""
    family: int = 0
    cpus: int = 0
    packages: int = 0

    def fits(self, seen: SeenMachine) -> bool:
        texts = (
            (self.arch, seen.arch),
            (self.vendor, seen.vendor),
            (self.model, seen.model_name),
            (self.hypervisor, seen.hypervisor),
        )
        new = seen.family >= self.family
        large = seen.cpus >= self.cpus and seen.packages >= self.packages
        return (
            new and large and all(re.search(wanted, told, re.IGNORECASE) for wanted, told in texts)
        )


RULES: Final = (
    _Rule("kvm-milan-2s", "x86_64", "AMD", hypervisor=".", cpus=65),
    _Rule("kvm-milan", "x86_64", "AMD", hypervisor="."),
    _Rule("kvm-sapphire-rapids", "x86_64", "Intel", "Sapphire|[468]4\\d\\d|Emerald", "."),
    _Rule("kvm-intel-2018", "x86_64", "Intel", hypervisor="."),
    _Rule("ryzen-9-5950x", "x86_64", "AMD", "Ryzen (?!Threadripper)"),
    _Rule("epyc-turin", "x86_64", "AMD", family=26),
    _Rule("opteron-2008", "x86_64", "AMD", "Opteron"),
    _Rule("epyc-milan", "x86_64", "AMD|Hygon"),
    _Rule("skylake-sp-8s", "x86_64", "Intel", packages=4),
    _Rule("xeon-2006", "x86_64", "Intel", "Xeon.* [357][0-4]\\d\\d\\b"),
    _Rule("core-i9-9900k", "x86_64", "Intel", r"Core\(TM\) |Xeon\(R\) (CPU )?E3?-"),
    _Rule("ice-lake-sp-2s", "x86_64", "Intel", r"(Platinum|Gold|Silver) \d3\d\d(?!H)"),
    _Rule(
        "sapphire-rapids-2s",
        "x86_64",
        "Intel",
        r"(Platinum|Gold|Silver|Bronze|Max) \d[45]\d\d|Xeon\(R\) 6\d\d\d",
    ),
    _Rule("skylake-sp-2s", "x86_64"),
    _Rule("xeon-2003", "i[3-6]86", "Intel", family=15),
    _Rule("xeon-2006", "i[3-6]86"),
    _Rule("thunderx2-2s", "aarch64", model="ThunderX2"),
    _Rule("kunpeng-920-2s", "aarch64", "HiSilicon", ""),
    _Rule("kunpeng-920-2s", "aarch64", model="Kunpeng|TSV110"),
    _Rule("ampereone-192", "aarch64", "Ampere", "Ampere-?1|AmpereOne"),
    _Rule("grace-2s", "aarch64", model="Neoverse-V2"),
    _Rule("tensor-g4", "aarch64", model="Cortex-(X4|A720|A520)"),
    _Rule("altra-max", "aarch64", cpus=9),
    _Rule("snapdragon-888", "aarch64"),
    _Rule("cortex-a15", "armv[67]"),
    _Rule("hifive-unmatched", "riscv64", model="sifive"),
    _Rule("sg2042", "riscv64"),
)
"""The first that fits is the nearest; an x86 machine is the last resort."""


def nearest(seen: SeenMachine) -> str:
    """Return the name of the platform whose costs come nearest to a machine's."""
    return next((rule.platform for rule in RULES if rule.fits(seen)), "skylake-sp-2s")
