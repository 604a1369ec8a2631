"""``pmsim costs``."""

from __future__ import annotations

import csv
import io
import json

from pmsim.kernel.profiles import profile_names
from pmsim.prices.catalogue import CATALOGUE
from tests.cli.conftest import Pmsim


def test_costs_prices_every_operation_on_every_kernel(pmsim: Pmsim) -> None:
    done = pmsim("costs", "--cpus", "2", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    found = {(row["kernel"], row["operation"]) for row in rows}
    assert found == {(kernel, name) for kernel in profile_names() for name in CATALOGUE}
    assert {row["cpus"] for row in rows} == {"2"}


def test_costs_of_kernels_and_platforms_named_are_a_table_each(inside: Pmsim) -> None:
    options = ("--kernel", "linux-6.1-x86_64", "--platform", "epyc-milan", "--platform")
    said = inside("costs", *options, "opteron-2008", "--cpus", "4").stdout
    titles = [line for line in said.splitlines() if line.startswith("**")]
    assert titles == [
        "**linux-6.1-x86_64** on epyc-milan, 4 CPUs",
        "**linux-6.1-x86_64** on opteron-2008, 4 CPUs",
    ]


def test_costs_of_a_kernel_with_a_changed_key_differ(inside: Pmsim) -> None:
    def rows(kernel: str) -> dict[str, int]:
        said = inside("costs", "--kernel", kernel, "--cpus", "2", "--format", "json").stdout
        return {row["operation"]: row["full"] for row in json.loads(said)}

    assert rows("linux-6.1-x86_64,ceiling=4")["destroy"] == 19
    assert rows("linux-6.1-x86_64")["destroy"] == 10


def test_costs_takes_the_sizes_of_the_pool(inside: Pmsim) -> None:
    options = ("--kernel", "linux-6.1-x86_64", "--cpus", "2", "--areas", "3", "--pages", "7")
    said = inside("costs", *options).stdout
    row = next(line for line in said.splitlines() if "protect 3 areas × 7 pages" in line)
    assert row.split("|")[2].strip() == "3"


def test_costs_of_an_unknown_kernel_is_bad_input(pmsim: Pmsim) -> None:
    done = pmsim("costs", "--kernel", "linux-6.1-x86-64")
    assert done.returncode == 2
    assert "did you mean linux-6.1-x86_64?" in done.stderr
    assert done.stderr.splitlines()[-1] == "1 fault"


def test_costs_of_a_kernel_on_a_machine_that_it_does_not_run_on_is_bad_input(
    inside: Pmsim,
) -> None:
    done = inside("costs", "--kernel", "linux-6.1-arm64", "--platform", "skylake-sp-2s")
    assert done.returncode == 2
    assert "wrong-architecture" in done.stdout


def test_costs_in_an_unknown_format_is_bad_usage(inside: Pmsim) -> None:
    assert inside("costs", "--format", "html").returncode == 2


def test_costs_of_no_cpus_is_bad_usage(inside: Pmsim) -> None:
    assert inside("costs", "--cpus", "0").returncode == 2
