from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pmsim.cli.compiling import compile_passes
from pmsim.hardware.passes import cache


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let every place where compiled code is kept be empty; return the package's copy."""
    room = tmp_path / "passes"
    shutil.copytree(cache.ROOM, room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "ROOM", room)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache.fingerprint.cache_clear()
    return room


@pytest.fixture(autouse=True)
def _forget_the_fingerprint() -> Iterator[None]:
    yield
    cache.fingerprint.cache_clear()


def keep_code(place: Path, *names: str) -> None:
    """Leave what Numba leaves of functions that it has compiled."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (place / f"{name}-pmsim.py311.nbi").write_text("")


ENTRIES = ("steps.act", "steps.call", "steps.invalidate", "accounts.accounts")


def test_compiling_is_announced_where_nothing_is_kept(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmsim.cli.compiling._compile", lambda shown: None)
    compile_passes()
    assert capsys.readouterr().err.startswith("pmsim: the first run compiles")


def test_code_of_every_entry_point_is_enough(empty: Path, tmp_path: Path) -> None:
    place = cache.directory()
    assert place is not None
    keep_code(place, *ENTRIES[:-1])
    assert not cache.is_complete()
    keep_code(place, ENTRIES[-1])
    assert cache.is_complete()


@pytest.mark.parametrize("where", ["chosen", "beside", "user"])
def test_kept_code_is_found_in_each_place(
    empty: Path, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    folders = {
        "chosen": tmp_path / "chosen",
        "beside": empty / "__pycache__",
        "user": tmp_path / "cache" / "pmsim",
    }
    name = cache.directory()
    assert name is not None
    keep_code(folders[where] / name.name, *ENTRIES)
    assert cache.is_complete()


def test_an_installation_that_cannot_be_written_is_kept_in_the_users_cache(
    empty: Path, tmp_path: Path
) -> None:
    (empty / "__pycache__").write_text("no directory can be made here")
    place = cache.directory()
    assert place is not None
    assert place.parent == tmp_path / "cache" / "pmsim"


@pytest.mark.parametrize("room", ["layout.py", "handlers.py", "steps.py"])
def test_code_of_other_sources_is_never_found(empty: Path, room: str) -> None:
    place = cache.directory()
    assert place is not None
    keep_code(place, *ENTRIES)
    with (empty / room).open("a") as source:
        source.write("# changed\n")
    cache.fingerprint.cache_clear()
    assert cache.directory() != place
    assert not cache.is_complete()
    cache.forget_others()
    assert not place.exists()


def test_nothing_is_compiled_where_compilation_is_switched_off(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    compile_passes()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_what_is_compiled_is_kept_and_loaded_again(tmp_path: Path) -> None:
    script = (
        "import time; from pmsim.hardware.passes import cache, steps; t = time.process_time();"
        "steps.prepare(invalidates=True); print(cache.is_complete(), time.process_time() - t)"
    )
    run = [sys.executable, "-c", script]
    env = {"PATH": "", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    cold, warm = (
        subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    )
    assert cold[0] == warm[0] == "True"
    assert float(warm[1]) < 0.1 * float(cold[1])
