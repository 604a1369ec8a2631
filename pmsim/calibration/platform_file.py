"""A platform file of this machine: the nearest platform's, with what was measured in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from textwrap import wrap
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pmsim.calibration.fit import Fitted
from pmsim.calibration.host import Host
from pmsim.calibration.topology import LEVELS
from pmsim.scenario.platform import load_platform, platform_data
from pmsim.units import format_time

_SYSFS: Final = "/sys/devices/system/cpu"
_SOURCE_KEYS: Final = ("value", "basis", "source", "range")
_WIDTH: Final = 110


def base_machine(host: Host, like: str) -> dict[str, Any]:
    """Return the nearest platform as plain data, with this machine's CPUs in the place of its own.

    Raises
    ------
    ScenarioError
        If there is no such platform.
    """
    machine: dict[str, Any] = _attributed(platform_data(like), like)
    shape = dict(zip(LEVELS, host.topology.shape, strict=True))
    own = {
        level: {"value": count, "basis": "measured", "source": _SYSFS}
        for level, count in shape.items()
    }
    machine["topology"] = own
    for key in ("cpus", "isolated"):
        machine.pop(key, None)
    return machine


def _attributed(node: Any, like: str) -> Any:
    """Return plain data with each source said to be another platform's."""
    if isinstance(node, Mapping):
        found = {key: _attributed(below, like) for key, below in node.items()}
        if "value" in found and "source" in found:
            found["source"] = f"{like}: {found['source']}"
        return found
    return [_attributed(one, like) for one in node] if isinstance(node, list) else node


def with_values(
    machine: Mapping[str, Any], fitted: Iterable[Fitted], source: str
) -> dict[str, Any]:
    """Return a machine with fitted constants in the place of its own.

    Parameters
    ----------
    machine
        Plain data as a platform's file has it.
    fitted
        The constants.
    source
        What their source says.
    """
    found: Any = _copied(machine)
    for one in fitted:
        *above, last = one.path.split(".")
        holder = found
        for step in above:
            holder = _below(holder, step)
        ends = [format_time(one.low), format_time(one.high)]
        holder[last] = {
            "value": format_time(one.value), "basis": "measured", "source": source, "range": ends,
        }  # fmt: skip
    assert isinstance(found, dict)
    return found


def written(machine: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Return the text of a platform file, with sentences in front as comments."""
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    for note in notes:
        lines = wrap(note, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        out.write("".join(f"# {line}\n" for line in lines) or "#\n")
    yaml.dump(_laid_out(machine), out)
    return out.getvalue()


def _below(holder: Any, step: str) -> Any:
    """Return what stands below a key; a table with one source for all gives each entry its own."""
    if isinstance(holder, list):
        return holder[int(step)]
    below = holder.setdefault(step, {})
    if isinstance(below, dict) and isinstance(below.get("value"), dict):
        about = {key: below[key] for key in ("basis", "source") if key in below}
        below = {key: {"value": value, **about} for key, value in below["value"].items()}
        holder[step] = below
    return below


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(below) for key, below in node.items()}
    return [_copied(one) for one in node] if isinstance(node, list) else node


def _laid_out(node: Any) -> Any:
    """Return plain data as ruamel writes it: each constant with its source on one line."""
    if isinstance(node, Mapping):
        laid = CommentedMap((key, _laid_out(below)) for key, below in node.items())
        if "value" in node and set(node) <= set(_SOURCE_KEYS):
            laid.fa.set_flow_style()
        return laid
    if isinstance(node, list):
        items = CommentedSeq(map(_laid_out, node))
        if not any(isinstance(one, Mapping) for one in node):
            items.fa.set_flow_style()
        return items
    return node


def freezes(like: str) -> bool:
    """Return whether the CPUs of the nearest platform do not always run."""
    host = load_platform(like).host
    return host is not None and host.freezes
