"""Plays a page of the documentation: does what it tells its reader to do, and compares.

``python -m tests.docs.play PAGE`` goes through the fenced blocks of a page from top to bottom, in
the working directory:

- a block after *save this as* and a name in backticks becomes that file;
- ``bash`` is run, and must succeed;
- ``console`` has commands behind ``$`` and what each prints, in which a line ``...`` stands for any
  lines, and nothing for anything; a command that is shown to complain (``pmsim: ...``) must fail,
  all others must succeed; a block without any ``$`` is the set-up, and is not run again;
- ``python`` is executed, in one namespace for the page; a ``text`` block right behind it is what
  it prints;
- other ``yaml`` is part of a scenario: with its keys, a scenario must be valid.

With ``--record`` the page's outputs are replaced by what came out.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"save (?:this|it)\s+as\s+`([^`]+)`[^\n]*\s*$", re.IGNORECASE)
ANYTHING = "..."

Match = re.Match[str]

PART = {
    "pmsim": 1,
    "machine": "skylake-sp-2s",
    "until": "done",
    "workloads": [{"kind": "pool_churn"}],
}
"""What the keys of a block of YAML are put into."""


class PageError(Exception):
    """A page says something else than what happens."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes
    ----------
    language, text, line
        What is in it, and where it begins.
    file
        The file that it is to be saved as.
    shown
        The output that the page shows: a console's own text, or what stands behind Python.
    place
        Where in the page that begins.
    """

    language: str
    text: str
    line: int
    file: str | None
    shown: str | None
    place: int

    @property
    def is_set_up(self) -> bool:
        """Whether it is what made it possible to play pages, and so was done before."""
        return self.language == "console" and not re.search(r"^\$ ", self.text, re.MULTILINE)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    matches = list(FENCE.finditer(page))
    found = []
    for match, after in zip_longest(matches, matches[1:]):
        saved = SAVED.search(page[: match.start()].rstrip().removesuffix(":"))
        output = _output(page, match, after)
        found.append(
            Block(
                language=match[1],
                text=match[2],
                line=page.count("\n", 0, match.start()) + 1,
                file=saved and saved[1],
                shown=output and output[2],
                place=output.start(2) if output else 0,
            )
        )
    return found


def _output(page: str, block: Match, after: Match | None) -> Match | None:
    """Return the block that shows what a block prints: itself, the next one, or none."""
    if block[1] == "console":
        return block
    behind = after is not None and not page[block.end() : after.start()].strip()
    return after if behind and block[1] == "python" and after[1] == "text" else None


class Player:
    """Plays blocks in the working directory."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        scripts = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "PATH": scripts + os.pathsep + os.environ["PATH"],
            "MPLBACKEND": "agg",
            "NO_COLOR": "1",
        }

    def play(self, block: Block) -> str | None:
        """Do what a block says; return what its output should read, where it shows one."""
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
            return None
        act = getattr(self, f"_{block.language}", None)
        result: str | None = act(block) if act is not None else None
        return result

    def _bash(self, block: Block) -> None:
        self._command(block, block.text, fails=False)

    def _console(self, block: Block) -> str | None:
        """Run each command; return the block as it should read."""
        if block.is_set_up:
            return None
        said = []
        for command, shown in commands(block.text):
            output = self._command(block, command, fails="pmsim: " in shown)
            kept = shown if not shown or matches(shown, output) else output
            said.append(f"$ {command}\n{kept}")
        return "".join(said)

    def _command(self, block: Block, command: str, *, fails: bool) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if (done.returncode != 0) != fails:
            raise PageError(
                f"line {block.line}: status {done.returncode} of\n{command}\n{done.stderr}"
            )
        return tidy(done.stdout + (done.stderr if fails else ""))

    def _python(self, block: Block) -> str | None:
        printed = io.StringIO()
        # The line numbers of a traceback are those of the page.
        code = compile("\n" * block.line + block.text, "page", "exec")
        # For the block alone: a notebook that a later test starts must choose for itself.
        with redirect_stdout(printed), patch.dict(os.environ, MPLBACKEND="agg"):
            exec(code, self.namespace)
        if block.shown is None:
            return None
        output = tidy(printed.getvalue())
        return block.shown if matches(block.shown, output) else output

    def _yaml(self, block: Block) -> None:
        from pmsim import Scenario
        from pmsim.scenario.read import parse

        keys: Any = parse(block.text, "page").value()
        ends = {"duration"} & keys.keys()
        whole = {key: value for key, value in PART.items() if not (ends and key == "until")}
        Scenario.from_dict(whole | keys)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console, each with what it is shown to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)
        assert command is not None
        yield command[0].rstrip("\n"), part[command.end() :]


def matches(shown: str, output: str) -> bool:
    """Return whether an output is what is shown, in which a line ``...`` stands for any lines."""
    pieces = re.split(rf"^{re.escape(ANYTHING)}\n", shown, flags=re.MULTILINE)
    return re.fullmatch("(?:.*\n)*?".join(map(re.escape, pieces)), output) is not None


def tidy(output: str) -> str:
    """Return output without blanks at the ends of lines, which a page cannot show."""
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def play(page: Path, *, record: bool = False) -> None:
    """Play a page; raise `PageError` at the first output that differs, unless it is recorded."""
    text = page.read_text(encoding="utf-8")
    player = Player()
    shift = 0
    for block in blocks(text):
        result = player.play(block)
        if result is None or result == block.shown:
            continue
        if not record:
            raise PageError(
                f"line {block.line}: the page shows\n{block.shown}\nand there is\n{result}"
            )
        place, length = block.place + shift, len(block.shown or "")
        text = text[:place] + result + text[place + length :]
        shift += len(result) - length
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    play(Path(sys.argv[-1]), record="--record" in sys.argv)
