"""What a machine is, what is nearest to it, and what cannot be measured on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pmsim.calibration import host as hosts
from pmsim.calibration.host import Host, processor_of, read_host
from pmsim.calibration.topology import topology_of
from pmsim.errors import CalibrationError
from tests.calibration.made_up import host


def like(keys: dict[str, Any]) -> str:
    """Return the nearest platform of a processor with some keys in /proc/cpuinfo."""
    arch, packages = keys.get("arch", "x86_64"), keys.get("packages", 1)
    text = "\n".join(f"{name}\t: {value}" for name, value in keys.items())
    cpus = {cpu: (cpu, "", str(cpu)) for cpu in range(packages)}
    return replace(host(), arch=arch, processor=processor_of(text), topology=topology_of(cpus)).like


AMD = {"vendor_id": "AuthenticAMD", "cpu family": "25", "model": "1"}
INTEL = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "85"}
GUEST = {"flags": "fpu hypervisor"}


@pytest.mark.parametrize(
    ("platform", "keys"),
    [
        ("epyc-milan", AMD),
        ("epyc-turin", {**AMD, "cpu family": "26"}),
        ("kvm-milan", AMD | GUEST),
        ("skylake-sp-2s", INTEL),
        ("skylake-sp-8s", {**INTEL, "packages": 8}),
        ("kvm-intel-2018", INTEL | GUEST),
        ("altra-max", {"arch": "arm64", "packages": 9}),
        ("kunpeng-920-2s", {"arch": "arm64", "CPU implementer": "0x48", "CPU part": "0xd01"}),
        ("thunderx2-2s", {"arch": "arm64", "CPU implementer": "0x43", "CPU part": "0x0af"}),
        ("cortex-a15", {"arch": "arm32"}),
        ("sg2042", {"arch": "riscv64"}),
    ],
)  # fmt: skip
def test_the_nearest_platform_is_of_the_same_maker_and_kind(
    platform: str, keys: dict[str, Any]
) -> None:
    assert like(keys) == platform


@pytest.mark.parametrize(
    ("release", "kernel"),
    [
        ("6.18.44-fc", "linux-6.18-x86_64"),
        ("7.2.0", "linux-6.18-x86_64"),
        ("6.8.0-41-generic", "linux-6.6-x86_64"),
        ("5.15.0", "linux-5.15-x86_64"),
        ("3.10.0", "linux-4.16-x86_64"),
    ],
)
def test_the_kernel_is_the_newest_that_is_not_newer(release: str, kernel: str) -> None:
    assert replace(host(), release=release).kernel == kernel


def test_threads_of_the_callers_core_are_used_last() -> None:
    # Two packages of two cores of two threads, numbered threads innermost.
    keys = {cpu: (cpu // 4, "", str(cpu // 2)) for cpu in range(8)}
    one = replace(host(), topology=topology_of(keys), allowed=tuple(range(8)))
    assert one.nearest == (2, 3, 4, 6, 5, 7, 1)
    assert one.farther == (4, 1)  # another package, and the own core


def said(one: Host) -> str:
    return " ".join(one.limits)


def test_what_cannot_be_measured_is_said_with_what_can() -> None:
    two = host(2)
    assert said(two) == ""
    assert "one CPU only" in said(host(1))
    assert "what calls cost by themselves is measured" in said(host(1))
    assert "/proc/interrupts shows no calls" in said(replace(two, counted=False))
    turin = processor_of("vendor_id: AuthenticAMD\nflags: invlpgb\n")
    assert "INVLPGB" in said(replace(two, processor=turin))
    assert "membarrier shows interrupts" in said(replace(two, arch="arm64"))
    assert "firmware" in said(replace(two, arch="riscv64"))


def test_this_machine_is_one_that_can_be_measured() -> None:
    one = read_host()
    assert one.cpu in one.allowed
    assert len(one.numbers) == len(one.topology.places)
    if len(one.allowed) == 1:
        assert "one CPU only" in said(one)
    else:
        assert one.nearest


def test_a_machine_of_an_unknown_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts.platform, "machine", lambda: "s390x")
    with pytest.raises(CalibrationError, match="no kernel of s390x is modelled"):
        read_host()
    monkeypatch.setattr(hosts.platform, "system", lambda: "Darwin")
    with pytest.raises(CalibrationError, match="only Linux can be measured"):
        read_host()
