from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pmsim.cli import compiling
from pmsim.cli.compiling import announce_compilation, needs_compiling

INDEX = f"_passes.advance-1.py{sys.version_info.major}{sys.version_info.minor}.nbi"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the compiled passes be a file in an empty directory, and every cache be empty."""
    path = tmp_path / "package" / "_passes.py"
    path.parent.mkdir()
    path.write_text("")
    spec = SimpleNamespace(origin=str(path))
    monkeypatch.setattr(compiling, "find_spec", lambda _name: spec)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return path


def write_index(folder: Path, source: Path, age: float) -> None:
    """Leave what Numba leaves, so many seconds older than the source."""
    folder.mkdir(parents=True)
    (folder / INDEX).write_text("")
    written = source.stat().st_mtime - age
    os.utime(folder / INDEX, (written, written))


def test_an_empty_cache_is_announced(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce_compilation()
    assert capsys.readouterr().err.startswith("pmsim: the first run compiles")


@pytest.mark.parametrize("where", ["beside", "chosen", "user"])
def test_a_cache_that_is_newer_than_the_source_is_not(
    source: Path, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = {
        "beside": source.parent / "__pycache__",
        "chosen": tmp_path / "chosen" / "package_1234",
        "user": tmp_path / "cache" / "numba" / "package_1234",
    }
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    write_index(folders[where], source, age=-10)
    assert not needs_compiling()


def test_a_cache_that_is_older_than_the_source_is(source: Path) -> None:
    write_index(source.parent / "__pycache__", source, age=10)
    assert needs_compiling()


def test_nothing_is_compiled_where_compilation_is_switched_off(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    announce_compilation()
    assert capsys.readouterr().err == ""


def test_after_a_run_the_real_cache_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        import pmsim.hardware.machine  # noqa: F401 - compiles, and fills the cache
    assert not needs_compiling()
