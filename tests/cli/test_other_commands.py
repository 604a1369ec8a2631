from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pmsim
from pmsim.cli.app import app
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import profile_counted, profile_differences, profile_names
from pmsim.scenario import needs
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.platform import load_platform, platform_names
from pmsim.scenario.shipped import scenario_names
from pmsim.simulation.tables.protocols import PROTOCOLS
from pmsim.workloads.registry import workload_kinds
from tests.cli.conftest import Pmsim
from tests.reference.examples import PAGE

HEAVY = ("numpy", "numba", "pandas", "pyarrow", "matplotlib", "pydantic", "simpy", "ruamel")
DRAWING = ("matplotlib", "pandas")


def test_help_lists_every_command(pmsim: Pmsim) -> None:
    done = pmsim("--help")
    assert done.returncode == 0
    for command in ("run", "check", "list", "costs", "plot", "schema"):
        assert f"  {command} " in done.stdout


def test_help_says_of_every_command_what_it_does_in_a_whole_sentence(
    inside: Pmsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = inside("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert len(listed.splitlines()) == len(app.registered_commands)
    assert [line for line in listed.splitlines() if not line.endswith(".") or "..." in line] == []


def test_the_version_is_that_of_the_package(inside: Pmsim) -> None:
    said = inside("--version")
    assert (said.returncode, said.stdout) == (0, f"pmsim {pmsim.__version__}\n")
    assert pmsim.__version__ == metadata.version("pmsim")


def test_no_command_at_all_shows_the_help(pmsim: Pmsim) -> None:
    done = pmsim()
    assert "Usage" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], HEAVY),
        (["list", "protocols"], DRAWING),
        (["list", "experiments"], DRAWING),
        (["check", "policy-load"], DRAWING),
    ],
    ids=lambda one: " ".join(one),
)
def test_commands_load_nothing_heavy_that_they_do_not_need(
    words: list[str], heavy: tuple[str, ...]
) -> None:
    # What `pmsim --help` costs is what it imports; a time would be a test of the machine.
    code = (
        "import sys\n"
        f"sys.argv = ['pmsim', *{words!r}]\n"
        "from pmsim.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_list_of_protocols_reads_each_machine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(name: str) -> MachineDescription:
        read.append(name)
        return load_platform(name)

    monkeypatch.setattr(needs, "load_platform", reading)
    needs._described.cache_clear()
    having = {name: needs.platforms_with(name) for name in PROTOCOLS}
    assert having["ipi"] == platform_names() == read


@pytest.mark.parametrize(
    "args", [("frobnicate",), ("run",), ("run", "policy-load", "--colour"), ("list", "colours")]
)
def test_bad_usage_ends_with_2(inside: Pmsim, args: tuple[str, ...]) -> None:
    assert inside(*args).returncode == 2


def test_check_says_what_a_valid_scenario_is(pmsim: Pmsim, policy_file: Path) -> None:
    done = pmsim("check", policy_file, "policy-load")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{policy_file}: valid: 4 CPUs, linux-6.1-x86_64, selinux, victims"
    assert lines[1].startswith("policy-load: valid: 56 CPUs")


def test_check_counts_a_single_cpu_as_one(pmsim: Pmsim, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "pmsim: 1\nmachine: {platform: skylake-sp-2s, cpus: 1}\nuntil: done\n"
        "workloads: [{kind: pool_churn}]\n"
    )
    done = pmsim("check", tmp_path / "small.yaml")
    assert ": valid: 1 CPU, " in done.stdout


def test_check_reports_every_fault_of_every_file(
    pmsim: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("pmsim: 1\nmachine: skylake-sp-2s\nduration: 5\n")
    done = pmsim("check", "bad.yaml", policy_file, "nowhere.yaml")
    assert done.returncode == 2
    assert f"{policy_file}: valid" in done.stdout
    assert "bad.yaml:3:11:" in done.stderr
    assert "[missing-unit]" in done.stderr
    assert "nowhere.yaml" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("faults")


@pytest.mark.parametrize(
    ("what", "entries"),
    [
        ("platforms", platform_names()),
        ("kernels", profile_names()),
        ("workloads", list(workload_kinds())),
        ("scenarios", ["policy-load", "one-broadcast"]),
        ("protocols", ["ipi"]),
        ("metrics", ["lost_share", "latency_p99_ps", "violations"]),
    ],
)
def test_list_names_everything_there_is(inside: Pmsim, what: str, entries: list[str]) -> None:
    done = inside("list", what)
    said = [line.split(" ")[0] for line in done.stdout.splitlines() if line]
    assert done.returncode == 0
    assert set(entries) <= set(said)


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("what", ["scenarios", "workloads"])
def test_long_lists_are_an_index_of_a_line_each(
    inside: Pmsim, monkeypatch: pytest.MonkeyPatch, what: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    *lines, more = inside("list", what).stdout.splitlines()
    names = scenario_names() if what == "scenarios" else list(workload_kinds())
    assert [line.split(" ")[0] for line in lines] == names
    assert all(len(line) <= columns for line in lines)
    assert more == f"pmsim list {what} NAME: all of one"
    if what == "scenarios" and columns == 120:
        (policy,) = (line for line in lines if line.startswith("policy-load "))
        assert " skylake-sp-2s " in policy


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("run pol", {"policy-load", "policy-load-in-peace", "policy-load-in-boot-storm"}),
        ("check mine/", {"mine/a.yaml"}),
        ("list kernels linux-6.12-x", {"linux-6.12-x86_64"}),
        ("list ker", {"kernels"}),
        ("reproduce piggin-2008-e", {"piggin-2008-eager"}),
    ],
)
def test_tab_completes_names_and_files(
    inside: Pmsim, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, completed: set[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("a.yaml", "b.txt"):
        (tmp_path / "mine" / name).write_text("")
    monkeypatch.setenv("_PMSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"pmsim {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    done = CliRunner().invoke(app, [], prog_name="pmsim")
    assert set(done.output.split()) == completed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": "10ms"}, "duration: 10ms ends a run after a time"),
        ({"duration": "10ms", "measure.warmup": "20ms"}, "20ms are left out of a run of 10ms"),
        ({"machine.cpus": "1,2"}, "`pmsim sweep FILE --set machine.cpus=1,2` runs each of them"),
    ],
)
def test_mistakes_are_told_with_what_was_probably_meant(
    inside: Pmsim, changes: dict[str, str], said: str
) -> None:
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    done = inside("run", "one-broadcast", *options)
    assert done.returncode == 2
    assert said in " ".join(done.stdout.split())


def test_names_with_other_numbers_are_not_near(inside: Pmsim) -> None:
    assert "did you mean" not in inside("list", "kernels", "linux-6.2-x86_64").stdout
    assert "did you mean" in inside("list", "kernels", "linux-6.12-x8664").stdout


@pytest.mark.parametrize(
    ("what", "name", "detail"),
    [
        ("kernels", "linux-6.12-x86_64", "source: "),
        ("platforms", "skylake-sp-2s", "costs.ipi.queue"),
        ("workloads", "pool_churn", "allocations"),
        ("scenarios", "pool-churn", "kind"),
        ("protocols", "ipi", "acknowledges"),
        ("metrics", "operation_p99_ps", "operation_p99_ps[NAME]"),
    ],
)
def test_list_shows_one_thing_alone_with_its_details(
    inside: Pmsim, what: str, name: str, detail: str
) -> None:
    said = inside("list", what, name).stdout
    assert [line for line in said.splitlines() if line and not line.startswith(" ")] == [name]
    assert detail in said


def test_list_offers_the_nearest_name_for_a_wrong_one(inside: Pmsim) -> None:
    done = inside("list", "workloads", "pool_chrun")
    assert done.returncode == 2
    assert "there is no 'pool_chrun' among the workloads: did you mean pool_churn?" in done.stdout


def test_list_runs_as_a_command(pmsim: Pmsim) -> None:
    done = pmsim("list", "platforms")
    assert (done.returncode, done.stderr) == (0, "")
    assert "skylake-sp-2s" in done.stdout.splitlines()


def part_of_list(said: str, name: str) -> str:
    """Return what is said of one thing."""
    return said.split(f"\n{name}\n", 1)[1].split("\nlinux-", 1)[0]


def test_list_kernels_with_details_explains_each_key_with_its_source(inside: Pmsim) -> None:
    said = inside("list", "kernels", "--details").stdout
    whole = part_of_list(said, "linux-6.1-x86_64").split("\n    With ", 1)[0]
    keys = [key for key in KernelProfile.model_fields if key != "name"]
    assert [key for key in keys if f"    {key} " not in whole] == []
    assert whole.count("source: ") == len(keys)


def test_list_kernels_says_which_were_counted_and_which_only_read(inside: Pmsim) -> None:
    said = " ".join(inside("list", "kernels").stdout.split())
    assert "[counted: Debian 6.12.117-amd64]" in said
    assert said.count("[read from sources]") == sum(
        profile_counted(name) is None for name in profile_names()
    )


def test_list_kernels_with_details_tells_a_kernel_apart_from_the_one_it_is_like(
    inside: Pmsim,
) -> None:
    said = inside("list", "kernels", "--details").stdout
    part = part_of_list(said, "linux-6.6-x86_64")
    assert "As linux-6.1-x86_64, apart from:" in part
    for one in profile_differences("linux-6.6-x86_64"):
        assert f"    {one.key} " in part
        assert f"{one.value} instead of {one.other}" in part
    assert "crosscall_order" not in part


def test_list_kernels_with_details_says_what_follows_from_a_change(inside: Pmsim) -> None:
    said = inside("list", "kernels", "--details").stdout
    follows = part_of_list(said, "linux-4.16-x86_32").split("With pae: false also:", 1)[1]
    assert "    page_table_levels" in follows
    assert "    nx " in follows


@pytest.mark.parametrize("columns", [80, 120])
def test_list_kernels_with_details_fits_the_terminal(
    inside: Pmsim, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = inside("list", "kernels", "--details").stdout.splitlines()
    assert max(map(len, lines)) <= columns
    # Keys are never broken, and most of a line is left for the text.
    assert max(len(line) - len(line.lstrip()) for line in lines if line.strip()) <= 30


def test_list_platforms_with_details_shows_each_constant_with_its_basis(inside: Pmsim) -> None:
    said = inside("list", "platforms", "--details").stdout
    assert "costs.ipi.queue" in said
    assert "estimate" in said
    assert "derived" in said


def test_list_protocols_with_details_says_who_pays_and_what_each_option_promises(
    inside: Pmsim,
) -> None:
    brief = " ".join(inside("list", "protocols").stdout.split())
    whole = " ".join(inside("list", "protocols", "--details").stdout.split())
    assert "who pays" not in brief
    for protocol in PROTOCOLS.values():
        assert protocol.text in brief
        assert f"{protocol.name} " in whole
    assert whole.count("who pays") == len(PROTOCOLS)
    assert "ack: entry at the start of its own function" in whole


def test_protocols_of_a_file_are_known_to_a_command(pmsim: Pmsim, tmp_path: Path) -> None:
    file = tmp_path / "early.py"
    page = PAGE.read_text(encoding="utf-8")
    last = page.split("Save this as `early.py`:")[-1]
    file.write_text(last.split("```")[1].removeprefix("python"), encoding="utf-8")
    told = pmsim("list", "protocols", "early", "--protocols", str(file)).stdout
    said = " ".join(told.split())
    assert "IPI call, acknowledged early where nobody relies on it" in said
    assert "costs: mark mark of early. (default: 20ns)" in said
    assert "early" not in pmsim("list", "protocols").stdout


def test_a_file_without_protocols_is_bad_input(inside: Pmsim, tmp_path: Path) -> None:
    file = tmp_path / "early.py"
    file.write_text("import pmsim\n\npmsim.protocols()\n")
    done = inside("check", "--protocols", file, "policy-load")
    assert done.returncode == 2
    assert done.stdout.startswith(f"pmsim: {file}:3:1: AttributeError: module 'pmsim' has no")
    assert done.stdout.endswith("1 fault\n")


def test_list_workloads_with_details_shows_the_keys_of_each_kind(inside: Pmsim) -> None:
    said = inside("list", "workloads", "--details").stdout
    for model in workload_kinds().values():
        for key in model.model_fields:
            assert key == "kind" or f"    {key} " in said


def test_list_workloads_with_details_says_all_that_is_known_of_each(inside: Pmsim) -> None:
    brief = inside("list", "workloads").stdout
    whole = inside("list", "workloads", "--details").stdout
    assert "Parsing the policy between the allocations" not in " ".join(brief.split())
    assert "Parsing the policy between the allocations" in " ".join(whole.split())


def test_list_scenarios_with_details_shows_their_workloads(inside: Pmsim) -> None:
    said = inside("list", "scenarios", "--details").stdout
    assert "policy_load" in said
    assert "user_work" in said


def test_schema_is_a_json_schema_that_knows_every_kind(pmsim: Pmsim) -> None:
    schema = json.loads(pmsim("schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    text = json.dumps(schema)
    assert all(f'"{kind}"' in text for kind in workload_kinds())


def test_plot_draws_the_figures_again_in_any_format(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    assert inside("run", policy_file, "--out", "here", "--quiet").returncode == 0
    done = inside("plot", "here", "--format", "svg", "--format", "pdf", "--out", "figures")
    assert done.returncode == 0, done.stdout
    written = {str(path.relative_to(tmp_path)) for path in (tmp_path / "figures").iterdir()}
    drawn = {path.stem for path in (tmp_path / "here" / "figures").iterdir()}
    assert written == {f"figures/{name}.{ending}" for name in drawn for ending in ("svg", "pdf")}
    assert set(done.stdout.split()) == written


def test_plot_overwrites_no_figure_without_force(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    assert inside("run", policy_file, "--out", "here", "--quiet").returncode == 0
    figure = tmp_path / "here" / "figures" / "flush_cost.png"
    before = figure.stat().st_mtime_ns
    done = inside("plot", "here")
    assert done.returncode == 2
    assert "flush_cost.png" in done.stdout
    assert figure.stat().st_mtime_ns == before
    time.sleep(0.01)
    assert inside("plot", "here", "--force").returncode == 0
    assert figure.stat().st_mtime_ns > before


def test_plot_of_no_result_is_bad_input(inside: Pmsim) -> None:
    done = inside("plot", "nowhere")
    said = done.stdout
    assert done.returncode == 2
    assert "no result at nowhere" in said


def test_plot_in_an_unknown_format_is_bad_input(inside: Pmsim, policy_file: Path) -> None:
    assert inside("run", policy_file, "--out", "here", "--quiet", "--no-figures").returncode == 0
    done = inside("plot", "here", "--format", "doc")
    said = done.stdout
    assert done.returncode == 2
    assert "doc" in said


def test_lists_say_what_needs_which_machine_or_kernel(inside: Pmsim) -> None:
    index = inside("list", "workloads").stdout.splitlines()
    lines = {line.split()[0]: line for line in index if line.strip()}
    assert "x86_32, arm32" in lines["kmap"]
    assert "x86_64, arm64" in lines["live_patch"]
    assert "x86" not in lines["pool_churn"]
    huge = " ".join(inside("list", "workloads", "huge_pages").stdout.split())
    assert "Kernels that have it: linux-5.15-x86_64, linux-6.1-x86_64" in huge
    protocols = " ".join(inside("list", "protocols", "sbi").stdout.split())
    assert "On hifive-unmatched, sg2042." in protocols
    kernel = " ".join(inside("list", "kernels", "linux-6.1-arm32").stdout.split())
    assert "Runs on cortex-a15, cortex-a15-r2p1." in kernel
