from __future__ import annotations

import errno
import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from pmsim.figures import gallery
from pmsim.figures.gallery import Drawing
from pmsim.simulation.result.place import WRITTEN
from pmsim.simulation.result.result import Result, open_result
from pmsim.simulation.tables.columns import TABLES
from pmsim.workloads.registry import workload
from tests.cli.conftest import COMMAND, POLICY, WORK, Pmsim, environment
from tests.machines import scenario
from tests.scenario_files import write_scenario

FIGURES = {"operation_cost.png", "flush_cost.png", "broadcast_timeline.png", "cpus_over_time.png"}
"""Those that a run with some shootdowns has at least."""

ENDLESS = {"duration": "1000s"}
CHURN = {"kind": "pool_churn", "pools": 10_000_000, "allocations": 8, "size": "8B"}


def trace_file(folder: Path, rows: str) -> Path:
    (folder / "program.csv").write_text("cpu,op,arg\n" + rows)
    data = scenario({"kind": "user_work", "compute": "1us"}).as_dict()
    return write_scenario(
        folder, data | {"workloads": [{"kind": "trace", "file": "program.csv"}]}, "trace.yaml"
    )


def test_a_run_answers_in_words_and_leaves_tables_and_figures(
    pmsim: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    done = pmsim("run", policy_file)
    assert done.returncode == 0, done.stderr
    words = done.stdout
    assert words.index("Tasks lost") < words.index("where tasks lost CPU time")
    assert "selinux waited" in words
    assert "Too few shootdowns (8 in a run) to tell whether they calm down." in words
    assert "User work (victims, 3 tasks)" in words
    result = tmp_path / "results" / "test"
    assert str(Path("results") / "test") in words
    expected = {"manifest.json", "summary.json", "metrics.parquet", "figures", WRITTEN} | {
        f"{t}.parquet" for t in TABLES
    }
    assert {path.name for path in result.iterdir()} == expected
    assert {path.name for path in (result / "figures").iterdir()} >= FIGURES
    assert words.splitlines()[-2:] == [
        f"tables and summary: {Path('results/test')}", f"figures: {Path('results/test/figures')}",
    ]  # fmt: skip


def test_the_answer_is_there_and_the_result_whole_before_a_figure_is_drawn(
    inside: Pmsim, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(result: Result) -> list[Drawing]:
        assert len(open_result(result.path).crosscalls)
        raise ZeroDivisionError("a figure of nothing")

    monkeypatch.setattr(gallery, "drawings", fails)
    done = inside("run", policy_file, "--out", "here")
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert "tables and summary: here" in said
    assert "the figures could not be drawn: a figure of nothing" in said[-1]
    assert "`pmsim plot here --force` draws them" in said[-1]
    assert not Path("here/figures").exists()


def test_an_interrupt_while_figures_are_drawn_keeps_all_that_is_there(
    inside: Pmsim, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Drawing.save

    def interrupted(drawing: Drawing, *paths: Path) -> None:
        if drawing.name == "flush_cost":  # the second
            raise KeyboardInterrupt
        save(drawing, *paths)

    with monkeypatch.context() as patch:
        patch.setattr(Drawing, "save", interrupted)
        done = inside("run", policy_file, "--out", "here")
    assert done.returncode == 130
    assert "Tasks lost" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert "interrupted while figures were drawn: all else is in here" in last
    assert [path.name for path in Path("here/figures").iterdir()] == ["operation_cost.png"]
    assert len(open_result(Path("here")).crosscalls)
    assert inside("plot", "here", "--force").returncode == 0
    assert {path.name for path in Path("here/figures").iterdir()} >= FIGURES


def test_a_shipped_scenario_runs_by_its_name(pmsim: Pmsim, tmp_path: Path) -> None:
    done = pmsim("run", "one-broadcast", "--out", "here")
    assert done.returncode == 0, done.stderr
    # The two CPUs of the other package acknowledge last, and each costs a visit: queueing for
    # three, one write, the flight, entry, four pages, two visits, in ns as its file has them.
    latency = json.loads((tmp_path / "here" / "summary.json").read_text())["latency_ps"]
    assert latency["max"] == (3 * 20 + 80 + 1200 + 250 + 4 * 100 + 2 * 110) * 1000


def test_quiet_says_nothing_and_no_figures_draws_none(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    done = inside("run", policy_file, "--quiet", "--no-figures", "--out", "here")
    assert (done.returncode, done.stdout) == (0, "")
    assert not (tmp_path / "here" / "figures").exists()


def test_no_progress_bar_where_standard_error_is_no_terminal(
    pmsim: Pmsim, policy_file: Path
) -> None:
    assert "simulated" not in pmsim("run", policy_file, "--no-figures").stderr


def test_a_terminal_shows_progress_with_simulated_and_wall_time(
    policy_file: Path, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    command = [*COMMAND, "run", str(policy_file), "--no-figures"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=slave
    )
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(master)
    assert process.wait() == 0
    assert b"simulated," in said
    assert b"wall time" in said


def test_seed_and_set_change_what_runs(inside: Pmsim, policy_file: Path, tmp_path: Path) -> None:
    options = ["--seed", "9", "--set", "machine.cpus=2", "--set", "workloads.selinux.protect=never"]
    done = inside("run", policy_file, "--no-figures", "--out", "here", *options)
    assert done.returncode == 0, done.stdout
    manifest = json.loads((tmp_path / "here" / "manifest.json").read_text())
    assert manifest["seed"] == 9
    assert manifest["scenario"]["machine"]["cpus"] == 2
    assert manifest["rows"]["cpus"] == 2
    assert manifest["rows"]["crosscalls"] == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("machine.cpus", "PATH=VALUE"),
        ("=3", "PATH=VALUE"),
        ("machine.cpsu=3", "cpsu"),
        ("workloads.selinx.size=3B", "did you mean selinux"),
        ("duration=5", "no unit"),
        ("machine.cpus=[", "yaml"),
    ],
)
def test_a_bad_set_is_bad_usage(inside: Pmsim, policy_file: Path, value: str, said: str) -> None:
    done = inside("run", policy_file, "--set", value)
    assert done.returncode == 2
    assert said in done.stdout


def test_several_files_go_to_a_directory_each(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    other = write_scenario(tmp_path, scenario(POLICY, name="other").as_dict(), "other.yaml")
    done = inside("run", policy_file, other, "--out", "both", "--no-figures")
    assert done.returncode == 0, done.stdout
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"test", "other"}


def test_two_scenarios_of_one_name_are_refused_before_anything_runs(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    shutil.copy(policy_file, tmp_path / "copy.yaml")
    done = inside("run", policy_file, "copy.yaml")
    assert done.returncode == 2
    assert "different names" in done.stdout
    assert not (tmp_path / "results").exists()


def test_faults_of_all_files_are_reported_with_their_places(pmsim: Pmsim, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("pmsim: 1\nmachine: skylake-sp-2\nworkload: []\n")
    (tmp_path / "b.yaml").write_text("")
    done = pmsim("run", "a.yaml", "b.yaml")
    assert done.returncode == 2
    assert "a.yaml:2:10:" in done.stderr
    assert "did you mean skylake-sp-2s?" in done.stderr
    assert "a.yaml:3:1: unknown key 'workload'" in done.stderr
    assert "b.yaml:1:1:" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_bad_row_of_a_trace_is_named(pmsim: Pmsim, tmp_path: Path) -> None:
    done = pmsim("run", trace_file(tmp_path, "0,compute,5\n0,compte,5\n"))
    assert done.returncode == 2
    assert "program.csv:3:1: row 2: there is no op 'compte'" in done.stderr
    assert "did you mean compute?" in done.stderr


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,mutex_unlock,1\n", "releases mutex 1, which it does not hold"),
        ("0,spin_lock,1\n1,compute,5\n1,spin_lock,1\n", "ends while it holds a lock"),
    ],
)
def test_a_run_that_fails_in_simulated_time_ends_with_1(
    pmsim: Pmsim, tmp_path: Path, rows: str, said: str
) -> None:
    done = pmsim("run", trace_file(tmp_path, rows))
    assert done.returncode == 1
    assert said in done.stderr
    assert "CPU 0" in done.stderr
    assert not any((tmp_path / "results").iterdir())


def test_a_deadlock_ends_with_1_and_names_tasks_and_locks(pmsim: Pmsim, tmp_path: Path) -> None:
    rows = "0,mutex_lock,1\n0,compute,9\n0,mutex_lock,2\n1,mutex_lock,2\n1,mutex_lock,1\n"
    done = pmsim("run", trace_file(tmp_path, rows))
    assert done.returncode == 1
    assert "CPU 0 waits for mutex 2" in done.stderr
    assert "CPU 1 waits for mutex 1" in done.stderr


def test_an_existing_directory_is_refused(inside: Pmsim, policy_file: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    done = inside("run", policy_file, "--out", "here")
    assert done.returncode == 2
    assert "here exists already" in done.stdout
    assert "--force" in done.stdout


def test_force_names_what_it_leaves(inside: Pmsim, policy_file: Path, tmp_path: Path) -> None:
    command = ("run", policy_file, "--out", "here", "--quiet")
    inside(*command)
    (tmp_path / "here" / "notes.txt").write_text("dear")
    (tmp_path / "here" / "figures" / "mine.png").write_text("dear")
    done = inside(*command, "--force", "--no-figures")
    assert done.returncode == 0
    assert "figures/mine.png, notes.txt in here: not written by pmsim" in done.stdout
    assert [file.name for file in (tmp_path / "here" / "figures").iterdir()] == ["mine.png"]
    assert (tmp_path / "here" / "notes.txt").read_text() == "dear"


def test_force_replaces_a_result(inside: Pmsim, policy_file: Path, tmp_path: Path) -> None:
    command = ("run", policy_file, "--no-figures", "--quiet", "--out", "here")
    assert inside(*command).returncode == 0
    first = (tmp_path / "here" / "manifest.json").stat().st_ino
    assert inside(*command).returncode == 2
    assert inside(*command, "--force").returncode == 0
    assert (tmp_path / "here" / "manifest.json").stat().st_ino != first


def test_a_place_that_cannot_be_written_is_said_so(inside: Pmsim, policy_file: Path) -> None:
    done = inside("run", policy_file, "--out", "/proc/pmsim/result")
    assert done.returncode == 2
    assert "/proc/pmsim/result cannot be written" in done.stdout


def test_a_directory_without_write_permission_is_said_so(
    inside: Pmsim, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be allowed everything, so the system's answer is made up.
    def refuse(**_options: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    done = inside("run", policy_file, "--out", "closed/result")
    assert done.returncode == 2
    assert "closed/result cannot be written: permission denied" in done.stdout


def _mounted(folder: Path, size: str) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_is_said_so_and_leaves_nothing_behind(
    pmsim: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    if not _mounted(disk, "48k"):
        # Without the right to mount, a limit on the size of files stands for the full disk.
        done = pmsim("run", policy_file, "--out", disk / "result", preexec_fn=_small_files_only)
        assert done.returncode == 2
        assert "cannot be written" in done.stderr
        assert list(disk.iterdir()) == []
        return
    try:
        done = pmsim("run", policy_file, "--out", disk / "result")
        assert done.returncode == 2
        assert "no space left" in done.stderr
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _small_files_only() -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


def _unmeasured() -> dict[str, str]:
    """Return an environment without coverage: a signal within its tracer leaves its lock held."""
    return {key: value for key, value in environment().items() if not key.startswith("COVERAGE_")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    endless = write_scenario(tmp_path, scenario(CHURN, **ENDLESS).as_dict(), "endless.yaml")
    process = subprocess.Popen(
        [*COMMAND, "run", str(endless), "--out", "results/endless"],
        cwd=tmp_path, env=_unmeasured(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell that runs the tests in the background has them ignore Ctrl-C, children included.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    results = tmp_path / "results"
    deadline = time.monotonic() + 120
    while not results.is_dir() or not list(results.glob(".endless.*.partial/crosscalls.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)  # well inside the run
    process.send_signal(number)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in complained
    assert "nothing half-done is left behind" in complained
    assert "Traceback" not in complained
    assert said == ""
    assert list(results.iterdir()) == []


def test_whoever_stops_reading_is_no_error(policy_file: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "run", str(policy_file), "--no-figures"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complained = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert b"Traceback" not in complained
    assert b"Broken" not in complained
    assert (tmp_path / "results" / "test").is_dir()


def test_an_error_in_a_workload_of_one_s_own_shows_its_lines_and_no_others(
    inside: Pmsim, tmp_path: Path, scoped_kinds: None
) -> None:

    def helper() -> None:
        raise LookupError("no such rule")

    @workload("careless")
    class Careless:
        def run(self, kernel: Any, cpu: Any) -> Any:
            yield from cpu.compute("3ns")
            helper()

    done = inside("run", write_scenario(tmp_path, scenario({"kind": "careless"}).as_dict()))
    assert done.returncode == 1
    failed, _, code = done.stdout.partition("\nin your code:\n")
    assert "the workload raised LookupError: no such rule (careless, task 0 on CPU 0, at 3 ns)" in (
        failed
    )
    files = [line.split('"')[1] for line in code.splitlines() if line.startswith("  File ")]
    assert files == [__file__, __file__]
    assert "    helper()" in code.splitlines()


def test_so_does_a_call_that_the_kernel_leaves_undefined(
    inside: Pmsim, tmp_path: Path, scoped_kinds: None
) -> None:

    @workload("twice")
    class Twice:
        def run(self, kernel: Any, cpu: Any) -> Any:
            area = yield from kernel.vmalloc("4KiB")
            yield from kernel.vfree(area)
            yield from kernel.vfree(area)

    done = inside("run", write_scenario(tmp_path, scenario({"kind": "twice"}).as_dict()))
    assert done.returncode == 1
    code = done.stdout.split("\nin your code:\n")[1]
    assert code.count("  File ") == 1
    assert code.strip().endswith("yield from kernel.vfree(area)")


def test_an_error_in_a_workload_of_pmsim_s_shows_no_code(inside: Pmsim, tmp_path: Path) -> None:
    done = inside("run", trace_file(tmp_path, "0,mutex_unlock,1\n"))
    assert done.returncode == 1
    assert done.stdout.strip().count("\n") == 0


def test_work_alone_shows_that_nothing_was_broadcast(inside: Pmsim, tmp_path: Path) -> None:
    path = write_scenario(tmp_path, scenario(WORK, duration="1ms").as_dict())
    done = inside("run", path)
    assert done.returncode == 0, done.stdout
    assert "there was no shootdown" in done.stdout


def test_a_sweep_in_the_file_is_left_out_and_the_command_for_it_named(
    pmsim: Pmsim, tmp_path: Path
) -> None:
    data = {**scenario(POLICY).as_dict(), "sweep": {"seed": [1, 2]}}
    done = pmsim("run", write_scenario(tmp_path, data), "--no-figures")
    assert done.returncode == 0, done.stderr
    assert "one run; `pmsim sweep` varies seed" in done.stderr


def test_an_output_without_micro_signs_gets_us(policy_file: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "run", str(policy_file), "--no-figures", "--out", str(tmp_path / "one")]
    ascii_only = environment() | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, check=True)
    assert b" us" in done.stdout
    assert b"?" not in done.stdout
