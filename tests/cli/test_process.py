"""How a command's process begins and ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


def process(program: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program as all that a process does: the body of its function ``main``."""
    lines = "\n".join(f"    {line}" for line in program.splitlines())
    code = (
        "import atexit, gc, os, signal, sys\n"
        "from pmsim.cli.process import look_for_garbage, run_and_exit\n"
        f"def main():\n{lines}\n"
        "run_and_exit(main)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("status", [0, 1, 130])
def test_the_status_is_that_of_the_program(status: int) -> None:
    assert process(f"sys.exit({status})").returncode == status


def test_a_program_that_just_ends_is_a_success() -> None:
    assert process("pass").returncode == 0


def test_what_was_printed_and_asked_for_at_the_end_is_there() -> None:
    done = process("print('half a line', end='')\natexit.register(print, ' and its end')")
    assert done.stdout == "half a line and its end\n"


def test_an_error_of_the_program_is_told_as_ever() -> None:
    done = process("raise LookupError('nothing there')")
    assert done.returncode == 1
    assert "LookupError: nothing there" in done.stderr


def default() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_program_at_once_that_has_not_begun_its_work() -> None:
    # Whoever imports something may catch everything that goes wrong, an interrupt, too.
    done = process(
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
        "print('not reached')",
        preexec_fn=default,
    )
    assert (done.returncode, done.stdout) == (130, "")
    said = "pmsim: interrupted: given up, and nothing half-done is left behind\n"
    assert done.stderr == said


def test_a_program_that_is_to_ignore_ctrl_c_does() -> None:
    done = process(
        "os.kill(os.getpid(), signal.SIGINT)\nprint('reached')",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (done.returncode, done.stdout) == (0, "reached\n")


def test_garbage_is_looked_for_from_the_beginning_of_the_work_on() -> None:
    done = process(
        "print(gc.isenabled())\n"
        "look_for_garbage()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    assert done.stdout.split() == ["False", "True", "True"]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_comes_to_a_finaliser_is_not_lost(number: str) -> None:
    done = process(
        "import time\n"
        "from pmsim.cli.status import at_work\n"
        "class Held:\n"
        "    def __del__(self):\n"
        f"        os.kill(os.getpid(), signal.{number})\n"
        "        time.sleep(0)\n"
        "try:\n"
        "    with at_work():\n"
        "        held = Held()\n"
        "        del held\n"
        "        time.sleep(20)\n"
        "    print('lost')\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")
