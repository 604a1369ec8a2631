from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pmsim.calibration.platform_file import freezes
from pmsim.cli.app import app
from pmsim.cli.compiling import compile_passes
from pmsim.errors import Fault, ScenarioError
from pmsim.hardware.passes import cache
from pmsim.hardware.passes.jit import internals
from pmsim.hardware.shootdown.own import protocol
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.scenario.platform import platform_data
from pmsim.scenario.scenario import load
from pmsim.simulation.run.compiling import compiles_apart


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


ENTRIES = (
    "steps.act",
    "steps.call",
    "replay.replay",
    "accounts.accounts",
    "firsts.drops_by_call",
    "firsts.drops_under_way",
    "firsts.first_drops",
    "waits.note_violations",
    "waits.begin_waits",
    "waits.end_on_entry",
    "waits.end_by_telling",
    "waits.end_with_the_run",
    "waits.who_waits",
    "left_out.who_is_left",
    "left_out.owe",
    "left_out.who_owes",
    "left_out.split",
)


def test_compiling_is_announced_where_nothing_is_kept(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmsim.cli.compiling._compile", lambda **_: None)
    compile_passes()
    assert capsys.readouterr().err.startswith("pmsim: the first run compiles")


def test_what_is_refused_is_refused_before_anything_is_compiled(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ScenarioError([Fault("sweep", 0, 0, "bad-path", "'machin.cpus' names nothing")])

    monkeypatch.setattr("pmsim.cli.compiling._compile", lambda **_: pytest.fail("it compiled"))
    with pytest.raises(ScenarioError):
        compile_passes(first=refuse)
    assert capsys.readouterr().err == ""


def test_code_of_every_entry_point_is_enough(empty: Path, tmp_path: Path) -> None:
    place = cache.directory()
    assert place is not None
    keep_code(place, *ENTRIES[:-1])
    assert not cache.is_complete()
    keep_code(place, ENTRIES[-1])
    assert cache.is_complete()


@pytest.mark.parametrize(("kept", "apart", "said"), [
    (False, False, "the first run compiles the simulated machine, once: about 10 s"),
    (False, True, "the first run compiles the simulated machine, once: about 20 s"),
    (True, False, ""),
    (True, True, "the first run of CPUs that take turns, or of a protocol that does not wait for"
                 " calls, compiles the machine anew, once: about 10"),
])  # fmt: skip
def test_compiling_for_cpus_that_take_turns_is_announced_too(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    kept: bool, apart: bool, said: str,
) -> None:  # fmt: skip
    place = cache.directory()
    assert place is not None
    keep_code(place, *(ENTRIES if kept else ()))
    compiled = []
    monkeypatch.setattr("pmsim.cli.compiling._compile", lambda **told: compiled.append(told))
    compile_passes(apart=apart)
    assert said in capsys.readouterr().err
    assert [told["apart"] for told in compiled] == ([apart] if said else [])
    cache.note_apart()
    assert cache.is_complete(apart=True) == kept


@pytest.mark.parametrize(("overcommit", "apart"), [(1, False), (2, True)])
def test_a_guest_with_overcommit_has_cpus_that_take_turns(overcommit: int, apart: bool) -> None:
    guest = load("guest-policy-load").with_(**{"machine.host.overcommit": overcommit})
    assert compiles_apart(guest.resolve()) == apart


@pytest.mark.parametrize("apart", [False, True])
def test_a_protocol_that_does_not_wait_has_the_machine_compiled_apart(apart: bool) -> None:
    class Mine:
        promises = "gone"
        waits = not apart

        def shootdown(self, initiator: Any, flush: Any) -> Any:
            yield from initiator.cross_call(flush.targets, flush.function)

    with PROTOCOLS.scoped():
        protocol("mine")(Mine)
        scenario = load("policy-load").with_(**{"kernel.shootdown": "mine"})
        assert compiles_apart(scenario.resolve()) == apart


@pytest.mark.parametrize(("name", "apart"), [("li-2017", True), ("zeng-2022", False)])
def test_an_experiment_with_guests_that_share_a_host_announces_what_it_compiles(
    name: str, apart: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = []

    def told(**how: object) -> None:
        said.append(how)
        raise ScenarioError([Fault("x", 0, 0, "enough", "no run is needed")])

    monkeypatch.setattr("pmsim.cli.compiling.compile_passes", told)
    CliRunner().invoke(app, ["reproduce", name, "--out", str(tmp_path / "out")])
    assert said == [{"apart": apart}]


@pytest.mark.parametrize(("overcommit", "apart"), [(1, False), (2, True)])
def test_calibrating_like_such_a_guest_announces_it_too(
    overcommit: int, apart: bool, tmp_path: Path
) -> None:
    data = platform_data("kvm-milan")
    data["host"] = {**data["host"], "overcommit": overcommit}
    file = tmp_path / "mine.yaml"
    YAML().dump({"pmsim": 1, **data}, file)
    assert freezes(str(file)) is apart


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
    assert place.exists()  # somebody may be writing it
    for file in (place, *place.rglob("*")):
        os.utime(file, (0, time.time() - cache.IN_USE - 60))
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
    cold, warm = run_twice(tmp_path)
    assert cold[:2] == warm[:2] == ["True", "157"]
    assert float(warm[2]) < 0.1 * float(cold[2])


@pytest.mark.slow
def test_a_version_of_numba_that_was_not_tried_compiles_its_own_way(tmp_path: Path) -> None:
    untried = "from pmsim.hardware.passes import jit; jit.TRIED = (0, 1), (0, 2); "
    cold, warm = run_twice(tmp_path, untried)
    assert cold[:2] == warm[:2] == ["True", "157"]
    assert float(warm[2]) < 0.3 * float(cold[2])


@pytest.mark.parametrize(
    ("version", "tried"),
    [("0.59.1", False), ("0.60.0", True), ("0.68.1", True), ("0.69.0rc1", False), ("1.0", False)],
)
def test_internals_of_numba_are_used_where_they_were_tried(version: str, tried: bool) -> None:
    assert (internals(version) is not None) == tried


def run_twice(place: Path, first: str = "") -> list[list[str]]:
    """Prepare and run in two processes; return whether all is kept, a result, and the CPU time.

    A call on another CPU that computes: it is queued by 20, its interrupt there by 120, taken and
    acknowledged by 130, and the line back by 157.
    """
    script = (
        first
        + """
import time
from pmsim.hardware.passes import cache
from pmsim.simulation.run.compiling import compile_machine
from pmsim.hardware.machine import Machine
from pmsim.hardware.costs import IpiCosts, MachineCosts
from pmsim.hardware.tlb import empty_call
from pmsim.hardware.topology import Topology

began = time.process_time()
compile_machine(lambda: None)
took = time.process_time() - began
near = (100,) * 5
costs = MachineCosts(IpiCosts(queue=20, entry=10, delivery=near, line=(27,) * 5))
machine = Machine(Topology(cores=2), costs)
ends = []

def calls(task):
    yield from task.cross_call(empty_call())
    ends.append(task.now)

def computes(task):
    yield from task.compute(10**6)

machine.spawn(0, calls)
machine.spawn(1, computes)
machine.run()
print(cache.is_complete(), *ends, took)
"""
    )
    package = cache.ROOM.parents[1]
    shutil.copytree(
        package, place / "pmsim", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    env = {"PATH": "", "PYTHONPATH": str(place)}
    return [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=place,
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    ]
