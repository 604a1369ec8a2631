"""How a command ends: exit statuses, and errors said to people without a traceback."""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer, main_thread
from types import FrameType
from typing import NoReturn, ParamSpec

import typer

from pmsim.cli.interrupts import GIVEN_UP, INTERRUPTED
from pmsim.cli.process import look_for_garbage, too_little_memory
from pmsim.errors import PmsimError, ScenarioError, SimulationError
from pmsim.escaping import visible

RUN_FAILED = 1
"""A run failed in simulated time."""
BAD_INPUT = 2
"""Bad usage, a bad scenario, or a place where results cannot go."""
MOST_NAMED = 5
"""Files that are named."""

SOON_S = 0.02
"""After how many seconds an interrupt that nobody noticed comes again."""

PACKAGE = Path(__file__).parents[1]
STARTS_TASKS = PACKAGE / "simulation" / "run" / "build.py"
"""Where the steps of a workload are taken: what a traceback shows above it is not the user's."""

P = ParamSpec("P")


def reporting(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with a message and a status instead of a traceback."""

    @functools.wraps(command)
    def reported(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except SimulationError as error:
            leave(RUN_FAILED, f"the run failed: {error}{own_code(error)}")
        except ScenarioError as error:
            count = len(error.faults)
            leave(BAD_INPUT, f"{error}\n{count} fault{'s' if count > 1 else ''}")
        except PmsimError as error:
            leave(BAD_INPUT, str(error))
        except KeyboardInterrupt:
            leave(INTERRUPTED, GIVEN_UP)
        except BrokenPipeError:
            stop_talking()
        except MemoryError as error:
            leave(RUN_FAILED, f"there is not enough memory{_in_brackets(error)}")
        except (OSError, ImportError) as error:
            if isinstance(error, ImportError) and not _lacks_memory(error):
                raise
            raise typer.Exit(give_up(error)) from None

    return reported


def stop_talking() -> None:
    """Say nothing more: whoever read the output has seen enough. Python itself would complain."""
    with suppress(OSError):  # what is no file goes nowhere by itself
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(error: OSError | ImportError) -> str:
    """Say what the system refused, in one line."""
    if not isinstance(error, OSError) or error.strerror is None:
        return f"the system refuses: {str(error).splitlines()[0]}"
    place = "the output" if error.filename is None else error.filename
    return f"{place} cannot be written or read: {error.strerror.lower()}"


def _lacks_memory(error: ImportError) -> bool:
    """Return whether a library could not be loaded for want of memory."""
    return "failed to map" in str(error) or "cannot allocate memory" in str(error).lower()


def _in_brackets(error: MemoryError) -> str:
    return f" ({str(error).splitlines()[0]})" if str(error) else ""


def own_code(error: SimulationError) -> str:
    """Return the lines of a user's own workload that led to an error, as a traceback shows them."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    starts = [
        place for place, frame in enumerate(frames, 1) if Path(frame.filename) == STARTS_TASKS
    ]
    inside = frames[max(starts, default=len(frames)) :]
    own = [frame for frame in inside if not Path(frame.filename).is_relative_to(PACKAGE)]
    return "".join(["\nin your code:\n", *traceback.format_list(own)]).rstrip() if own else ""


def leave(status: int, message: str) -> NoReturn:
    """End the command with a message on standard error."""
    _tell(message)
    raise typer.Exit(status)


def check_memory() -> None:
    """End the command before a run that is allowed too little memory."""
    problem = too_little_memory()
    if problem:
        leave(RUN_FAILED, problem)


def give_up(error: OSError | ImportError) -> int:
    """Tell what the system refused, let the rest of the output go nowhere; return the status."""
    stop_talking()
    _tell(_refused(error))
    return RUN_FAILED


def _tell(message: str) -> None:
    with suppress(OSError):  # nobody can be told that nothing can be told
        say(f"pmsim: {message}", err=True)


def say(text: object, *, err: bool = False) -> None:
    """Print a text, with nothing in it that would act on the terminal."""
    typer.echo(visible(str(text), lines=True), err=err)


def say_what_stays(place: Path) -> None:
    """Name the files in a result that is to be replaced which pmsim did not write."""
    if not place.is_dir():
        return
    from pmsim.simulation.result.place import left_by_force

    names = left_by_force(place)
    if names:
        more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        say(
            f"pmsim: {', '.join(names[:MOST_NAMED])}{more} in {place}: not written by pmsim, and"
            " left there",
            err=True,
        )


@contextmanager
def at_work() -> Iterator[None]:
    """Look for garbage from now on; while the block runs, let Ctrl-C and a termination tidy up."""
    heard = list[int]()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    look_for_garbage()
    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        with _swallowed_interrupts_sent_again(heard):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _swallowed_interrupts_sent_again(heard: Sequence[int]) -> Iterator[None]:
    """While the block runs, interrupt it again where the interrupt came to a finaliser.

    Python ignores what a `__del__` raises, and tells of it.
    """
    before, timers = sys.unraisablehook, list[Timer]()

    def again(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        interrupt = (main_thread().ident, heard[-1] if heard else signal.SIGINT)
        timers.append(Timer(SOON_S, signal.pthread_kill, interrupt))  # not in this finaliser
        timers[-1].start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()
