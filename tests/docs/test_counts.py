"""What the README and the first page count is there."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import pytest

import pmsim
from pmsim.hardware.topology import MAX_CPUS
from pmsim.kernel.profiles import profile_names
from pmsim.scenario.platform import load_platform, platform_names

ROOT = Path(__file__).parents[2]


def told(page: str) -> str:
    """Return a page as one line of words."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_kernels_and_cpus_are_counted_right(page: str) -> None:
    kernels = profile_names()
    versions = sorted(
        {name.split("-")[1] for name in kernels},
        key=lambda version: [int(part) for part in version.split(".") if part.isdigit()],
    )
    said = told(page)
    assert f"{len(kernels)} Linux kernels" in said
    assert f"from {versions[0]} to {versions[-1]}" in said
    assert f"up to {MAX_CPUS:,} CPUs" in said


def test_machines_are_counted_right() -> None:
    sizes = [load_platform(name).topology.n_cpus for name in platform_names()]
    machines = f"{len(sizes)} machines from {min(sizes)} to {max(sizes)} CPUs"
    assert f"{machines}, {len(profile_names())} kernels" in told("README.md")


def test_the_runs_of_the_study_are_counted_right() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    studies = [pmsim.load(name) for name in re.findall(r"pmsim sweep (\S+)", recipe)]
    runs = sum(
        prod(map(len, study.sweep.values())) * study.resolve().replications for study in studies
    )
    kernels = {str(kernel) for study in studies for kernel in study.sweep.get("kernel", ())}
    cpus = [cpus for study in studies for cpus in study.sweep["machine.cpus"]]
    said = told("README.md")
    assert f"{runs:,} runs in" in said
    assert f"asks it of {len(kernels)} kernels on {min(cpus)} to {max(cpus)} CPUs" in said
