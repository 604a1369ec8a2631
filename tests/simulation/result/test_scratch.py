from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pmsim.simulation.result.scratch import clear_away, scratch


def test_a_scratch_directory_lives_as_long_as_its_block(tmp_path: Path) -> None:
    with scratch(tmp_path, "work-", ".partial") as path:
        assert path.parent == tmp_path
        assert (path.name[:5], path.name[-8:]) == ("work-", ".partial")
        (path / "file").write_text("half")
    assert list(tmp_path.iterdir()) == []


def test_it_goes_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(tmp_path, "work-"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_what_was_moved_elsewhere_stays(tmp_path: Path) -> None:
    with scratch(tmp_path, "work-") as path:
        (path / "file").write_text("whole")
        path.rename(tmp_path / "result")
    assert (tmp_path / "result" / "file").read_text() == "whole"


def test_what_a_killed_process_left_is_cleared_away_and_what_is_in_use_is_not(
    tmp_path: Path,
) -> None:
    code = (
        "import pathlib, sys\n"
        "from pmsim.simulation.result.scratch import scratch\n"
        f"with scratch(pathlib.Path({str(tmp_path)!r}), 'work-') as path:\n"
        "    (path / 'file').write_text('half')\n"
        "    print(path, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().decode().strip())
        clear_away(tmp_path, "work-")
        assert (left / "file").exists()
        process.kill()
    with scratch(tmp_path, "work-") as own:
        clear_away(tmp_path, "work-")
        assert own.exists()
    assert not left.exists()


def test_nothing_else_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "work-file").write_text("no directory")
    (tmp_path / "other").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "work-link").symlink_to(tmp_path / "target")
    clear_away(tmp_path, "work-")
    clear_away(tmp_path / "missing", "work-")
    assert len(list(tmp_path.iterdir())) == 4
