"""Files that stand where another kind of file is wanted: one sentence, not a fault for each key."""

from __future__ import annotations

from typing import Final, Literal

from pmsim.errors import Fault, ScenarioError
from pmsim.scenario.nodes import Node, Table

Kind = Literal["scenario", "experiment", "machine"]

_KINDS: Final[dict[Kind, tuple[str, str, str]]] = {
    "scenario": ("workloads", "a scenario", "`pmsim run {file}` runs it"),
    "experiment": ("observe", "an experiment", "`pmsim reproduce {file}` predicts it"),
    "machine": ("topology", "a machine", "a scenario names it: --set machine={file}"),
}
"""A key that no other kind has, what it is called, and what can be done with it."""


def refuse_others(tree: Node, file: str, wanted: Kind) -> None:
    """Raise `ScenarioError` if a file's keys are plainly those of another kind."""
    own, name, _ = _KINDS[wanted]
    if not isinstance(tree, Table) or tree.key(own) is not None:
        return
    for kind, (key, what, use) in _KINDS.items():
        if kind != wanted and (found := tree.key(key)) is not None:
            message, hint = f"this is {what}, not {name}", use.format(file=file)
            raise ScenarioError(
                [Fault(file, found.line, found.column, f"no-{wanted}", message, hint)]
            )
