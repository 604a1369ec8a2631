from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Pmsim

DATA = Path(__file__).parent.parent / "data" / "traces"


def test_import_prints_the_report_and_writes_it(inside: Pmsim, tmp_path: Path) -> None:
    done = inside("import", DATA / "mprotect.trace.gz", "--out", "imported")
    assert done.returncode == 0
    assert "a kernel trace (ftrace text)" in done.stdout
    assert "who was interrupted" in done.stdout
    told = json.loads((tmp_path / "imported" / "report.json").read_text())
    assert told["format"] == "a kernel trace (ftrace text)"
    lines = {row["what"]: row["number"] for row in told["tables"]["what was read"]}
    assert lines["events"] == 1488
    assert "| who" not in (tmp_path / "imported" / "report.md").read_text()
    assert "Times are those of the file." in (tmp_path / "imported" / "report.html").read_text()


def test_import_overwrites_nothing_unless_asked(inside: Pmsim) -> None:
    command = ("import", DATA / "thread_churn.trace.gz", "--out", "imported", "--quiet")
    assert inside(*command).returncode == 0
    done = inside(*command)
    assert done.returncode == 2
    assert "exist already" in done.stdout
    assert inside(*command, "--force").returncode == 0


def test_import_says_of_a_bad_option_or_file_what_is_wrong(inside: Pmsim, tmp_path: Path) -> None:
    done = inside("import", DATA / "mprotect.trace.gz", "--isolated", "x")
    assert done.returncode == 2
    assert "--isolated: 'x' names no CPUs" in done.stdout
    assert inside("import", tmp_path / "nothing").returncode == 2


def test_a_run_is_exported_as_a_trace_and_imported_again(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    change = ("--set", "measure.detail={from: 0ms, to: 1ms}")
    run = ("run", policy_file, *change, "--out", "here", "--quiet", "--no-figures")
    assert inside(*run).returncode == 0
    done = inside("export", "here", "--ftrace")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "here/trace.txt")
    done = inside("import", "here/trace.txt", "--out", "again")
    assert done.returncode == 0
    assert "cross-calls by function" in done.stdout
    told = json.loads((tmp_path / "again" / "report.json").read_text())
    assert told["format"] == "a kernel trace (ftrace text)"
